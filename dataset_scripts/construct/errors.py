"""Rank the sentences whose entities are most probably wrong, as a queue for people and a page.

    python -m dataset_scripts.construct errors WORK
    python -m dataset_scripts.construct errors WORK --models runs/0 runs/1 runs/2 runs/3 runs/4 --images pictures

Three signs count. `model`: a model that has not seen the sentence's picture reads other entities. `string`: the same words
more often have another type elsewhere. `languages`: a translation has other types than its source. A sentence's score is the
mean of its best score by each sign, 0 for one that it lacks; queue.jsonl begins with the highest.

The model is a fast linear one, or runs of ours, one for each of `--folds` parts of the pictures: number N must have been
trained without part N. `--write_folds` writes the text files to train them on: the test split of fold-N is part N. Build and
train each with --split given. A single run must have seen none of the sentences.
"""

from __future__ import annotations

import heapq
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dataset_scripts.build.engine import Engine
from dataset_scripts.build.sources import FILE_NAMES, FOLDER_PREFIX
from dataset_scripts.construct.recognise import OwnRun, picture_of, tool_of
from dataset_scripts.construct.records import Record, Span, read_records, tags_of_spans
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.splits import stable_hash
from reports_2mner.command_line import at_least, option
from reports_2mner.conll_format import format_sentence
from reports_2mner.files import write_file, write_lines
from reports_2mner.html import render

SIGNS = ("model", "string", "languages")
QUEUE, PAGE = "queue.jsonl", "errors.html"
SENTENCES_AT_ONCE = 256
STRINGS_SHOWN, SENTENCES_SHOWN = 100, 200  # on the page
LEAST_SIGN = 0.5  # a sign of a lower score is none
FEATURES = 1 << 18
SENTENCES_OF_A_STEP = 2_000  # each step costs as much as all features, so few of them
PASSES = 3
ALPHA = 3e-5  # regularisation


@dataclass(frozen=True)
class Settings:
    """Which model, and how much is shown."""

    models: tuple[str, ...] = option((), "runs of ours, one a fold; see above (default: a fast linear model)")
    folds: int = option(5, "parts of the pictures, each read by a model trained on the others", type=at_least(2))
    images: Path | None = option(None, "folder of the pictures, <image_id>.jpg, for runs of ours")
    limit: int = option(10_000, "most sentences in the queue", type=at_least(1))
    seed: int = option(0, "seed of the folds and of the linear model")
    write_folds: bool = option(False, "also write the text files of every fold, to train runs of ours on")

    def __post_init__(self) -> None:
        if len(self.models) not in (0, 1, self.folds):
            raise ValueError(
                f"`models` must be one run, or as many as `folds`, {self.folds}, got {len(self.models)}; see --help."
            )


class Judge(Protocol):
    """Gives the probability of every tag, by a model that has not seen the sentence."""

    labels: Sequence[str]

    def __call__(self, records: Sequence[Record]) -> list[np.ndarray]:
        """Return `(words, labels)` for each record."""


@dataclass
class Survey:
    """What must be known of all sentences before one can be judged: hashes and types, some bytes an entity."""

    tags: set[str] = field(default_factory=lambda: {"O"})
    types: dict[str, int] = field(default_factory=dict)
    strings: array[int] = field(default_factory=lambda: array("Q"))  # of every entity: hash of its words ...
    kinds: array[int] = field(default_factory=lambda: array("I"))  # ... and number of its type

    def add(self, record: Record) -> None:
        """Count the entities of a record."""
        self.tags.update(tags_of_spans(len(record.tokens), record.labels))
        for span in record.labels:
            self.strings.append(_string(record, span))
            self.kinds.append(self.types.setdefault(span.type, len(self.types)))

    def ambiguous(self) -> dict[int, Counter[str]]:
        """Return how often each string with several types has each of them, by its hash."""
        names = sorted(self.types, key=self.types.__getitem__)
        pairs, times = np.unique(np.array([self.strings, self.kinds], np.uint64), axis=1, return_counts=True)
        strings, places, sizes = np.unique(pairs[0], return_index=True, return_counts=True)
        found = {}
        for key, place, size in zip(strings[sizes > 1], places[sizes > 1], sizes[sizes > 1], strict=True):
            numbers = range(place, place + size)
            found[int(key)] = Counter({names[int(pairs[1, n])]: int(times[n]) for n in numbers})
        return found


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write queue and page."""
    tools = [tool_of(f"2mner:{model}") for model in settings.models]
    write = partial(_write, work, settings)
    return work.perform("errors", write, settings, work.inputs("errors"), "; ".join(tools) or _linear_tool())


def fold_of(image_id: str, settings: Settings) -> int:
    """Return the part that holds all sentences of a picture."""
    return stable_hash(f"{settings.seed}/{image_id}") % settings.folds


def _write(work: Work, settings: Settings, folder: Path, counts: Counts) -> None:
    survey = Survey()
    for record in work.records("errors"):
        counts.read += 1
        survey.add(record)
    if not survey.strings:
        raise ValueError("`errors` needs entities, and the records have none; run `recognise` or `project` first.")
    if settings.write_folds:
        _write_folds(work, settings, folder)
    judge: Judge
    if settings.models:
        judge = OwnJudge(settings)
    else:
        judge = LinearJudge(work.parts(*work.givers("errors")), sorted(survey.tags), settings)
    ambiguous = survey.ambiguous()
    texts: dict[int, str] = {}
    found = _found(work.records("errors"), judge, ambiguous, counts, texts)
    queue = heapq.nsmallest(settings.limit, found, key=lambda item: (-item["score"], item["uid"]))
    counts.written = len(queue)
    suspects = counts.notes["sentences with a sign"]
    counts.notes["sentences over the limit"] = suspects - len(queue)
    write_lines(folder / QUEUE, (json.dumps(item, ensure_ascii=False) for item in queue))
    strings = [(texts[key], types) for key, types in ambiguous.items()]
    strings.sort(key=lambda entry: (-(entry[1].total() - max(entry[1].values())), entry[0]))
    write_file(folder / PAGE, _page(queue, strings, counts))


def _found(
    records: Iterable[Record],
    judge: Judge,
    ambiguous: dict[int, Counter[str]],
    counts: Counts,
    texts: dict[int, str],
) -> Iterator[dict[str, Any]]:
    """Yield an item of the queue for each sentence that has a sign; collect the text of ambiguous strings."""
    stream, parent = iter(records), None
    while batch := list(islice(stream, SENTENCES_AT_ONCE)):
        for record, posteriors in zip(batch, judge(batch), strict=True):
            parent = record if record.parent is None else parent
            signs = [*_model_signs(record, posteriors, judge.labels), *_string_signs(record, ambiguous, texts)]
            signs += _language_signs(record, parent)
            signs = [sign for sign in signs if sign["score"] >= LEAST_SIGN]
            counts.notes.update(f"signs: {sign['sign']}" for sign in signs)
            counts.notes["sentences with a sign"] += bool(signs)
            if signs:
                yield _item(record, signs)


def _item(record: Record, signs: list[dict[str, Any]]) -> dict[str, Any]:
    best = [max((sign["score"] for sign in signs if sign["sign"] == name), default=0.0) for name in SIGNS]
    item = {name: getattr(record, name) for name in ("uid", "image_id", "lang", "source", "text", "tokens")}
    spans = [{"start": span.start, "end": span.end, "type": span.type} for span in record.labels]
    return {**item, "spans": spans, "score": round(sum(best) / len(SIGNS), 6), "signs": signs}


def _sign(name: str, record: Record, start: int, end: int, **values: Any) -> dict[str, Any]:
    words = record.words(Span(start, end, "O"))
    return {"sign": name, "start": start, "end": end, "words": words, **values, "score": round(values["score"], 6)}


def _model_signs(record: Record, posteriors: np.ndarray, labels: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield where the model reads another entity, or none; the score is that of the tag that it believes least."""
    from modeling_2mner.spans import entity_spans  # loads torch

    numbers = {label: number for number, label in enumerate(labels)}
    tags = tags_of_spans(len(record.tokens), record.labels)
    if unknown := set(tags) - set(numbers):
        raise ValueError(f"`models`: a run lacks the tags {sorted(unknown)}; train it on entities of these types.")
    given = posteriors[range(len(tags)), [numbers[tag] for tag in tags]]
    read = entity_spans([labels[best] for best in posteriors.argmax(-1)], strict=False)
    now = {(span.start, span.end): span.type for span in record.labels}
    then = {(start, end): kind for kind, start, end in read}
    for start, end in sorted(now.keys() | then.keys()):
        if now.get((start, end)) != (other := then.get((start, end))):
            score = 1 - float(given[start:end].min())
            yield _sign("model", record, start, end, type=now.get((start, end)), other=other, score=score)


def _string_signs(
    record: Record, ambiguous: dict[int, Counter[str]], texts: dict[int, str]
) -> Iterator[dict[str, Any]]:
    """Yield entities whose words have another type at least as often; the score is that type's share of both."""
    for span in record.labels:
        if (types := ambiguous.get(key := _string(record, span))) is None:
            continue
        texts.setdefault(key, record.words(span))
        others = [(-number, kind) for kind, number in types.items() if kind != span.type]
        number, other = min(others)
        score = -number / (types[span.type] - number)
        yield _sign("string", record, span.start, span.end, type=span.type, other=other, score=score)


def _language_signs(record: Record, parent: Record | None) -> Iterator[dict[str, Any]]:
    """Yield one sign if a translation has other types than its source; the score is the share that differs."""
    if record.parent is None or parent is None or parent.uid != record.parent["uid"]:
        return
    theirs, ours = (Counter(span.type for span in each.labels) for each in (parent, record))
    if differ := (theirs - ours).total() + (ours - theirs).total():
        missing, added = sorted((theirs - ours).elements()), sorted((ours - theirs).elements())
        score = max(LEAST_SIGN, differ / (theirs.total() + ours.total()))
        values = {"source": parent.uid, "missing": missing, "added": added, "score": score}
        yield _sign("languages", record, 0, 0, **values)


def _string(record: Record, span: Span) -> int:
    return stable_hash(record.words(span).lower())


class OwnJudge:
    """Runs of ours, with the picture of each sentence."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs = [OwnRun(model, settings.images).pipe for model in settings.models]
        self.labels: Sequence[str] = self._runs[0].model.config.labels
        configs = [run.model.config for run in self._runs]
        if not all(config.tags_words and list(config.labels) == list(self.labels) for config in configs):
            raise ValueError('`models` must all have the same labels, and `label_scheme="word"`; train them so.')

    def __call__(self, records: Sequence[Record]) -> list[np.ndarray]:
        """Return the posteriors of the words; see `Judge`."""
        import torch

        from modeling_2mner.images import load_image
        from modeling_2mner.posteriors import sentence_posteriors

        found: dict[int, np.ndarray] = {}
        for fold, run in enumerate(self._runs):
            mine = [n for n, each in enumerate(records) if fold_of(each.image_id, self._settings) == fold]
            mine = mine if len(self._runs) > 1 else list(range(len(records)))
            for start in range(0, len(mine), 32):
                numbers = mine[start : start + 32]
                cells = [picture_of(records[number], self._settings.images).image for number in numbers]
                batch = run.processor(
                    [list(records[number].tokens) for number in numbers], [load_image(cell).image for cell in cells]
                ).to(run.device)
                with torch.no_grad():
                    logits = run.model(**batch).logits
                rows = sentence_posteriors(run.model, logits, batch["word_mask"])
                found |= {number: row.numpy() for number, row in zip(numbers, rows, strict=True)}
        return [found[number] for number in range(len(records))]


class LinearJudge:
    """Linear models on the words around each word, one for each fold, trained on the others; memory does not grow.

    Args:
        parts: the files of records.
        labels: all tags, sorted.
        settings: folds and seed.
    """

    def __init__(self, parts: Sequence[Path], labels: Sequence[str], settings: Settings) -> None:
        from sklearn.feature_extraction import FeatureHasher

        self.labels, self._settings = labels, settings
        self._hasher = FeatureHasher(FEATURES, input_type="string", alternate_sign=False)
        self._models = self._train(parts)

    def __call__(self, records: Sequence[Record]) -> list[np.ndarray]:
        """Return the probabilities of the words; see `Judge`."""
        features, folds = self._features(records), self._folds(records)
        found = np.zeros((len(folds), len(self.labels)))
        for fold, model in enumerate(self._models):
            if len(mine := np.flatnonzero(folds == fold)):
                found[mine] = model.predict_proba(features[mine])
        return np.split(found, np.cumsum([len(record.tokens) for record in records])[:-1])

    def _train(self, parts: Sequence[Path]) -> list[Any]:
        from sklearn.linear_model import SGDClassifier

        chance = np.random.default_rng(self._settings.seed)
        models = [
            SGDClassifier(loss="log_loss", alpha=ALPHA, average=True, random_state=self._settings.seed)
            for _ in range(self._settings.folds)
        ]
        for _ in range(PASSES):
            for number in chance.permutation(len(parts)):
                records = list(read_records(parts[number]))
                order = iter(chance.permutation(len(records)))
                while batch := [records[place] for place in islice(order, SENTENCES_OF_A_STEP)]:
                    features, folds = self._features(batch), self._folds(batch)
                    tags = np.array([tag for each in batch for tag in tags_of_spans(len(each.tokens), each.labels)])
                    for fold, model in enumerate(models):
                        if len(theirs := np.flatnonzero(folds != fold)):
                            model.partial_fit(features[theirs], tags[theirs], classes=self.labels)
        if not all(hasattr(model, "coef_") for model in models):
            raise ValueError(
                f"`folds` {len(models)} are too many: all sentences are in one; take fewer, or more sentences."
            )
        return models

    def _features(self, records: Sequence[Record]) -> Any:
        return self._hasher.transform(names for record in records for names in word_features(record))

    def _folds(self, records: Sequence[Record]) -> np.ndarray:
        """Return the fold of every word."""
        lengths = [len(record.tokens) for record in records]
        return np.repeat([fold_of(record.image_id, self._settings) for record in records], lengths)


def word_features(record: Record) -> Iterator[list[str]]:
    """Yield the names of what holds of each word and of those beside it."""
    words = ["<", *record.tokens, ">"]
    lower, shapes = [word.lower() for word in words], [_shape(word) for word in words]
    for n in range(1, len(words) - 1):
        yield [
            "bias",
            f"lang={record.lang} {record.source}",
            f"word={lower[n]}",
            f"before={lower[n - 1]}",
            f"behind={lower[n + 1]}",
            f"pair={lower[n - 1]} {lower[n]}",
            f"pair'={lower[n]} {lower[n + 1]}",
            f"begin={lower[n][:3]}",
            f"end={lower[n][-3:]}",
            f"shapes={shapes[n - 1]} {shapes[n]} {shapes[n + 1]}",
            f"shape={shapes[n]} {record.source}",
            f"second={lower[max(0, n - 2)]}",
        ]


def _shape(word: str) -> str:
    """Return the kinds of a word's characters, each once in a row: Xx for Anna."""
    kinds = ["X" if c.isupper() else "x" if c.islower() else "0" if c.isdigit() else c for c in word]
    return "".join(kind for n, kind in enumerate(kinds) if n == 0 or kind != kinds[n - 1])


def _linear_tool() -> str:
    try:
        import sklearn
    except ImportError as error:
        raise ValueError("`errors` needs scikit-learn: pip install -e '.[construct]', or give `models`.") from error
    return f"linear model, scikit-learn {sklearn.__version__}"


def _write_folds(work: Work, settings: Settings, folder: Path) -> None:
    """Write each fold in the authors' layout: part N is its test split, the next one valid, and all others train."""
    with ExitStack() as stack:
        files: dict[tuple[int, str, int], Any] = {}
        for record in work.records("errors"):
            text = format_sentence(record.image_id, record.tokens, tags_of_spans(len(record.tokens), record.labels))
            for fold in range(settings.folds):
                split = {fold: 2, (fold + 1) % settings.folds: 1}.get(fold_of(record.image_id, settings), 0)
                for number, name in enumerate(FILE_NAMES[0]):
                    if (key := (fold, record.lang, number)) not in files:
                        path = folder / f"fold-{fold}" / f"{FOLDER_PREFIX}{record.lang}" / name
                        path.parent.mkdir(parents=True, exist_ok=True)
                        files[key] = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                files[fold, record.lang, split].write(text)


def _page(queue: Sequence[dict[str, Any]], strings: Sequence[tuple[str, Counter[str]]], counts: Counts) -> str:
    shown = queue[:SENTENCES_SHOWN]
    confused = Counter(
        f"{sign['type'] or 'none'} → {sign['other'] or 'none'}"
        for item in queue
        for sign in item["signs"]
        if sign["sign"] != "languages"
    )
    kinds = sorted({kind for _, types in strings for kind in types})
    return render(
        "construction_errors.html.jinja",
        counts=counts.to_json(),
        queue=shown,
        kinds=kinds,
        strings=[[words, *(types[kind] for kind in kinds)] for words, types in strings[:STRINGS_SHOWN]],
        more_strings=max(0, len(strings) - STRINGS_SHOWN),
        confused=[list(pair) for pair in confused.most_common(20)],
        pieces=pieces_of,
        queue_name=QUEUE,
    )


def pieces_of(item: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    """Return the words of an item in pieces of text, type and style, as the templates' `marked` takes them."""
    doubted = {(sign["start"], sign["end"]) for sign in item["signs"]}
    pieces: list[tuple[str, str | None, str]] = []
    last, tokens = 0, item["tokens"]
    for span in item["spans"]:
        start, end = span["start"], span["end"]
        pieces += [(" ".join(tokens[last:start]), None, "")] if start > last else []
        pieces.append((" ".join(tokens[start:end]), span["type"], "wrong" if (start, end) in doubted else "right"))
        last = end
    return [*pieces, (" ".join(tokens[last:]), None, "")] if last < len(tokens) else pieces
