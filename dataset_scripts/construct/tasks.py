"""Write tasks for annotators: sentences, the entities that are proposed for them, and what is doubtful about these.

    python -m dataset_scripts.construct tasks WORK --annotators ana ben eva=es,fr --languages es fr
    LABEL_STUDIO_TOKEN=... python -m dataset_scripts.construct tasks WORK --format label_studio \\
        --server http://127.0.0.1:8080 --images pictures --document_root .

Sentences with entities that were not placed come first, then those with low scores. JSONL and CoNLL have a file for each
annotator, in which changing pairs share the sentences; `dataset_scripts/annotations` describes both. Copy the files
before you work on them. In Label Studio everybody takes tasks from one project; import `project.json` and the tasks by
hand, or let `--server` do it, which never imports a sentence twice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, combinations
from math import inf
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.forms import WRITERS
from dataset_scripts.annotations.label_studio import PROJECT, local_address, project_settings
from dataset_scripts.annotations.label_studio_server import Server
from dataset_scripts.annotations.sentence import Mention, Sentence, Task
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.project import DOUBTS, doubt
from dataset_scripts.construct.records import Record, Span, read_records
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.schema import ENTITY_TYPES
from reports_2mner.command_line import at_least, option
from reports_2mner.files import file_sha256, write_file, write_json

ASKED = "asked.json"  # all settings, for later stages; the manifest, which is published, names no people and places
PUBLIC = ("format", "answers", "types", "languages", "only_doubts", "no_proposals", "skip", "limit")
GUIDELINE = Path(__file__).parents[2] / "docs" / "guideline.md"
INSPECTOR = "inspector"
FLAGGED, BY_SCORE, STEPS = len(DOUBTS), len(DOUBTS) + 1, 10


@dataclass(frozen=True)
class Settings:
    """Who is asked what."""

    format: str = option("jsonl", "form of the tasks", choices=tuple(WRITERS))
    annotators: tuple[str, ...] = option((), "names, if some know only some languages as eva=es,fr", metavar="NAME")
    answers: int = option(2, "annotators of each sentence", type=at_least(1))
    types: tuple[str, ...] = option(ENTITY_TYPES, "types of entities", metavar="TYPE")
    languages: tuple[str, ...] = option((), "languages to annotate (default: all)", metavar="CODE")
    only_doubts: bool = option(False, "ask only for sentences with entities that were not placed, or with flags")
    no_proposals: bool = option(False, "show no proposed entities, as in training rounds")
    skip: int = option(0, "sentences of each language to pass over, as those of an earlier round", type=at_least(0))
    limit: int | None = option(None, "sentences of each language at most", type=at_least(1))
    guideline: Path = option(GUIDELINE, "the annotation guideline, Markdown")
    images: Path | None = option(None, "folder of the pictures, <image id>.jpg (default: those of `fetch`)")
    document_root: Path | None = option(None, "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, a folder above `images`")
    project: str | None = option(None, "title of the project in Label Studio (default: the name of WORK)")
    server: str | None = option(None, "address of a Label Studio server to fill; its token is in LABEL_STUDIO_TOKEN")

    def __post_init__(self) -> None:
        if self.format != "label_studio" and len(self.annotators) < self.answers:
            raise ValueError(
                f"`annotators` must name at least `answers` ({self.answers}) people for {self.format}, got "
                f"{list(self.annotators)}; name them, or set `answers`."
            )
        names = [entry.partition("=")[0] for entry in self.annotators]
        if wrong := [name for name in names if not re.fullmatch(r"\w[\w.@+-]{,99}", name)]:
            raise ValueError(f"`annotators` must be names of letters, digits and . _ - + @, got {wrong[0]!r}.")
        if len({name.casefold() for name in names}) < len(names):
            raise ValueError(f"`annotators` must have different names, in small letters too, got {names}.")
        if self.images and self.document_root and self.document_root.resolve() not in self.images.resolve().parents:
            raise ValueError(
                f"`document_root` must be a folder above `images` {self.images}, got {self.document_root}."
            )

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the languages of each annotator; none for all languages."""
        pairs = (entry.partition("=") for entry in self.annotators)
        return {name: tuple(filter(None, languages.split(","))) for name, _, languages in pairs}


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the tasks; with `server` also import those that the project lacks."""
    refuse_edited(work, "tasks")
    if settings.images and not settings.images.is_dir():
        raise ValueError(f"`images` must be a folder with pictures <image id>.jpg, got {settings.images}.")
    values = json.loads(json.dumps(vars(settings), default=str))
    settings, guideline = _with_pictures(work, settings), _guideline(settings)
    plain = {name: values[name] for name in PUBLIC} | {"annotators": len(settings.annotators)}
    inputs = work.inputs("tasks") | {"guideline": hash_of(guideline), "asked": hash_of(values)}

    def write(folder: Path, counts: Counts) -> None:
        write_file(folder / "guideline.md", guideline)
        write_json(folder / ASKED, values, indent=1, ensure_ascii=False)
        queues = _queues(work, settings, folder, counts)
        if counts.removed["in another language"] == counts.read:
            raise ValueError(f"`languages` has {list(settings.languages)}, and {work.folder} no sentence in these.")
        for name in [None] if settings.format == "label_studio" else settings.names():
            write_tasks(folder, work, settings, name or "tasks", _tasks(queues, settings, name, counts))
        for path in queues:
            path.unlink()

    version = re.search(r"^Version (\w+(?:\.\w+)*)", guideline, re.MULTILINE)
    tool = f"guideline {version[1] if version else inputs['guideline'][:12]}"
    manifest = work.perform("tasks", write, plain, inputs, tool)
    push_tasks(work.place("tasks"), "tasks", settings, settings.server)
    return manifest


def push_tasks(folder: Path, name: str, settings: Settings, server: str | None) -> None:
    """Import the tasks of a folder into their project, if there is a server."""
    if server:
        project, new = Server(server).push(folder, name, settings.images)
        print(f"{new:,} tasks imported into {project!r} on {server}")


def asked(work: Work) -> Settings:
    """Return the settings with which `tasks` was run, on which the later stages rely; ValueError if it was not."""
    if work.manifest("tasks") is None:
        raise ValueError(f"{work.folder} has no tasks, whose types and format are needed; run `tasks` first.")
    values: dict[str, Any] = json.loads((work.place("tasks") / ASKED).read_text("utf-8"))
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
        elif value and name in ("guideline", "images", "document_root"):
            values[name] = Path(value)
    return _with_pictures(work, Settings(**values))


def _guideline(settings: Settings) -> str:
    try:
        return settings.guideline.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"`guideline` {settings.guideline} cannot be read ({error}); name another file.") from error


def _with_pictures(work: Work, settings: Settings) -> Settings:
    """Return settings with the pictures that `fetch` has put into the work folder, if no others are named."""
    fetched = work.folder / "pictures" / "images"
    return replace(settings, images=fetched) if settings.images is None and fetched.is_dir() else settings


def hash_of(values: Any) -> str:
    """Return a hash of plain values, which stands for what must not be published."""
    return sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def refuse_edited(work: Work, stage: str) -> None:
    """Raise ValueError if people have worked on the files of a stage, which would now be replaced."""
    manifest = work.manifest(stage) or {"files": {}}
    for name, written in manifest["files"].items():
        path = work.place(stage) / name
        if path.is_file() and file_sha256(path) != written:
            raise ValueError(
                f"{path} was changed since `{stage}` wrote it, and would be replaced; move it elsewhere first, and give it "
                f"to the next stage as `--answers`."
            )


def project_title(work: Work, settings: Settings, inspector: bool = False) -> str:
    """Return the title of the annotators' or the inspector's project in Label Studio."""
    return (settings.project or work.folder.resolve().name) + (" (inspector)" if inspector else "")


def write_tasks(folder: Path, work: Work, settings: Settings, name: str, tasks: Iterable[Task]) -> None:
    """Write tasks in the format of `settings` as files of this name; for Label Studio with their project."""
    folder.mkdir(exist_ok=True)
    if settings.format == "label_studio":
        title, answers = project_title(work, settings, name == INSPECTOR), 1 if name == INSPECTOR else settings.answers
        project = project_settings(title, settings.types, _guideline(settings), answers)
        write_json(folder / PROJECT, project, indent=1, ensure_ascii=False)
    WRITERS[settings.format](folder, name, tasks)


def find_picture(record: Record, images: Path | None) -> Path | None:
    """Return the picture of a sentence, if the folder has it."""
    path = images and images / f"{record.image_id}.jpg"
    return path if path and path.parent == images and path.is_file() else None


def picture_address(record: Record, settings: Settings) -> str:
    """Return the name of the picture's file, or its address in Label Studio; "" if there is none."""
    path = find_picture(record, settings.images)
    if path is None:
        return ""
    return local_address(path, settings.document_root) if settings.document_root else path.name


def sentence_of(record: Record, spans: Iterable[Span] = ()) -> Sentence:
    """Return a record as a sentence of the forms, with these entities."""
    places = record.offsets
    mentions = tuple(Mention(places[e.start][0], places[e.end - 1][1], e.type, e.score) for e in spans)
    return Sentence(record.tokens, record.text, places, mentions, uid=record.uid, lang=record.lang)


def task_of(record: Record, proposed: Iterable[Span], settings: Settings, annotator: str) -> Task:
    """Return the task of one annotator for a record, with what is proposed."""
    sentence = sentence_of(record, proposed)
    return Task(replace(sentence, annotator=annotator, image=picture_address(record, settings)), note_of(record))


def note_of(record: Record) -> str:
    """Return what an annotator should know: entities that wait for a decision, and the sentence in its first language."""
    alone = record.more.get("translation", {}).get("alone")
    notes = list(record.flags)
    for span in (span for span in record.spans if not span.is_label):
        translated = alone[span.parent] if alone and span.parent is not None else ""
        notes.append(f"{span.status}: {span.type} {record.words(span) or translated}")
    return " | ".join([*notes, *([f"translated from: {record.parent['text']}"] if record.parent else [])])


def urgency(record: Record) -> int:
    """Return how early people should see a sentence, 0 first: by `DOUBTS`, then flags, then the lowest score."""
    by_doubt = doubt(record)
    if by_doubt is not None:
        return by_doubt
    scores = [span.score for span in record.labels if span.score is not None]
    return FLAGGED if record.flags else BY_SCORE + min(STEPS - 1, int(STEPS * min(scores, default=1.0)))


def _queues(work: Work, settings: Settings, folder: Path, counts: Counts) -> list[Path]:
    """Write the wanted records into a file for each urgency, so that memory holds one at a time."""
    paths = [folder / f".queue-{number:02d}.jsonl" for number in range(BY_SCORE + STEPS)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("w", encoding="utf-8", newline="\n")) for path in paths]
        for record in work.records("tasks"):
            counts.read += 1
            place = urgency(record)
            if settings.languages and record.lang not in settings.languages:
                counts.removed["in another language"] += 1
            elif settings.only_doubts and place > FLAGGED:
                counts.removed["without doubts"] += 1
            else:
                files[place].write(f"{json.dumps(record.to_json(), ensure_ascii=False)}\n")
    return paths


def _tasks(queues: Iterable[Path], settings: Settings, name: str | None, counts: Counts) -> Iterator[Task]:
    """Yield the tasks of one annotator, or all with None; each group of annotators gets every so many sentences."""
    turns: Counter[str] = Counter()
    first = name is None or name == next(iter(settings.names()))  # counts what is the same for all
    end = inf if settings.limit is None else settings.skip + settings.limit
    for record in chain.from_iterable(map(read_records, queues)):
        turn = turns[record.lang]
        turns[record.lang] += 1
        if not settings.skip <= turn < end:
            counts.removed["over the limit" if turn >= end else "passed over"] += first
            continue
        counts.written += first
        if name is None or name in _group(turn, record.lang, settings):
            counts.notes["tasks"] += 1
            yield task_of(record, () if settings.no_proposals else record.labels, settings, name or "")


def _group(turn: int, lang: str, settings: Settings) -> Sequence[str]:
    """Return who annotates the sentence of this number in its language."""
    able = [name for name, languages in settings.names().items() if not languages or lang in languages]
    groups = list(combinations(able, settings.answers))
    if not groups:
        raise ValueError(f"`annotators` has only {len(able)} people for {lang}, and `answers` is {settings.answers}.")
    return groups[turn % len(groups)]
