"""Translators: Apertium, sequence-to-sequence networks of transformers, and a dictionary for tests."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dataset_scripts.construct.marks import MarkedText, Translation, from_blanks, from_tags, to_blanks, to_tags
from dataset_scripts.construct.tools import folder_hash
from reports_2mner.language_table import find_language

APERTIUM_PLACES = ("/usr/share/apertium", "/usr/local/share/apertium")
BEAMS = 4
END = "[]"  # an empty blank behind each sentence, by which Apertium shows that it came to its end
FAMILIES = {"mbart": "mbart50", "nllb": "nllb", "m2m_100": "m2m100", "marian": ""}


class Output(NamedTuple):
    """What a translator returns; `is_cut` if it came to its limit of length."""

    text: str
    is_cut: bool = False


class Translator:
    """What the stage `translate` needs; entities travel in tags, unless a translator has something better."""

    name: str  # engine, revision and parameters: equal names give equal translations
    exact = False  # whether the places of marked entities are sure

    def revision(self, source: str, target: str) -> str:
        """Return what stands behind a pair of languages, beyond `name`; ValueError for a language that it lacks."""
        return ""

    def encode(self, marked: MarkedText) -> str:
        """Return the text that is sent, by which translations are remembered."""
        return to_tags(marked)

    def decode(self, output: str, marked: MarkedText) -> Translation:
        """Read what came back."""
        return from_tags(output, marked)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Output]:
        """Translate what `encode` returned."""
        raise NotImplementedError


@cache
def load_translator(engine: str, batch_size: int = 16, device: str = "cpu") -> Translator:
    """Return the translator of a name, once a process: `apertium`, `hf:NAME_OR_PATH` or `dictionary:FILE`.

    Raises:
        ValueError: if there is none.
    """
    kind, _, name = engine.partition(":")
    if engine == "apertium":
        return Apertium()
    if kind == "hf" and name:
        return Network(name, batch_size, device)
    if kind == "dictionary" and name:
        return Dictionary(Path(name))
    raise ValueError(
        f"`engine` must be apertium, hf:NAME (a network on the Hub or in a folder) or dictionary:FILE, got {engine!r}."
    )


class Apertium(Translator):
    """The rule-based translator, which carries marks through exactly; it starts from English.

    Raises:
        ValueError: if it is not installed, or lacks a language; with what to install.
    """

    exact = True
    encode = staticmethod(to_blanks)
    decode = staticmethod(from_blanks)

    def __init__(self) -> None:
        self.name = f"apertium {self._run(['-V'], b'').decode().split()[-1]}"

    def revision(self, source: str, target: str) -> str:
        """Return the modes to a language, each with a hash of its programs and data."""
        return " ".join(f"{mode}@{_mode_hash(mode)}" for mode in self.modes(source, target))

    def modes(self, source: str, target: str) -> list[str]:
        """Return the modes that lead from English to a language."""
        language = find_language(target)
        modes = language.translation.get("apertium", "").split() if language and source == "en" else []
        if not modes:
            raise ValueError(
                f"Apertium cannot translate from {source} to {target}: the table of languages names no modes from "
                f"English to it; choose another of `to`, or another `engine`."
            )
        return modes

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Output]:
        """Translate all texts in one process for each mode; a text at which a program breaks comes back as it was."""
        if not texts:
            return []
        stream = "".join(f"{text}{END}\0" for text in texts).encode()
        for mode in self.modes(source, target):
            stream = self._run(["-z", "-f", "none", "-u", mode], stream)
        parts = stream.decode("utf-8", "replace").split("\0")
        found = {n: Output(part.removesuffix(END)) for n, part in enumerate(parts[: len(texts)]) if part.endswith(END)}
        broken = [n for n in range(len(texts)) if n not in found]
        if broken and len(texts) == 1:
            return [Output(texts[0], is_cut=True)]
        for some in (broken[:1], broken[1:]):  # the first broke the program, which may have taken others along
            found |= dict(zip(some, self.translate([texts[n] for n in some], source, target), strict=True))
        return [found[n] for n in range(len(texts))]

    @staticmethod
    def _run(arguments: Sequence[str], stream: bytes) -> bytes:
        program = shutil.which("apertium")
        if program is None:
            raise ValueError(
                "`engine` apertium needs the program apertium: apt-get install apertium apertium-en-es "
                "apertium-eng-cat apertium-fra-cat apertium-es-pt apertium-spa-ita, or choose another `engine`."
            )
        done = subprocess.run([program, *arguments], input=stream, capture_output=True)
        if done.returncode:
            error = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
            raise ValueError(
                f"apertium {' '.join(arguments)} failed ({error}); install the package of the pair, such as "
                "apertium-en-es; `apertium -l` lists those that are there."
            )
        return done.stdout


@cache
def _mode_hash(mode: str) -> str:
    """Return a short hash of all files that a mode names, or `unknown`."""
    path = next((file for place in APERTIUM_PLACES if (file := Path(place, "modes", f"{mode}.mode")).is_file()), None)
    if path is None:
        return "unknown"
    digest = hashlib.sha256(path.read_bytes())
    for name in re.findall(r"'(/[^']+)'", path.read_text("utf-8")):
        digest.update(Path(name).read_bytes() if Path(name).is_file() else b"")
    return digest.hexdigest()[:12]


class Network(Translator):
    """A sequence-to-sequence network of transformers: mBART-50, NLLB, M2M100 or Marian.

    Raises:
        ValueError: for another kind, or a language that it does not have.
    """

    def __init__(self, name: str, batch_size: int = 16, device: str = "cpu") -> None:
        from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

        config = AutoConfig.from_pretrained(name)
        self.family = "nllb" if "nllb" in name.lower() else config.model_type
        if self.family not in FAMILIES:
            raise ValueError(
                f"`engine` {name} is a network of kind {self.family}; it must be one of {list(FAMILIES)}."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(name)
        self._model = AutoModelForSeq2SeqLM.from_pretrained(name).to(device).eval()
        self._batch_size = batch_size
        self._longest = min(self._tokenizer.model_max_length, config.max_position_embeddings)  # in sub-words
        folder = Path(name)
        version = f"{folder.name}@{folder_hash(folder)}" if folder.is_dir() else f"{name}@{config._commit_hash}"
        self.name = f"{version} beams={BEAMS}"

    def revision(self, source: str, target: str) -> str:
        """Return the network's names of both languages."""
        return f"{self.code(source)[0]}-{self.code(target)[0]}" if FAMILIES[self.family] else ""

    def code(self, lang: str) -> tuple[str, int]:
        """Return the network's name of a language, and the number of its sub-word."""
        language = find_language(lang)
        code = language.translation.get(FAMILIES[self.family], "") if language else ""
        number: Any = self._tokenizer.convert_tokens_to_ids(f"__{code}__" if self.family == "m2m_100" else code)
        if not code or number == self._tokenizer.unk_token_id:
            raise ValueError(
                f"`engine` {self.name} has no language {lang} ({code}); choose another of `to`, or give its code in "
                "the table of languages."
            )
        return code, number

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Output]:
        """Translate in batches, with at most twice as many sub-words as the source has, and ten."""
        options: dict[str, Any] = {"num_beams": BEAMS, "do_sample": False}
        if FAMILIES[self.family]:
            self._tokenizer.src_lang, _ = self.code(source)
            _, options["forced_bos_token_id"] = self.code(target)
        found: dict[str, Output] = {}
        ordered = sorted(set(texts), key=lambda text: (len(text), text))  # of like length, for little padding
        for begin in range(0, len(ordered), self._batch_size):
            batch = ordered[begin : begin + self._batch_size]
            found |= zip(batch, self._translate(batch, options), strict=True)
        return [found[text] for text in texts]

    def _translate(self, texts: list[str], options: dict[str, Any]) -> list[Output]:
        import torch

        batch = self._tokenizer(
            texts, return_tensors="pt", padding=True, truncation=True, max_length=self._longest
        ).to(self._model.device)
        limit = min(2 * batch["input_ids"].shape[1] + 10, self._longest - 2)
        with torch.inference_mode():
            made = self._model.generate(**batch, max_new_tokens=limit, **options)
        is_long = batch["attention_mask"].sum(dim=1) >= self._longest
        has_end = (made[:, 1:] == self._model.generation_config.eos_token_id).any(dim=1)
        return list(
            map(Output, self._tokenizer.batch_decode(made, skip_special_tokens=True), (is_long | ~has_end).tolist())
        )


class Dictionary(Translator):
    """Replaces words by those of a file, `word<TAB>translation` in each line; for tests and demonstrations.

    Args:
        path: the file; None replaces nothing.
        spoil: what happens to a translation before it is read, to show the faults of networks.
    """

    def __init__(self, path: Path | None = None, spoil: Callable[[str], str] = str) -> None:
        lines = path.read_text("utf-8").splitlines() if path else []
        self._words: dict[str, str] = dict(line.split("\t") for line in lines if line.count("\t") == 1)
        self._spoil = spoil
        self.name = f"dictionary {hashlib.sha256(repr(sorted(self._words.items())).encode()).hexdigest()[:12]}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Output]:
        """Translate word by word."""
        made = (re.sub(r"\w+", lambda word: self._words.get(word[0], word[0]), text) for text in texts)
        return [Output(self._spoil(text)) for text in made]
