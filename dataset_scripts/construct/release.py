"""Write the sentences and their entities in the layout of the MMNERD authors, with their provenance and a card.

    python -m dataset_scripts.construct release WORK --output MMNERD-new

`dataset_scripts.build` makes the data set of it; the card gives the command. There is one split, 8:1:1 by picture. Entities
that wait for people (missing, ambiguous, collided) are no labels; the card and construction.json count them.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dataset_scripts.build.card import LICENCE
from dataset_scripts.build.engine import Engine
from dataset_scripts.build.sources import FILE_NAMES, FOLDER_PREFIX
from dataset_scripts.card import fill_body
from dataset_scripts.construct.records import Record, tags_of_spans
from dataset_scripts.construct.settings import DEFAULT_PRESET, PRESETS
from dataset_scripts.construct.stages import MANIFEST, ORDER, Counts, Work
from dataset_scripts.parquet import move_folder
from dataset_scripts.schema import LANGUAGES, SPLITS, sort_languages
from dataset_scripts.splits import METHODS, split_of_group, stable_hash
from reports_2mner.command_line import option
from reports_2mner.conll_format import ID_PREFIX, format_sentence
from reports_2mner.files import write_file, write_json
from reports_2mner.language_table import language_name
from reports_2mner.locks import only_writer
from reports_2mner.tables import Table

CARD = LICENCE.with_name("construction_card.md")
CONSTRUCTION, PROVENANCE = "construction.json", "provenance.jsonl"


@dataclass(frozen=True)
class Settings:
    """What is written where."""

    output: Path | None = option(None, "folder to write; one that `release` wrote is replaced")
    title: str = option("A multilingual set for multimodal named entity recognition", "title of the card")
    guideline: str = option("", "version of the annotation guideline, for the card")
    seed: int = option(19, "seed of the split")
    languages: tuple[str, ...] = option((), "languages to write (default: all)", metavar="CODE")
    leave_out_flagged: bool = option(False, "leave out sentences with a fault, such as a translation that was cut off")
    rules: str = option(DEFAULT_PRESET, "preset that the card names", choices=tuple(PRESETS))
    build_split: str = option("grouped", "split of the command in the card", choices=METHODS)
    build_picture: str = option(
        "none", "picture for sentences without one, in that command", choices=("none", "default")
    )


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the release into the work folder, and a copy to `output`."""
    if settings.output is None:
        raise ValueError("`output` must name the folder to write, such as --output MMNERD-new.")
    output = settings.output.resolve()
    with only_writer(output, "output"):
        _check_output(output)
        earlier = [manifest for stage in ORDER if stage != "release" and (manifest := work.manifest(stage))]
        keys = {f"{manifest['stage']}/{MANIFEST}": manifest["key"] for manifest in earlier}
        write = partial(_write, work, settings, earlier)
        values = {name: value for name, value in vars(settings).items() if name != "output"}
        manifest = work.perform("release", write, values, {**work.inputs("release"), **keys})
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as workplace:
            fresh = Path(workplace, "fresh")
            shutil.copytree(work.place("release"), fresh, ignore=shutil.ignore_patterns(MANIFEST))
            move_folder(fresh, output)
    return manifest


def _check_output(output: Path) -> None:
    if output.exists() and not (output / CONSTRUCTION).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"`output` {output} holds something that `release` did not write; name another folder.")


def _write(work: Work, settings: Settings, earlier: list[dict[str, Any]], folder: Path, counts: Counts) -> None:
    """Write the text files, the provenance, the record of the construction and the card."""
    summary = _Summary()
    with _Texts(folder, settings.seed) as texts:
        for record in _chosen(work, settings, counts):
            texts.write(record)
            summary.add(record)
            counts.written += 1
    if not counts.written:
        raise ValueError("`release` has no sentence to write; see what the earlier stages left out, or `languages`.")
    texts.complete()
    stages = [
        {name: _without_folders(manifest[name]) for name in ("stage", "tool", "settings", "counts")}
        for manifest in earlier
    ]
    build = _build_command(settings, texts.languages)
    construction = {
        "build": build,
        "rules": settings.rules,
        "languages": list(texts.languages),
        "sizes": {f"{lang}/{split}": number for (lang, split), number in sorted(texts.sizes.items())},
        **summary.to_json(),
        "release": {"counts": counts.to_json(), "seed": settings.seed},
        "stages": stages,
    }
    write_json(folder / CONSTRUCTION, construction, indent=1, ensure_ascii=False)
    write_file(folder / "LICENSE.md", LICENCE.read_bytes())
    write_file(folder / "README.md", _card(work, settings, texts, summary, stages, build))


def _chosen(work: Work, settings: Settings, counts: Counts) -> Iterator[Record]:
    names: array[int] = array("Q")
    for record in work.records("release"):
        counts.read += 1
        if settings.languages and record.lang not in settings.languages:
            counts.removed["in another language"] += 1
        elif settings.leave_out_flagged and record.flags:
            counts.removed["with a fault"] += 1
        elif not all(_can_be_written(word) for word in (*record.tokens, record.image_id)):
            counts.removed["with a word that the text format cannot hold"] += 1
        else:
            names.append(stable_hash(record.uid))
            yield record
    if len(set(names)) < len(names):
        raise ValueError(f"{len(names) - len(set(names))} `uid` occur twice; give each sentence its own and redo.")


def _can_be_written(word: str) -> bool:
    return not any(mark in word for mark in "\t\r\n") and not word.startswith(ID_PREFIX)


class _Texts:
    """Writes sentences to the file of their language and split, and their provenance."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self._open: dict[str, Any] = {}
        self._stack = ExitStack()
        self.sizes: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> _Texts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages written so far."""
        return sort_languages(lang for lang, _ in self.sizes)

    def write(self, record: Record) -> None:
        """Write one sentence."""
        split = split_of_group(self._seed, record.image_id)
        self.sizes[record.lang, SPLITS[split]] += 1
        tags = tags_of_spans(len(record.tokens), record.labels)
        text = format_sentence(record.image_id, record.tokens, tags)
        self._file(self._path(record.lang, split)).write(text)
        provenance = {name: getattr(record, name) for name in ("uid", "image_id", "lang", "source", "url")}
        provenance |= {"split": SPLITS[split], "parent": record.parent and record.parent["uid"]}
        provenance |= {"steps": record.steps, "flags": record.flags, "settled": record.gold is not None}
        provenance["waiting"] = [span.to_json() for span in record.spans if not span.is_label and record.gold is None]
        self._file(PROVENANCE).write(f"{json.dumps(provenance, ensure_ascii=False)}\n")

    def complete(self) -> None:
        """Make the files of splits that got no sentence: the authors' layout has all three."""
        with self:
            for lang in self.languages:
                for split in range(len(SPLITS)):
                    if not (self._folder / self._path(lang, split)).exists():
                        self._file(self._path(lang, split))

    @staticmethod
    def _path(lang: str, split: int) -> str:
        return f"{FOLDER_PREFIX}{lang}/{FILE_NAMES[0][split]}"

    def _file(self, name: str) -> Any:
        if name not in self._open:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = self._stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        return self._open[name]


class _Summary:
    """Counts entities, faults and people for the card."""

    def __init__(self) -> None:
        self.entities: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.sentences = self.gold = self.released = 0
        self.annotators: set[str] = set()

    def add(self, record: Record) -> None:
        """Add one sentence."""
        self.entities.update(f"{record.lang}/{span.type}" for span in record.labels)
        self.released += any(span.by == "released" for span in record.spans)
        self.flags.update(f"{record.lang}: {flag}" for flag in record.flags)
        self.sentences += bool(record.annotations)
        self.gold += record.gold is not None
        self.annotators.update(str(each["annotator"]) for each in record.annotations if "role" not in each)
        if record.gold is None:
            self.waiting.update(f"{record.lang}: {span.status}" for span in record.spans if not span.is_label)

    def to_json(self) -> dict[str, Any]:
        """Return all counts, without names of people."""
        counts = {name: dict(sorted(getattr(self, name).items())) for name in ("entities", "waiting", "flags")}
        people = {"annotators": len(self.annotators), "sentences": self.sentences, "settled": self.gold}
        return {**counts, "people": people}


def _without_folders(value: Any) -> Any:
    """Return plain values without the folders of this machine: of a path, only its last part."""
    if isinstance(value, dict):
        return {name: _without_folders(entry) for name, entry in value.items()}
    if not isinstance(value, str):
        return value
    kind, colon, path = value.rpartition(":")
    return f"{kind}{colon}{Path(path).name}" if Path(path).is_absolute() and not path.startswith("//") else value


def _build_command(settings: Settings, languages: tuple[str, ...]) -> str:
    name = settings.output.name if settings.output else "NEW"
    words = ["python -m dataset_scripts.build --source", name, "--no_images --split", settings.build_split]
    if set(languages) - set(LANGUAGES):
        words += ["--collection other --languages", *languages]
    if settings.build_picture != "none":
        words += ["--image_policy", settings.build_picture]
    return " ".join([*words, "--output", f"{name}-set"])


def _card(
    work: Work, settings: Settings, texts: _Texts, summary: _Summary, stages: list[dict[str, Any]], build: str
) -> str:
    rows = [[language_name(lang), *(texts.sizes[lang, split] for split in SPLITS)] for lang in texts.languages]
    agreement = work.place("agree") / "agreement.md"
    people = {"annotators": summary.annotators, "sentences": summary.sentences, "gold": summary.gold}
    return fill_body(
        CARD,
        title=settings.title,
        languages=[language_name(lang) for lang in texts.languages],
        build=build,
        sizes=Table(["language", *SPLITS], rows).markdown(),
        stages=stages,
        preset=settings.rules,
        guideline=settings.guideline or (work.manifest("tasks") or {"tool": ""})["tool"].removeprefix("guideline "),
        people={**people, "released": summary.released},
        agreement=agreement.read_text("utf-8") if agreement.is_file() else "",
        waiting=_listed(summary.waiting) or "none.",
        flags=_listed(summary.flags),
    )


def _listed(counter: Counter[str]) -> str:
    return "; ".join(f"{number:,} {name}" for name, number in sorted(counter.items()))
