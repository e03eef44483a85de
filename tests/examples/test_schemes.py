"""The two commands of a stranger, on one file in four schemes: equal information gives equal models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.make_own_data import TELLING, write_own_data
from modeling_2mner.spans import Span, entity_spans

ROOT = Path(__file__).resolve().parents[2]
RUN = "configuration_2mner/runs/demo-2m-ner.yaml"
# Two neighbours of one type: IO cannot tell them from one entity, and only they need a B- in IOB1.
NEIGHBOURS = ("photo_01", ["Aurora", "Juniper", "and", "Old", "Tom"], ["S-FISH", "S-FISH", "O", "B-FISH", "E-FISH"])
Sentence = tuple[str, list[str], list[Span]]


def read_sentences(path: Path) -> list[Sentence]:
    """Picture, words and spans of every sentence, and of the one with neighbours."""
    sentences = []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        picture, *lines = block.split("\n")
        words, tags = zip(*(line.split("\t") for line in lines), strict=True)
        sentences.append((picture.removeprefix("IMGID:"), list(words), list(tags)))
    iob2 = str.maketrans("SE", "BI")
    return [
        (picture, words, entity_spans([tag[0].translate(iob2) + tag[1:] for tag in tags], strict=True))
        for picture, words, tags in [*sentences, NEIGHBOURS]
    ]


def joined(spans: list[Span]) -> list[Span]:
    """The spans as IO has them: neighbours of one type are one."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1].type == span.type and found[-1].end == span.start:
            span = Span(span.type, found.pop().start, span.end)
        found.append(span)
    return found


def encode(length: int, spans: list[Span], scheme: str) -> list[str]:
    """The tags of a sentence in one of four schemes, written down from their definitions."""
    tags = ["O"] * length
    for number, (kind, start, end) in enumerate(spans):
        follows = number > 0 and spans[number - 1].type == kind and spans[number - 1].end == start
        parts = ["B", *"I" * (end - start - 1)]
        if scheme == "io" or (scheme == "iob1" and not follows):
            parts[0] = "I"
        elif scheme == "bioes":
            parts = ["S"] if len(parts) == 1 else [*parts[:-1], "E"]
        tags[start:end] = [f"{part}-{kind}" for part in parts]
    return tags


def write_scheme(path: Path, sentences: list[Sentence], scheme: str) -> int:
    """Write the sentences, and return how many of their tags are others in IOB2."""
    blocks, changed = [], 0
    for picture, words, spans in sentences:
        tags = encode(len(words), spans, scheme)
        known = joined(spans) if scheme == "io" else spans
        changed += sum(a != b for a, b in zip(tags, encode(len(words), known, "iob2"), strict=True))
        blocks.append("\n".join([f"IMGID:{picture}", *map("\t".join, zip(words, tags, strict=True)), ""]))
    path.write_text("\n".join(blocks), encoding="utf-8")
    return changed


def run(*command: str | Path) -> str:
    """Run one command from the root of the checkout and return everything it prints."""
    ended = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def build_and_train(source: Path, photos: Path, folder: Path) -> tuple[str, dict[str, float]]:
    """Run the two commands; return what the first one says, and the scores of the second one."""
    told = run(
        *("-m", "dataset_scripts.build", "--source", source, "--images", photos, "--output", folder / "set"),
        *("--language", "en", "--split", "grouped", "--group_by", "picture_id", "--sizes", "4", "1", "1"),
    )
    options = ("--num_train_epochs", "2", "--per_device_train_batch_size", "16", "--learning_rate", "2e-3")
    run("train_hf.py", RUN, "--dataset", folder / "set", "--output_dir", folder / "model", *options)
    results = json.loads((folder / "model" / "all_results.json").read_text(encoding="utf-8"))
    parts = ("f1", "precision", "recall", "loss")
    names = [f"{split}_{part}" for split in ("eval", "test") for part in parts]
    return told, {name: results[name] for name in (*names, *(f"test_f1_{kind}" for kind in TELLING))}


@pytest.mark.slow
def test_equal_information_in_any_scheme_gives_equal_models(tmp_path):
    write_own_data(tmp_path)
    sentences = read_sentences(tmp_path / "sentences.conll")
    as_io = [(picture, words, joined(spans)) for picture, words, spans in sentences]
    scores = {}
    for name, scheme, content in (
        ("iob2", "iob2", sentences),
        ("iob1", "iob1", sentences),
        ("bioes", "bioes", sentences),
        ("io", "io", sentences),
        ("iob2 with the neighbours as one", "iob2", as_io),
    ):
        folder = tmp_path / name
        folder.mkdir()
        changed = write_scheme(folder / "sentences.conll", content, scheme)
        told, scores[name] = build_and_train(folder / "sentences.conll", tmp_path / "photos", folder)
        print(name, changed, scores[name])
        assert f"Scheme of the tags: {scheme.upper()}" in told or scheme == "iob2"
        converted = f"tags converted from {scheme.upper()} to IOB2: {changed}\n"
        assert (converted in told) if scheme != "iob2" else "converted" not in told
        assert "Types: " in told and all(f"{kind} " in told for kind in TELLING)
    assert scores["iob2"]["eval_f1"] > 0.2  # a model that finds nothing would be the same in any scheme
    assert scores["iob1"] == scores["bioes"] == scores["iob2"]
    assert scores["io"] == scores["iob2 with the neighbours as one"] != scores["iob2"]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("iob2", "B-FISH B-FISH O B-FISH I-FISH"),
        ("iob1", "I-FISH B-FISH O I-FISH I-FISH"),
        ("io", "I-FISH I-FISH O I-FISH I-FISH"),
        ("bioes", "S-FISH S-FISH O B-FISH E-FISH"),
    ],
)
def test_the_neighbours_in_each_scheme(scheme, tags):
    spans = [Span("FISH", 0, 1), Span("FISH", 1, 2), Span("FISH", 3, 5)]
    assert encode(5, spans, scheme) == tags.split()
    assert joined(spans) == [Span("FISH", 0, 2), Span("FISH", 3, 5)]
