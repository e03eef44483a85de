"""Write the sentences, their entities and their pictures in the layout of the MMNERD authors, with provenance and a card.

    python -m dataset_scripts.construct release WORK --output MMNERD-new

`dataset_scripts.build` makes the data set of it; the card gives the command. There is one split, 8:1:1 by picture, or with
`--keep_split` that of the released files, in which translations follow their original. Entities that wait for people (missing, ambiguous, collided) are no labels; the card and construction.json count them. Pictures that
`fetch` found stand in MMNERD-new/images as hard links to those of WORK, unless `--leave_out_pictures` is given.
"""

from __future__ import annotations

import json
import shlex
import shutil
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import IO, Any

from dataset_scripts.build.card import LICENCE
from dataset_scripts.build.engine import Engine
from dataset_scripts.build.pictures import find_unsafe_part
from dataset_scripts.build.sources import FILE_NAMES, FOLDER_PREFIX
from dataset_scripts.card import fill_body
from dataset_scripts.construct.picture_store import link_file
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
from reports_2mner.markdown import plain
from reports_2mner.tables import Table

CARD = LICENCE.with_name("construction_card.md")
EMPTY_SPLIT = "language with an empty split, which `build` refuses; leave it out (`languages`)"
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
    leave_out_pictures: bool = option(False, "write only addresses and hashes of the pictures")
    rules: str = option(DEFAULT_PRESET, "preset that the card names", choices=tuple(PRESETS))
    keep_split: bool = option(False, "keep the split of the released files that the sentences come from")
    build_split: str = option("grouped", "split of the command in the card", choices=METHODS)
    build_picture: str = option(
        "none", "picture for sentences without one, in that command", choices=("none", "default")
    )


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the release: the text into the work folder; a copy, and links to the pictures, to `output`."""
    if settings.output is None:
        raise ValueError("`output` must name the folder to write, such as --output MMNERD-new.")
    output = settings.output.resolve()
    with only_writer(output, "output"):
        if output.exists() and not (output / CONSTRUCTION).is_file() and (output.is_file() or any(output.iterdir())):
            raise ValueError(f"`output` {output} holds something that `release` did not write; name another folder.")
        earlier = [manifest for stage in ORDER if stage != "release" and (manifest := work.manifest(stage))]
        keys = {f"{manifest['stage']}/{MANIFEST}": manifest["key"] for manifest in earlier}
        write = partial(_write, work, settings, earlier)
        values = {**vars(settings), "output": output.name}
        manifest = work.perform("release", write, values, {**work.inputs("release"), **keys})
        _publish(work, settings, manifest["key"], output)
    if not work.quiet:
        print(f"next: {json.loads((output / CONSTRUCTION).read_text('utf-8'))['build']}")
    return manifest


def _publish(work: Work, settings: Settings, key: str, output: Path) -> None:
    """Fill a folder beside `output`, where an earlier run for the same `key` may have left some pictures, and move it."""
    fresh = output.with_name(f".{output.name}.{key[:16]}.partial")
    for other in output.parent.glob(f".{escape(output.name)}.*.partial"):
        shutil.rmtree(other) if other != fresh else None
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(work.place("release"), fresh, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)
    for record in () if settings.leave_out_pictures else _chosen(work, settings, Counts()):
        path = fresh / "images" / f"{record.image_id}.jpg"
        if _picture(record)["status"] == "ok" and not path.exists():
            source = work.folder / record.more["image"]["path"]
            if not source.is_file():
                raise ValueError(f"The picture {source} of {record.uid} is gone; run `fetch` again.")
            link_file(source, path)
    move_folder(fresh, output)


def _picture(record: Record) -> dict[str, Any]:
    """Return what became of the picture of a record: `status`, `why`, and the SHA-256 if it is ok."""
    image = record.more.get("image") or {"status": "not fetched", "why": ""}
    if image["status"] == "ok" and find_unsafe_part(record.image_id):
        image = {"status": "missing", "why": "unsafe image id"}
    status = "refused" if image.get("class") == "refused" else image["status"]
    return {"status": status, "why": image["why"], "sha256": image.get("sha256")}


def _write(work: Work, settings: Settings, earlier: list[dict[str, Any]], folder: Path, counts: Counts) -> None:
    """Write the text files, the provenance, the record of the construction and the card."""
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    texts: dict[str, list[IO[str]]] = {}
    with ExitStack() as stack:
        provenance = stack.enter_context(_create(folder / PROVENANCE))
        for record in _chosen(work, settings, counts):
            if record.lang not in texts:  # also the splits that get no sentence: the authors' layout has all three
                places = (folder / f"{FOLDER_PREFIX}{record.lang}" / name for name in FILE_NAMES[0])
                texts[record.lang] = [stack.enter_context(_create(place)) for place in places]
            split = _split(record, settings)
            tags = tags_of_spans(len(record.tokens), record.labels)
            texts[record.lang][split].write(format_sentence(record.image_id, record.tokens, tags))
            provenance.write(f"{json.dumps(_provenance(record, SPLITS[split]), ensure_ascii=False)}\n")
            _count(totals, record, SPLITS[split])
            counts.written += 1
    if not counts.written:
        raise ValueError("`release` has no sentence to write; see what the earlier stages left out, or `languages`.")
    for lang in texts:
        if not all(totals["sizes"][f"{lang}/{split}"] for split in SPLITS):
            counts.notes[f"{EMPTY_SPLIT}: {lang}"] = 1
    names = ("stage", "tool", "settings", "counts")
    included = 0 if settings.leave_out_pictures else totals["pictures"]["ok"]
    counted = {name: dict(sorted(counter.items())) for name, counter in totals.items()}
    construction: dict[str, Any] = {
        "build": _build_command(settings, sort_languages(texts), included > 0),
        "rules": settings.rules,
        "languages": list(sort_languages(texts)),
        **{name: counted[name] for name in ("sizes", "entities", "waiting", "flags")},
        "pictures": {"included": included, "sentences": counted["pictures"]},
        "people": {"annotators": len(totals["annotators"]), **counted["people"]},
        "release": {"counts": counts.to_json(), "seed": settings.seed, "keep_split": settings.keep_split},
        "stages": [{name: _without_folders(manifest[name]) for name in names} for manifest in earlier],
    }
    write_json(folder / CONSTRUCTION, construction, indent=1, ensure_ascii=False)
    write_file(folder / "LICENSE.md", fill_body(LICENCE, collection="mmnerd"))
    write_file(folder / "README.md", _card(work, settings, totals, construction))


def _create(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", newline="\n")


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


def _split(record: Record, settings: Settings) -> int:
    """The position in `SPLITS` of a record; a translation is where its original is."""
    if not settings.keep_split:
        return split_of_group(settings.seed, record.image_id)
    released = record.more.get("released_split")
    if released not in SPLITS:
        raise ValueError(
            f"`keep_split` needs sentences of released files, but {record.uid} has no split; leave it out."
        )
    return SPLITS.index(released)


def _can_be_written(word: str) -> bool:
    return not any(mark in word for mark in "\t\r\n") and not word.startswith(ID_PREFIX)


def _provenance(record: Record, split: str) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in ("uid", "image_id", "lang", "source", "url")}
    values |= {"picture": _picture(record), "split": split, "parent": record.parent and record.parent["uid"]}
    values |= {"steps": record.steps, "flags": record.flags, "settled": record.gold is not None}
    return {**values, "waiting": [span.to_json() for span in _waiting(record)]}


def _waiting(record: Record) -> list[Any]:
    return [span for span in record.spans if not span.is_label and record.gold is None]


def _count(totals: Mapping[str, Counter[str]], record: Record, split: str) -> None:
    """Add one sentence to the counts of sentences, entities, faults and people, for the card."""
    picture = _picture(record)
    totals["sizes"][f"{record.lang}/{split}"] += 1
    totals["entities"].update(f"{record.lang}/{span.type}" for span in record.labels)
    totals["waiting"].update(f"{record.lang}: {span.status}" for span in _waiting(record))
    totals["flags"].update(f"{record.lang}: {flag}" for flag in record.flags)
    totals["pictures"][": ".join(filter(None, dict.fromkeys((picture["status"], picture["why"]))))] += 1
    totals["annotators"].update(str(each["annotator"]) for each in record.annotations if "role" not in each)
    totals["people"].update(sentences=int(bool(record.annotations)), settled=int(record.gold is not None))
    totals["labels"].update(released=int(any(span.by == "released" for span in record.spans)))


def _without_folders(value: Any) -> Any:
    """Return plain values without the folders of this machine: of a path, only its last part."""
    if isinstance(value, dict):
        return {name: _without_folders(entry) for name, entry in value.items()}
    if not isinstance(value, str):
        return value
    kind, colon, path = value.rpartition(":")
    return f"{kind}{colon}{Path(path).name}" if Path(path).is_absolute() and not path.startswith("//") else value


def _build_command(settings: Settings, languages: tuple[str, ...], with_pictures: bool) -> str:
    name = settings.output.name if settings.output else "NEW"
    pictures = ["--images", f"{name}/images"] if with_pictures else ["--no_images"]
    split = "given" if settings.keep_split else settings.build_split
    words = ["python", "-m", "dataset_scripts.build", "--source", name, *pictures, "--split", split]
    if set(languages) - set(LANGUAGES):
        words += ["--collection", "other", "--languages", *languages]
    if settings.build_picture != "none":
        words += ["--image_policy", settings.build_picture]
    return shlex.join([*words, "--output", f"{name}-set"])


def _card(work: Work, settings: Settings, totals: Mapping[str, Counter[str]], construction: dict[str, Any]) -> str:
    languages, sizes = construction["languages"], totals["sizes"]
    rows = [[language_name(lang), *(sizes[f"{lang}/{split}"] for split in SPLITS)] for lang in languages]
    agreement = work.place("agree") / "agreement.md"
    return fill_body(
        CARD,
        title=plain(settings.title),
        languages=[language_name(lang) for lang in languages],
        sizes=Table(["language", *SPLITS], rows).markdown(),
        construction=construction,
        guideline=settings.guideline or (work.manifest("tasks") or {"tool": ""})["tool"].removeprefix("guideline "),
        released=totals["labels"]["released"],
        agreement=agreement.read_text("utf-8") if agreement.is_file() else "",
        waiting=_listed(totals["waiting"]) or "none.",
        flags=_listed(totals["flags"]),
        pictures=_listed(totals["pictures"]),
    )


def _listed(counter: Counter[str]) -> str:
    return "; ".join(f"{number:,} {plain(name)}" for name, number in sorted(counter.items()))
