"""A distribution in the authors' layout: four languages that share pictures, and everything that can be wrong with one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import permutations
from pathlib import Path

import PIL.Image

from dataset_scripts.conll import ConllSentence, write_conll
from dataset_scripts.mini.generator import generate_rows
from dataset_scripts.schema import LANGUAGES, SPLITS

FILES = ("train_conll_format.txt", "valid_conll_format.txt", "test_conll_format.txt")
PAIRS = {("en", "de"), ("en", "fr"), ("en", "es"), ("de", "fr"), ("de", "es"), ("fr", "es")}
ORIENTATION = 0x0112


def encode(picture: PIL.Image.Image, kind: str, **options) -> bytes:
    """Return the file of a picture."""
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def odd_pictures() -> dict[str, tuple[bytes, str]]:
    """Return `{id: (file, expected status)}` of pictures that break other loaders."""
    red = PIL.Image.new("RGB", (64, 48), (200, 30, 30))
    noise = PIL.Image.effect_noise((64, 48), 90)
    turned = PIL.Image.Exif()
    turned[ORIENTATION] = 6
    frames = {"save_all": True, "append_images": [noise.convert("RGB")]}
    return {
        "truncated": (encode(noise, "JPEG")[:-400], "unreadable"),
        "empty": (b"", "unreadable"),
        "html": (b"<!DOCTYPE html><title>404</title>", "unreadable"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable"),
        "bomb": (encode(PIL.Image.new("1", (20_000, 10_000)), "PNG"), "unreadable"),
        "large": (encode(PIL.Image.new("1", (10_000, 9_000)), "PNG"), "unreadable"),
        "dot": (encode(PIL.Image.new("RGB", (1, 1)), "GIF"), "degenerate"),
        "line": (encode(PIL.Image.new("RGB", (1, 5_000)), "PNG"), "degenerate"),
        "cmyk": (encode(red.convert("CMYK"), "JPEG"), "ok"),
        "grey": (encode(noise, "JPEG"), "ok"),
        "grey-alpha": (encode(PIL.Image.new("LA", (64, 48)), "PNG"), "ok"),
        "palette": (encode(red.convert("P"), "PNG", transparency=0), "ok"),
        "clear": (encode(PIL.Image.new("RGBA", (64, 48), (0, 0, 0, 0)), "PNG"), "ok"),
        "sixteen": (encode(PIL.Image.new("I;16", (64, 48), 40_000), "PNG"), "ok"),
        "animated": (encode(red.convert("P"), "GIF", **frames), "ok"),
        "pages": (encode(red, "TIFF", **frames), "ok"),
        "mpo": (encode(red, "MPO", **frames), "ok"),
        "webp": (encode(red, "WEBP"), "ok"),
        "turned": (encode(red, "JPEG", exif=turned), "ok"),
        "wide": (encode(PIL.Image.new("RGB", (2_000, 1_000)), "JPEG"), "ok"),
        # Odd names of sound pictures
        "06959512---": (encode(red, "PNG"), "ok"),
        "00001293---a%2Fb?c=[d]&e*.": (encode(red, "PNG"), "ok"),
        "Upper": (encode(red, "JPEG"), "ok"),
        "upper": (encode(noise, "JPEG"), "ok"),
        "caf\u00e9": (encode(red, "JPEG"), "ok"),
        "cafe\u0301": (encode(noise, "JPEG"), "ok"),
        " blank ": (encode(red, "JPEG"), "ok"),
    }


# Ids that may not become file names, and names of what is no file: `_add_other_entries` makes those.
REFUSED_IDS = ("../secret", "/etc/passwd", "a/../b", "..\\secret", "C:secret", "a\0b", "x" * 252, "http://host/a?b")
OTHER_ENTRIES = {"folder": "unreadable", "pipe": "unreadable", "loop": "unreadable", "outside": "unreadable"}
OTHER_ENTRIES |= {"nowhere": "missing", "absent": "missing"}


@dataclass
class Distribution:
    """Where it is, what it holds, and what should become of the odd pictures."""

    source: Path
    images: Path
    sentences: dict[tuple[str, str], list[ConllSentence]]  # by language and split
    statuses: dict[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[str, str, ConllSentence]]:
        """Yield language, split and sentence."""
        for (lang, split), group in self.sentences.items():
            for sentence in group:
                yield lang, split, sentence


def write_everything(root: Path) -> Distribution:
    """Write the eleven folders and the pictures into the empty folder `root`."""
    images = root / "images"
    images.mkdir()
    rows = generate_rows(seed=5, num_train=160, num_validation=32, num_test=32)
    sentences = {(lang, split): [] for lang in LANGUAGES for split in SPLITS}
    for split, group in rows.items():
        for row in group:
            sentence = ConllSentence(row["image_id"], tuple(row["tokens"]), tuple(row["ner_tags"]), 1)
            # As in MMNERD, translations part company: German sentences go to the next split.
            shifted = SPLITS[(SPLITS.index(split) + (row["lang"] == "de")) % 3]
            sentences[row["lang"], shifted].append(sentence)
            if row["image"]:
                (images / f"{row['image_id']}.jpg").write_bytes(row["image"]["bytes"])
    statuses = _add_odd_pictures(root, images)
    for number, image_id in enumerate(statuses):
        lang, split = LANGUAGES[number % 4], SPLITS[number % 3]
        sentences[lang, split].append(ConllSentence(image_id, ("Paris", f"#{number}"), ("B-LOC", "O"), 1))
    _write_folders(root / "train_valid_test", sentences)
    return Distribution(root / "train_valid_test", images, sentences, statuses)


def _add_odd_pictures(root: Path, images: Path) -> dict[str, str]:
    odd = odd_pictures()
    for image_id, (data, _) in odd.items():
        (images / f"{image_id}.jpg").write_bytes(data)
    (root / "secret.jpg").write_bytes(odd["grey"][0])
    (images / "folder.jpg").mkdir()
    os.mkfifo(images / "pipe.jpg")
    (images / "loop.jpg").symlink_to("loop.jpg")
    (images / "outside.jpg").symlink_to(root / "secret.jpg")
    (images / "nowhere.jpg").symlink_to("gone.jpg")
    statuses = {image_id: status for image_id, (_, status) in odd.items()} | OTHER_ENTRIES
    return statuses | dict.fromkeys(REFUSED_IDS, "unreadable")


def _write_folders(source: Path, sentences: dict[tuple[str, str], list[ConllSentence]]) -> None:
    folders = {lang: (lang,) for lang in LANGUAGES} | {"all_lang": LANGUAGES}
    folders |= {f"{a}_plus_{b}": (a, b) for a, b in permutations(("en", "de", "fr", "es"), 2) if (a, b) in PAIRS}
    for name, languages in folders.items():
        folder = source / f"train_valid_test_{name}"
        folder.mkdir(parents=True)
        for split, file in zip(SPLITS, FILES, strict=True):
            write_conll([s for lang in languages for s in sentences[lang, split]], folder / file)
