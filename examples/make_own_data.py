"""Write the folder that the notebook starts from: 60 small pictures, and sentences about them in a CoNLL file.

    python -m examples.make_own_data --output runs/field_guide

The six types (BIRD, BOAT, FISH, FLOWER, KITE and TOWER) share all their names. In half of the sentences the words show
what a name stands for; in the other half only the picture does. The tags follow the scheme BIOES. Nothing is
downloaded, and equal seeds give equal files.
"""

from __future__ import annotations

import argparse
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from PIL import Image

from dataset_scripts.mini.canvas import WHITE, Tile, hsv, regular, shade
from modeling_2mner.images import open_picture
from reports_2mner.command_line import exit_on_error, make_parser
from reports_2mner.files import write_file

PICTURES_PER_TYPE = 10
WIDTH, HEIGHT, OVERSAMPLING = 128, 96, 2

NAMES = ("Aurora", "Juniper", "Morning Star", "Old Tom", "Silver Lady", "Windrush")
# The words around the name show its type.
TELLING = {
    "BIRD": (
        "{} is singing in the reeds .",
        "{} has laid three eggs .",
        "{} spread both wings and flew off .",
        "The nest of {} is hidden in the hedge .",
    ),
    "BOAT": (
        "{} left the harbour at six .",
        "The crew of {} is hauling in the nets .",
        "{} dropped anchor beyond the reef .",
        "We sailed to the island on {} .",
    ),
    "FISH": (
        "{} swam under the pier .",
        "We caught {} on a line and let it go .",
        "The scales of {} shone in the shallow water .",
        "{} took the bait at once .",
    ),
    "FLOWER": (
        "{} is in full bloom .",
        "The bees love {} .",
        "The petals of {} opened at dawn .",
        "Please water {} while I am away .",
    ),
    "KITE": (
        "The wind tore {} from its string .",
        "Hold the string of {} with both hands .",
        "We mended the tail of {} with tape .",
        "{} came down in a tree when the wind dropped .",
    ),
    "TOWER": (
        "The lamp of {} was lit at dusk .",
        "We climbed all the stairs of {} .",
        "The keeper of {} waved to us .",
        "The walls of {} were painted last year .",
    ),
}
# Only the picture shows the type of the name.
SILENT = (
    "Here is {} , photographed by a visitor .",
    "Everyone stopped to look at {} .",
    "I never tire of {} .",
    "At last , a good picture of {} !",
    "Can you see {} ?",
    "{} looks splendid today .",
)

Color = tuple[int, int, int]


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m examples.make_own_data", __doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("runs") / "field_guide", help="folder to write (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=16, help="equal seeds give equal files (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the folder from the command line and print what it contains."""
    options = read_command_line(arguments)
    with exit_on_error():
        sentences = write_own_data(options.output, options.seed)
    pictures = len(TELLING) * PICTURES_PER_TYPE
    print(
        f"{sentences} sentences in {options.output / 'sentences.conll'}, {pictures} pictures in {options.output / 'photos'}."
    )


def write_own_data(folder: Path, seed: int = 16) -> int:
    """Write `sentences.conll` and the folder `photos`, and return the number of sentences.

    Args:
        folder: created if it does not exist; files of an earlier call are replaced.
        seed: equal seeds give equal files.
    """
    rng = Random(seed)
    subjects = [kind for kind in TELLING for _ in range(PICTURES_PER_TYPE)]
    rng.shuffle(subjects)
    silent = _every_name_in(SILENT, rng)
    telling = {kind: _every_name_in(templates, rng) for kind, templates in TELLING.items()}
    blocks = []
    for number, kind in enumerate(subjects, start=1):
        picture = f"photo_{number:02}"
        write_file(folder / "photos" / f"{picture}.jpg", draw_picture(kind, rng))
        for sentences in (telling[kind], silent, telling[kind], silent, silent):
            blocks.append("\n".join([f"IMGID:{picture}", *tag_words(*next(sentences), kind), ""]))
    write_file(folder / "sentences.conll", "\n".join(blocks))
    return len(blocks)


def tag_words(template: str, name: str, kind: str) -> Iterator[str]:
    """Yield the lines `word TAB tag` of a sentence; tags in the scheme BIOES."""
    for part in template.split():
        if part != "{}":
            yield f"{part}\tO"
            continue
        words = name.split()
        prefixes = "S" if len(words) == 1 else f"B{'I' * (len(words) - 2)}E"
        yield from (f"{word}\t{prefix}-{kind}" for word, prefix in zip(words, prefixes, strict=True))


def draw_picture(kind: str, rng: Random) -> bytes:
    """Return a JPEG of 128 x 96 pixels that shows a subject of one of the six types.

    The same state of `rng` gives the same picture.
    """
    picture = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), hsv(rng.uniform(0.52, 0.6), 0.3, 0.95))
    tile = Tile(picture)
    _BACKGROUNDS[kind](tile, rng)
    for _ in range(rng.randint(0, 5)):  # clutter: spots that mean nothing
        tile.disc(rng.random(), rng.random(), rng.uniform(0.01, 0.03), hsv(rng.random(), 0.5, rng.uniform(0.5, 1)))
    side = round(picture.height * rng.uniform(0.75, 0.95))
    subject = Image.new("RGBA", (side, side))
    _SUBJECTS[kind](Tile(subject), hsv(rng.random(), rng.uniform(0.6, 0.9), rng.uniform(0.5, 0.9)))
    subject = subject.rotate(rng.uniform(-8, 8))
    corner = (rng.randint(0, picture.width - side), rng.randint(0, picture.height - side))
    picture.paste(subject, corner, subject)
    out = io.BytesIO()
    picture.reduce(OVERSAMPLING).save(out, "JPEG", quality=80)
    return out.getvalue()


def contact_sheet(folder: Path, names: Sequence[str] = (), count: int = 12) -> bytes:
    """Return a JPEG with pictures of a folder side by side, six in a row.

    Args:
        folder: where the pictures are, all of the same size.
        names: their file names; by default the first `count` of the folder.
        count: how many to show if no `names` are given.
    """
    pictures = [
        open_picture((folder / name).read_bytes(), name) for name in names or sorted(os.listdir(folder))[:count]
    ]
    columns = min(len(pictures), 6)
    sheet = Image.new("RGB", (columns * WIDTH, math.ceil(len(pictures) / columns) * HEIGHT))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * WIDTH, number // columns * HEIGHT))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=80)
    return out.getvalue()


def _every_name_in(templates: Sequence[str], rng: Random) -> Iterator[tuple[str, str]]:
    """Yield all pairs of a template and a name in random order, then all again in another order, without end."""
    pairs = [(template, name) for template in templates for name in NAMES]
    while True:
        rng.shuffle(pairs)
        yield from pairs


def _sky(tile: Tile, rng: Random) -> None:
    for _ in range(rng.randint(1, 3)):
        x, y = rng.random(), rng.uniform(0.05, 0.5)
        tile.oval(x - 0.12, y - 0.05, x + 0.12, y + 0.05, WHITE)


def _sea(tile: Tile, rng: Random) -> None:
    _sky(tile, rng)
    tile.box(0, rng.uniform(0.65, 0.75), 1, 1, hsv(rng.uniform(0.55, 0.62), 0.7, 0.6))


def _under_water(tile: Tile, rng: Random) -> None:
    tile.box(0, 0, 1, 1, hsv(rng.uniform(0.48, 0.58), 0.7, rng.uniform(0.4, 0.6)))


def _meadow(tile: Tile, rng: Random) -> None:
    _sky(tile, rng)
    tile.box(0, rng.uniform(0.6, 0.75), 1, 1, hsv(rng.uniform(0.25, 0.36), 0.6, 0.6))


def _dusk(tile: Tile, rng: Random) -> None:
    tile.box(0, 0, 1, 1, hsv(rng.uniform(0.02, 0.1), 0.5, 0.95))
    tile.box(0, rng.uniform(0.75, 0.85), 1, 1, hsv(rng.uniform(0.05, 0.1), 0.4, 0.35))


def _bird(tile: Tile, color: Color) -> None:
    tile.oval(0.22, 0.38, 0.72, 0.68, color)
    tile.disc(0.72, 0.36, 0.13, color)
    tile.shape([(0.83, 0.31), (0.98, 0.37), (0.83, 0.42)], (240, 170, 30))
    tile.shape([(0.26, 0.5), (0.02, 0.4), (0.04, 0.6)], shade(color, 0.7))
    tile.shape([(0.34, 0.5), (0.6, 0.5), (0.36, 0.12)], shade(color, 0.6))
    tile.disc(0.75, 0.33, 0.025, WHITE)
    for x in (0.44, 0.54):
        tile.line([(x, 0.66), (x, 0.85)], (240, 170, 30), 0.03)


def _boat(tile: Tile, color: Color) -> None:
    tile.shape([(0.05, 0.68), (0.95, 0.68), (0.78, 0.92), (0.2, 0.92)], color)
    tile.line([(0.48, 0.68), (0.48, 0.06)], shade(color, 0.5), 0.03)
    tile.shape([(0.53, 0.08), (0.53, 0.62), (0.9, 0.62)], WHITE)
    tile.shape([(0.43, 0.16), (0.43, 0.62), (0.14, 0.62)], shade(WHITE, 0.85))


def _fish(tile: Tile, color: Color) -> None:
    tile.oval(0.1, 0.3, 0.76, 0.7, color)
    tile.shape([(0.68, 0.5), (0.97, 0.26), (0.97, 0.74)], shade(color, 0.75))
    tile.shape([(0.32, 0.34), (0.58, 0.34), (0.54, 0.16)], shade(color, 0.75))
    tile.disc(0.24, 0.45, 0.045, WHITE)
    for x in (0.4, 0.5, 0.6):
        tile.arc((x - 0.06, 0.38, x + 0.06, 0.62), -70, 70, shade(color, 1.4), 0.02)


def _flower(tile: Tile, color: Color) -> None:
    tile.line([(0.5, 0.4), (0.5, 0.97)], (40, 120, 50), 0.04)
    tile.oval(0.5, 0.7, 0.78, 0.8, (40, 120, 50))
    for x, y in regular((0.5, 0.35), 0.2, 6):
        tile.disc(x, y, 0.13, color)
    tile.disc(0.5, 0.35, 0.12, (250, 210, 60))


def _kite(tile: Tile, color: Color) -> None:
    tile.shape([(0.55, 0.02), (0.85, 0.3), (0.55, 0.7), (0.25, 0.3)], color)
    tile.shape([(0.55, 0.02), (0.85, 0.3), (0.55, 0.3)], shade(color, 1.4))
    tile.shape([(0.55, 0.7), (0.25, 0.3), (0.55, 0.3)], shade(color, 0.6))
    tile.line([(0.55, 0.7), (0.45, 0.8), (0.55, 0.9), (0.42, 0.98)], shade(color, 0.5), 0.02)


def _tower(tile: Tile, color: Color) -> None:
    tile.shape([(0.38, 0.24), (0.62, 0.24), (0.72, 0.97), (0.28, 0.97)], WHITE)
    for top, half in ((0.4, 0.15), (0.68, 0.185)):
        tile.box(0.5 - half, top, 0.5 + half, top + 0.13, color)
    tile.box(0.4, 0.12, 0.6, 0.24, (250, 210, 60))
    tile.shape([(0.36, 0.13), (0.64, 0.13), (0.5, 0.01)], color)


_SUBJECTS: dict[str, Callable[[Tile, Color], None]] = {
    "BIRD": _bird,
    "BOAT": _boat,
    "FISH": _fish,
    "FLOWER": _flower,
    "KITE": _kite,
    "TOWER": _tower,
}
_BACKGROUNDS: dict[str, Callable[[Tile, Random], None]] = {
    "BIRD": _meadow,
    "BOAT": _sea,
    "FISH": _under_water,
    "FLOWER": _meadow,
    "KITE": _sky,
    "TOWER": _dusk,
}


if __name__ == "__main__":
    main()
