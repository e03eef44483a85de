"""Fetch the pictures of all records; a record whose picture cannot be had stays, with the reason.

    python -m dataset_scripts.construct fetch WORK --contact you@example.org
    python -m dataset_scripts.construct fetch WORK --retry transient

Pictures come from a folder, or from the addresses of the records: at most two requests at a host at once, a pause between
them, by its robots.txt, and never from a private address. WORK/pictures/images holds them as <image id>.jpg, for the builder,
WORK/pictures/files each different picture once. An address that has been asked is not asked again,
whatever came of it, unless `--retry` names what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_scripts.build.engine import Engine
from dataset_scripts.build.pictures import find_unsafe_part
from dataset_scripts.build.urls import find_urls
from dataset_scripts.construct.downloads import Downloads, Rules, Web
from dataset_scripts.construct.picture_store import CLASSES, FOLDER, Picture, PictureStore, examine, plain_url
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.schema import IMAGE_STATUSES
from reports_2mner.command_line import option
from reports_2mner.locks import only_writer


@dataclass(frozen=True)
class Settings(Rules):
    """Where pictures come from, and how they are asked for."""

    images: Path | None = option(None, "folder with pictures <image id>.jpg that need not be fetched")
    urls: Path | None = option(None, "the list of Conceptual 12M (cc12m.tsv), for the addresses of released captions")
    retry: tuple[str, ...] = option((), "ask again for pictures that ended so", choices=CLASSES[1:])
    removed: Path | None = option(None, "folder of pictures that only say that there is none")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("images", "removed"):
            if (folder := getattr(self, name)) and not folder.is_dir():
                raise ValueError(f"`{name}` must be a folder, but {folder} is not; check the path.")


def run(work: Work, settings: Settings, engine: Engine = map, allow_loopback: bool = False) -> dict[str, Any]:
    """Fetch, and write the records, each with what became of its picture as `image`.

    Args:
        work: the work folder.
        settings: where pictures come from.
        engine: runs the parts; pictures are fetched by threads of this process.
        allow_loopback: for tests alone, which ask a server on this machine.
    """
    if settings.robots == "obey":
        try:
            import protego  # noqa: F401
        except ImportError as error:
            raise ValueError("robots.txt is read by protego: pip install '2m-ner[construct]'.") from error
    if settings.images and settings.images.resolve() == (work.folder / "pictures" / "images").resolve():
        raise ValueError("`images` is the folder that this stage writes; name the folder with pictures of your own.")
    work.givers("fetch")
    with only_writer(work.folder / "pictures", "WORK"):
        with closing(PictureStore(work.folder)) as store:
            store.list_records(_rows(work, settings))
            store.forget(settings.retry)
            web = Web(store, settings, settings.images, allow_loopback)
            if pending := store.count_pending():
                import modeling_2mner.images  # noqa: F401 - here, as two threads that load parts of it at once fail
            with tqdm(desc="pictures", total=pending, disable=work.quiet or None) as bar:
                Downloads(settings, web, store, bar.update).run(store.pending())
            if left := store.count_pending():
                raise RuntimeError(f"{left} addresses have got no class")
            store.mark_removed(_examples(settings.removed))
            store.group_alike()
            store.link_images()
            digest = store.digest()
        return work.map_records("fetch", partial(_with_pictures, work.folder), {"pictures": digest}, engine=engine)


def _rows(work: Work, settings: Settings) -> Iterator[tuple[str, str, str | None]]:
    """Yield uid, image id and address of every record."""
    wanted = (record.image_id for record in work.records("fetch") if not record.url)
    listed = find_urls(settings.urls, wanted) if settings.urls else {}
    for record in work.records("fetch"):
        address = (record.url or listed.get(record.image_id) or "").strip() or None
        if find_unsafe_part(record.image_id):
            address = None
        elif settings.images and (settings.images / f"{record.image_id}.jpg").exists():
            address = f"{FOLDER}{record.image_id}"
        yield record.uid, record.image_id, address


def _examples(folder: Path | None) -> Iterator[Picture]:
    for path in sorted(folder.iterdir()) if folder else ():
        if path.is_file():
            outcome = examine(path.read_bytes())
            if outcome.picture is None:
                raise ValueError(f"`removed` {path} is no picture ({outcome.reason}); take it out of the folder.")
            yield outcome.picture


def _with_pictures(work: Path, records: Iterable[Record], counts: Counts) -> Iterator[Record]:
    with closing(PictureStore(work, only_read=True)) as store:
        for record in records:
            found = store.image(record.image_id)
            image = _image(record, found)
            counts.notes[f"pictures: {image['status']}" + (f", {image['why']}" if image["why"] else "")] += 1
            address = "" if found.get("url", FOLDER).startswith(FOLDER) else found["address"]
            if record.url and address and plain_url(record.url) != found["url"]:
                counts.notes["further addresses of the same image id, not asked"] += 1
            more = {**record.more, "image": image}
            yield replace(record, url=record.url or address or None, more=more).step("fetch")


def _image(record: Record, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of its picture: a status of the data set's rows, and why if it is not ok."""
    if not found:
        return {"status": "missing", "why": "unsafe image id" if find_unsafe_part(record.image_id) else "no address"}
    if found["class"] != "ok":
        status = found["status"] if found["status"] in IMAGE_STATUSES else "missing"
        return {"status": status, "why": found["status"], "class": found["class"]}
    path = f"pictures/files/{found['sha256'][:2]}/{found['sha256']}{found['suffix']}"
    values = {name: found[name] for name in ("class", "sha256", "width", "height", "alike")}
    return {"status": "ok", "why": "", **values, "path": path}
