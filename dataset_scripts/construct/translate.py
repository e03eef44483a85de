"""Translate the sentences of one language into others, and carry the places of their entities along.

    python -m dataset_scripts.construct translate WORK --engine apertium --to es fr

Engines: `apertium` (Debian: apt-get install apertium apertium-en-es apertium-eng-cat apertium-fra-cat apertium-es-pt
apertium-spa-ita), a network of transformers, hf:facebook/mbart-large-50-many-to-many-mmt, and dictionary:FILE. URLs, names of
users, hashtags, RT, emoji and <PERSON> come back as they were. All translations are remembered in WORK, so that nothing
is translated twice. A translation is a record of its own, behind the record that it was made from.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.marks import MarkedText, Translation, from_blanks, from_tags, to_blanks, to_tags
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tools import folder_hash
from dataset_scripts.construct.words import PROTECTED, split_words
from reports_2mner.command_line import at_least, option
from reports_2mner.language_table import CODE, find_language
from reports_2mner.loading import retell_loading_errors

RECORDS_AT_ONCE = 1_000
MEMORY = "translations.sqlite"
MOST_REPEATS = 3  # of the same three words
MOST_UNCHANGED = 0.8  # of the words outside entities and protected text
FEWEST_WORDS = 4  # for that share
TO_VOTE = ": translations whose entities are to be voted on"  # behind a language, in the counts
APERTIUM_PLACES = ("/usr/share/apertium", "/usr/local/share/apertium")
BEAMS = 4
END = "[]"  # an empty blank behind each sentence, by which Apertium shows that it came to its end
FAMILIES = {"mbart": "mbart50", "nllb": "nllb", "m2m_100": "m2m100", "marian": ""}


@dataclass(frozen=True)
class Settings:
    """How to translate."""

    to: tuple[str, ...] = option((), "languages to translate into, such as es fr", metavar="CODE")
    source: str = option("en", "language to translate from")
    engine: str = option("apertium", "`apertium`, `hf:NAME` or `dictionary:FILE`")
    unprotected: bool = option(False, "translate URLs, names of users, hashtags and the like as well")
    batch_size: int = option(16, "sentences that a network translates at once", type=at_least(1))
    device: str = option("cpu", "where a network runs, such as cuda")

    def __post_init__(self) -> None:
        if wrong := [code for code in (*self.to, self.source) if not CODE.fullmatch(code)]:
            raise ValueError(f"`to` and `source` must be codes such as es and fr (ISO 639), got {wrong}.")
        if self.source in self.to:
            raise ValueError(f"`to` must name other languages than `source`, got {self.source!r} in both.")


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write every record, followed by its translations."""
    if not settings.to:
        raise ValueError("`to` must name the languages to translate into, such as --to es fr.")
    translator = load_translator(settings.engine, settings.batch_size, settings.device)
    tool = " ".join([translator.name, *(translator.revision(settings.source, lang) for lang in settings.to)])
    function = partial(translate_part, settings=settings, memory=work.folder / MEMORY)
    return work.map_records("translate", function, settings, tool, engine)


def translate_part(records: Iterator[Record], counts: Counts, settings: Settings, memory: Path) -> Iterator[Record]:
    """Yield records and their translations."""
    translator = load_translator(settings.engine, settings.batch_size, settings.device)
    with closing(Memory(memory)) as remembered:
        while batch := list(islice(records, RECORDS_AT_ONCE)):
            sources = [record for record in batch if record.lang == settings.source and record.parent is None]
            made = [_translated(sources, lang, translator, remembered, settings) for lang in settings.to]
            following = {record.uid: children for record, *children in zip(sources, *made, strict=True)}
            for record in batch:
                yield record
                for child in following.get(record.uid, ()):
                    counts.added[f"translations into {child.lang}"] += 1
                    counts.notes.update(f"{child.lang}: {flag}" for flag in child.flags)
                    if not translator.exact:
                        counts.notes[f"{child.lang}{TO_VOTE}"] += 1
                    yield child


def _translated(
    records: Sequence[Record], lang: str, translator: Translator, remembered: Memory, settings: Settings
) -> list[Record]:
    """Return the translation of each record; the strings of its entities are also translated alone."""
    strings = list(dict.fromkeys(record.words(span) for record in records for span in record.labels))
    wanted = [*(_marked(record, settings.unprotected) for record in records), *map(MarkedText, strings)]
    found = remembered.translate(wanted, translator, settings.source, lang)
    alone = {string: made.text.strip() for string, (made, _) in zip(strings, found[len(records) :], strict=True)}
    step = {"engine": translator.name, "revision": translator.revision(settings.source, lang)}
    children = []
    for record, (made, is_cut) in zip(records, found, strict=False):
        flags = (*made.flags, *_faults(record, made.text, is_cut))
        names = [alone[record.words(span)] for span in record.labels]
        child = _child(record, replace(made, flags=flags), lang, names, translator.exact)
        children.append(child.step("translate", **step))
    return children


def _marked(record: Record, unprotected: bool) -> MarkedText:
    spans = tuple((record.offsets[span.start][0], record.offsets[span.end - 1][1]) for span in record.labels)
    pieces = () if unprotected else tuple(match.span() for match in PROTECTED.finditer(record.text))
    return MarkedText(record.text, spans, pieces)


def _child(record: Record, made: Translation, lang: str, alone: list[str], exact: bool) -> Record:
    """Return the record of a translation; one without words keeps those of its parent."""
    text, places = made.text, made.places
    tokens, offsets = split_words(text, lang)
    if not tokens:
        text, tokens, offsets = record.text, record.tokens, record.offsets
        places = tuple((place,) for place in _marked(record, unprotected=True).spans)
    more = {name: value for name, value in record.more.items() if name != "released"}
    return replace(
        record,
        uid=f"{lang}{record.uid.removeprefix(record.lang)}",
        lang=lang,
        text=text,
        tokens=tokens,
        offsets=offsets,
        parent={"uid": record.uid, "text": record.text},
        spans=(),
        annotations=(),
        gold=None,
        flags=tuple(f"translation: {flag}" for flag in made.flags),
        more={**more, "translation": {"text": text, "exact": exact, "places": places, "alone": alone}},
    )


def _faults(record: Record, text: str, is_cut: bool) -> Iterator[str]:
    """Name the faults that networks make: nothing, the same again and again, the source itself, no end."""
    words = _plain_words(text)
    if not text.strip():
        yield "empty"
    if is_cut:
        yield "cut off at its greatest length"
    if max(Counter(zip(words, words[1:], words[2:], strict=False)).values(), default=0) > MOST_REPEATS:
        yield "repeats itself"
    entities = {word for span in record.labels for word in re.findall(r"\w+", record.words(span).lower())}
    before = set(_plain_words(record.text))
    plain = [word for word in words if word not in entities]
    if len(plain) >= FEWEST_WORDS and sum(word in before for word in plain) > MOST_UNCHANGED * len(plain):
        yield "equals its source"


def _plain_words(text: str) -> list[str]:
    return re.findall(r"\w+", PROTECTED.sub(" ", text.lower()))


class Memory:
    """Translations that were made before, in a file that several processes may use at once."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, timeout=600)
        with self._file:
            self._file.execute("CREATE TABLE IF NOT EXISTS made (key TEXT PRIMARY KEY, text TEXT, is_cut INTEGER)")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def translate(
        self, marked: Sequence[MarkedText], translator: Translator, source: str, target: str
    ) -> list[tuple[Translation, bool]]:
        """Return each translation and whether it was cut off; only what is not remembered is translated."""
        texts = [translator.encode(each) for each in marked]
        name = [translator.name, translator.revision(source, target), source, target]
        keys = {text: hashlib.sha256(json.dumps([*name, text]).encode()).hexdigest() for text in texts}
        query = "SELECT text, is_cut FROM made WHERE key = ?"
        known = {text: row for text, key in keys.items() if (row := self._file.execute(query, (key,)).fetchone())}
        new = [text for text in keys if text not in known]
        made = dict(zip(new, translator.translate(new, source, target), strict=True))
        with self._file:
            rows = ((keys[text], *output) for text, output in made.items())
            self._file.executemany("INSERT OR REPLACE INTO made VALUES (?, ?, ?)", rows)
        outputs = {**known, **made}
        read = zip(marked, (outputs[text] for text in texts), strict=True)
        return [(translator.decode(output, each), bool(is_cut)) for each, (output, is_cut) in read]


class Output(NamedTuple):
    """What a translator returns; `is_cut` if it came to its limit of length."""

    text: str
    is_cut: bool = False


class Translator:
    """What the stage `translate` needs; entities travel in tags, unless a translator has something better."""

    name: str  # engine, revision and parameters: equal names give equal translations
    exact = False  # whether the places of marked entities are sure
    encode = staticmethod(to_tags)  # returns the text that is sent, by which translations are remembered
    decode = staticmethod(from_tags)  # reads what came back

    def revision(self, source: str, target: str) -> str:
        """Return what stands behind a pair of languages, beyond `name`; ValueError for a language that it lacks."""
        return ""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Output]:
        """Translate what `encode` returned."""
        raise NotImplementedError


@cache
def load_translator(engine: str, batch_size: int = 16, device: str = "cpu") -> Translator:
    """Return a translator, loaded once a process: `apertium`, `hf:NAME_OR_PATH` or `dictionary:FILE`."""
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
    """The rule-based translator, which carries marks through exactly; it starts from English."""

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
        # NUL ends a text, so that one inside would shift all translations behind it.
        stream = "".join(f"{text.replace(chr(0), ' ')}{END}\0" for text in texts).encode()
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
    """A sequence-to-sequence network of transformers: mBART-50, NLLB, M2M100 or Marian."""

    def __init__(self, name: str, batch_size: int = 16, device: str = "cpu") -> None:
        from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

        problem = f"`engine` {name} does not load; name a folder or a Hub id of a translation network"
        with retell_loading_errors(problem):
            config = AutoConfig.from_pretrained(name)
        self.family = "nllb" if "nllb" in name.lower() else config.model_type
        if self.family not in FAMILIES:
            raise ValueError(
                f"`engine` {name} is a network of kind {self.family}; it must be one of {list(FAMILIES)}."
            )
        with retell_loading_errors(problem):
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

    Without a file it replaces nothing. `spoil` is done to what it returns, to show the faults of networks.
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
