"""Rank sentences by the signs of an error that they have, and write the queue, the page and the folds."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_scripts.build.sources import FILE_NAMES, FOLDER_PREFIX
from dataset_scripts.label_errors.judges import Judge, LinearJudge, RunJudge, fold_of
from dataset_scripts.label_errors.sentences import LabelledSentence, Parts
from dataset_scripts.label_errors.settings import RankingSettings
from dataset_scripts.label_errors.signs import (
    LEAST_SCORE,
    SIGNS,
    AmbiguousStrings,
    Survey,
    language_signs,
    model_signs,
    string_signs,
)
from reports_2mner.conll_format import format_sentence
from reports_2mner.files import write_file, write_lines
from reports_2mner.html import render

QUEUE, PAGE = "queue.jsonl", "errors.html"
SENTENCES_AT_ONCE = 128
STRINGS_SHOWN, SENTENCES_SHOWN = 100, 200  # on the page

# Returns small pictures (`thumbnails.Thumbnail`) of the sentences with these names, as far as there are any.
Draw = Callable[[set[str]], Mapping[str, Any]]


def write_ranking(
    parts: Parts, settings: RankingSettings, folder: Path, draw: Draw, quiet: bool = False
) -> Counter[str]:
    """Write queue.jsonl and errors.html.

    Args:
        parts: the sentences.
        settings: which model, and how much.
        folder: an existing folder.
        draw: makes the pictures of the page.
        quiet: whether no progress is shown.

    Returns:
        The numbers of `sentences`, of those with a sign, in the queue and over its limit, and of signs of each kind.

    Raises:
        ValueError: if the sentences have no entities, or a model does not know their types.
    """
    survey, counts = Survey(), Counter[str]()
    for sentence in chain.from_iterable(part() for part in parts):
        counts["sentences"] += 1
        survey.add(sentence)
    if not survey.strings:
        raise ValueError(
            "A ranking needs entities, and the sentences have none; label them first (`recognise`, `project`)."
        )
    if settings.write_folds:
        _write_folds(parts, settings, folder)
    judge: Judge
    if settings.models:
        judge = RunJudge(settings.models, settings.seed)
    else:
        judge = LinearJudge(parts, sorted(survey.tags), settings.folds, settings.seed)
    ambiguous, texts = survey.ambiguous(), dict[int, str]()
    sentences = chain.from_iterable(part() for part in parts)
    shown = tqdm(sentences, "errors", counts["sentences"], unit=" sentences", disable=quiet or None)
    suspects = _suspects(iter(shown), judge, ambiguous, texts, counts)
    queue = heapq.nsmallest(settings.limit, suspects, key=lambda item: (-item["score"], item["uid"]))
    counts["sentences in the queue"] = len(queue)
    counts["sentences over the limit"] = counts["sentences with a sign"] - len(queue)
    write_lines(folder / QUEUE, (json.dumps(item, ensure_ascii=False) for item in queue))
    strings = sorted(
        ((texts[key], types) for key, types in ambiguous.items()),
        key=lambda entry: (max(entry[1].values()) - entry[1].total(), entry[0]),
    )
    write_file(folder / PAGE, _page(queue, strings, counts, draw))
    return counts


def _suspects(
    sentences: Iterator[LabelledSentence],
    judge: Judge,
    ambiguous: AmbiguousStrings,
    texts: dict[int, str],
    counts: Counter[str],
) -> Iterator[dict[str, Any]]:
    """Yield an item of the queue for each sentence that has a sign."""
    while batch := list(islice(sentences, SENTENCES_AT_ONCE)):
        for sentence, posteriors in zip(batch, judge(batch), strict=True):
            found = chain(
                model_signs(sentence, posteriors, judge.labels),
                string_signs(sentence, ambiguous, texts),
                language_signs(sentence),
            )
            signs = [sign for sign in found if sign["score"] >= LEAST_SCORE]
            counts.update(f"signs: {sign['sign']}" for sign in signs)
            counts["sentences with a sign"] += bool(signs)
            if signs:
                yield _item(sentence, signs)


def _item(sentence: LabelledSentence, signs: list[dict[str, Any]]) -> dict[str, Any]:
    best = [max((sign["score"] for sign in signs if sign["sign"] == name), default=0.0) for name in SIGNS]
    item = {name: getattr(sentence, name) for name in ("uid", "image_id", "lang", "source", "tokens")}
    spans = [{"start": start, "end": end, "type": kind} for kind, start, end in sentence.entities]
    return {**item, "spans": spans, "score": round(sum(best) / len(SIGNS), 6), "signs": signs}


def _write_folds(parts: Parts, settings: RankingSettings, folder: Path) -> None:
    """Write each fold in the authors' layout: part N is its test split, the next one valid, and all others train."""
    with ExitStack() as stack:
        files: dict[tuple[int, str, int], Any] = {}
        for sentence in chain.from_iterable(part() for part in parts):
            text = format_sentence(sentence.image_id, sentence.tokens, sentence.tags)
            mine = fold_of(sentence, settings.folds, settings.seed)
            for fold in range(settings.folds):
                split = {fold: 2, (fold + 1) % settings.folds: 1}.get(mine, 0)
                for number, name in enumerate(FILE_NAMES[0]):
                    if (key := (fold, sentence.lang, number)) not in files:
                        path = folder / f"fold-{fold}" / f"{FOLDER_PREFIX}{sentence.lang}" / name
                        path.parent.mkdir(parents=True, exist_ok=True)
                        files[key] = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                files[fold, sentence.lang, split].write(text)


def _page(
    queue: Sequence[dict[str, Any]], strings: Sequence[tuple[str, Counter[str]]], counts: Counter[str], draw: Draw
) -> str:
    shown = queue[:SENTENCES_SHOWN]
    confused = Counter(
        f"{sign['type'] or 'none'} → {sign['other'] or 'none'}"
        for item in queue
        for sign in item["signs"]
        if sign["sign"] != "languages"
    )
    kinds = sorted({kind for _, types in strings for kind in types})
    return render(
        "label_errors.html.jinja",
        counts=counts,
        queue=shown,
        kinds=kinds,
        strings=[[words, *(types[kind] for kind in kinds)] for words, types in strings[:STRINGS_SHOWN]],
        more_strings=max(0, len(strings) - STRINGS_SHOWN),
        confused=[list(pair) for pair in confused.most_common(20)],
        pieces=_pieces,
        pictures=draw({item["uid"] for item in shown}),
        queue_name=QUEUE,
    )


def _pieces(item: dict[str, Any]) -> Any:
    from dataset_scripts.marked_sentences import cut_into_pieces  # loads torch
    from modeling_2mner.spans import Span

    doubted = {(sign["start"], sign["end"]) for sign in item["signs"]}
    spans = [Span(span["type"], span["start"], span["end"]) for span in item["spans"]]
    return cut_into_pieces(item["tokens"], {s: "wrong" if (s.start, s.end) in doubted else "right" for s in spans})[0]
