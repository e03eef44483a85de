"""The subjects of the mini data set's pictures: people, places, organisations and things.

A subject fills a tile whose corners are (0, 0) and (1, 1), so that it can be placed anywhere at any size. Colours have
any hue and reveal next to nothing about the type; the shapes do.
"""

from __future__ import annotations

from random import Random

from dataset_scripts.mini.canvas import BLACK, EARTH, WHITE, Color, Paint, Point, Tile, hsv, regular, shade

HAIR = ((30, 24, 24), (70, 44, 28), (128, 82, 44), (206, 166, 92), (160, 70, 36), (186, 184, 182))
FIRMS = ("& Co.", "Inc.", "Ltd.", "GmbH", "S.A.", "Corp.", "AG")
POLYGON_SIDES = {"hexagon": 6, "octagon": 8, "diamond": 4}


def draw_person(tile: Tile, paint: Paint) -> None:
    """Draw a person, from the chest up or from head to foot."""
    skin, hair = paint.rng.choice(EARTH), paint.rng.choice(HAIR)
    if paint.rng.random() < 0.6:
        _bust(tile, paint, skin, hair)
    else:
        _figure(tile, paint, skin, hair)


def _bust(tile: Tile, paint: Paint, skin: Color, hair: Color) -> None:
    rng, clothes = paint.rng, paint.front()
    long_hair, wide = rng.random() < 0.45, rng.uniform(0.34, 0.46)
    if long_hair:
        tile.box(0.24, 0.12, 0.76, rng.uniform(0.6, 0.82), hair, 0.2)
    tile.oval(0.5 - wide, 0.62, 0.5 + wide, 1.5, clothes)
    tile.box(0.41, 0.46, 0.59, 0.68, shade(skin, 0.88), 0.05)
    tile.shape([(0.38, 0.645), (0.62, 0.645), (0.5, 0.8)], rng.choice((shade(skin, 0.95), WHITE, shade(clothes, 0.7))))
    _head(tile, rng, (0.5, 0.34), 0.22, skin, hair)


def _head(tile: Tile, rng: Random, center: Point, size: float, skin: Color, hair: Color) -> None:
    (x, y), dark = center, BLACK if sum(skin) > 260 else shade(skin, 0.35)
    tile.oval(x - 0.87 * size, y - 1.12 * size, x + 0.87 * size, y + 1.12 * size, skin)
    for side in (-1, 1):
        tile.disc(x + side * 0.36 * size, y - 0.05 * size, 0.11 * size, dark)
        tile.disc(x + side * 0.88 * size, y + 0.05 * size, 0.16 * size, shade(skin, 0.92))
    tile.arc((x - 0.4 * size, y, x + 0.4 * size, y + 0.72 * size), 25, 155, dark, max(0.012, 0.09 * size))
    tile.slice((x - 0.95 * size, y - 1.3 * size, x + 0.95 * size, y + 0.6 * size), 190, 350, hair)
    style = rng.random()
    if style < 0.25:
        tile.disc(x, y - 1.3 * size, 0.36 * size, hair)
    elif style < 0.45:
        tile.box(x - 1.25 * size, y - 0.78 * size, x + 1.25 * size, y - 0.56 * size, shade(hair, 1.5), 0.02)
        tile.box(x - 0.75 * size, y - 1.5 * size, x + 0.75 * size, y - 0.6 * size, shade(hair, 1.5), 0.05)
    elif style < 0.6:
        tile.slice((x - 0.8 * size, y - 0.3 * size, x + 0.8 * size, y + 1.16 * size), 40, 140, hair)


def _figure(tile: Tile, paint: Paint, skin: Color, hair: Color) -> None:
    rng, top, bottom = paint.rng, paint.front(), paint.front()
    for side in (-1, 1):
        foot = 0.5 + side * rng.uniform(0.06, 0.16)
        tile.line([(0.5 + side * 0.055, 0.62), (foot, 0.95)], bottom, 0.09)
        tile.line([(foot, 0.965), (foot + side * 0.05, 0.965)], BLACK, 0.06)
        elbow = (0.5 + side * rng.uniform(0.22, 0.27), rng.uniform(0.4, 0.52))
        hand = (elbow[0] + side * rng.uniform(-0.06, 0.12), elbow[1] + rng.choice((-1, 1)) * rng.uniform(0.1, 0.17))
        tile.line([(0.5 + side * 0.13, 0.35), elbow, hand], shade(top, 0.85), 0.075)
        tile.disc(*hand, 0.045, skin)
    tile.box(0.36, 0.3, 0.64, 0.66, top, 0.09)
    if rng.random() < 0.35:
        tile.shape([(0.39, 0.58), (0.61, 0.58), (0.7, 0.84), (0.3, 0.84)], bottom)
    _head(tile, rng, (0.5, 0.19), 0.15, skin, hair)


def draw_place(tile: Tile, paint: Paint) -> None:
    """Draw a landscape or a skyline across the full width of the tile."""
    rng = paint.rng
    horizon = rng.uniform(0.55, 0.8)
    tile.disc(rng.uniform(0.12, 0.88), rng.uniform(0.1, 0.24), rng.uniform(0.06, 0.11), shade(paint.front(), 1.4))
    for _ in range(rng.randint(0, 2)):
        _cloud(tile, rng, rng.uniform(0.1, 0.85), rng.uniform(0.08, 0.25))
    rng.choice((_mountains, _skyline, _village, _coast))(tile, paint, horizon)


def _cloud(tile: Tile, rng: Random, x: float, y: float) -> None:
    for step in (-0.07, 0.0, 0.07):
        tile.disc(x + step, y - (0.02 if step == 0 else 0), rng.uniform(0.04, 0.06), WHITE)


def _mountains(tile: Tile, paint: Paint, horizon: float) -> None:
    rng, rock = paint.rng, paint.front()
    count = rng.randint(2, 4)
    for i in rng.sample(range(count), count):
        x, top, half = (i + rng.uniform(0.2, 0.8)) / count, rng.uniform(0.18, 0.42), rng.uniform(0.25, 0.4)
        tile.shape(
            [(x - half, horizon + 0.03), (x, top), (x + half, horizon + 0.03)], shade(rock, rng.uniform(0.6, 1))
        )
        cap, height = half * 0.3, (horizon - top) * 0.3
        tile.shape([(x - cap, top + height), (x, top), (x + cap, top + height), (x, top + 0.65 * height)], WHITE)
    _ground(tile, paint, horizon)
    _trees(tile, paint, horizon)


def _skyline(tile: Tile, paint: Paint, horizon: float) -> None:
    rng, x, wall = paint.rng, -0.02, paint.front()
    while x < 1:
        width, top = rng.uniform(0.09, 0.17), horizon - rng.uniform(0.16, 0.5)
        color = shade(wall, rng.uniform(0.55, 1.1))
        tile.box(x, top, x + width, horizon + 0.02, color)
        if rng.random() < 0.3:
            tile.shape([(x, top), (x + width / 2, top - 0.12), (x + width, top)], color)
        _windows(tile, (x, top, x + width, horizon), (3, 7), shade(color, 1.9 if rng.random() < 0.5 else 0.5))
        x += width + rng.choice((0.0, 0.01, 0.03))
    _ground(tile, paint, horizon)


def _windows(tile: Tile, box: tuple[float, float, float, float], grid: tuple[int, int], color: Color) -> None:
    columns, rows = grid
    wide, high = (box[2] - box[0]) / (2 * columns + 1), (box[3] - box[1]) / (2 * rows + 1)
    for column in range(columns):
        for row in range(rows):
            x, y = box[0] + (2 * column + 1) * wide, box[1] + (2 * row + 1) * high
            tile.box(x, y, x + wide, y + high, color)


def _village(tile: Tile, paint: Paint, horizon: float) -> None:
    rng, count = paint.rng, paint.rng.randint(2, 4)
    hill = paint.front()
    for x in (rng.uniform(-0.1, 0.3), rng.uniform(0.6, 1.0)):
        tile.oval(x - 0.5, horizon - rng.uniform(0.16, 0.3), x + 0.5, horizon + 0.3, shade(hill, rng.uniform(0.6, 1)))
    _ground(tile, paint, horizon)
    _trees(tile, paint, horizon)
    for i in range(count):
        x, wall, half = (i + rng.uniform(0.3, 0.7)) / count, paint.front(), 0.36 / count
        foot = horizon + rng.uniform(0.04, 0.14)
        top = foot - rng.uniform(0.18, 0.26)
        tile.box(x - half, top, x + half, foot, wall)
        tile.shape([(x - half * 1.25, top), (x, top - 0.16), (x + half * 1.25, top)], shade(wall, 0.55))
        tile.box(x - half * 0.2, foot - 0.1, x + half * 0.2, foot, shade(wall, 0.4))
        _windows(tile, (x - half, top, x + half, foot - 0.06), (2, 1), shade(wall, 1.7))


def _coast(tile: Tile, paint: Paint, horizon: float) -> None:
    rng, water = paint.rng, paint.front()
    horizon -= 0.06
    x, sand = rng.uniform(0.3, 0.7), paint.front()
    far = rng.uniform(0.1, 0.9)
    tile.shape(
        [(far - 0.4, horizon), (far - 0.1, horizon - 0.2), (far + 0.1, horizon - 0.11), (far + 0.4, horizon)], sand
    )
    tile.box(-0.01, horizon, 1.01, 1.01, water)
    for _ in range(9):
        left, y = rng.uniform(0, 0.85), rng.uniform(horizon + 0.03, 0.97)
        tile.line([(left, y), (left + rng.uniform(0.06, 0.16), y)], shade(water, 1.35), 0.013)
    tile.oval(x - 0.34, 0.8, x + 0.34, 1.2, shade(sand, 1.2))
    bend = rng.choice((-1, 1)) * rng.uniform(0.05, 0.1)
    crown = (x + bend, rng.uniform(0.28, 0.38))
    tile.line([(x, 0.86), (x + bend * 0.3, 0.6), crown], EARTH[4], 0.035)
    for reach, drop in ((-0.2, 0.1), (-0.15, -0.05), (0.0, -0.13), (0.15, -0.05), (0.2, 0.1)):
        leaf = [crown, (crown[0] + reach * 0.6, crown[1] + drop - 0.07), (crown[0] + reach, crown[1] + drop)]
        tile.line(leaf, shade(sand, 0.6), 0.03)


def _ground(tile: Tile, paint: Paint, horizon: float) -> None:
    ground = shade(paint.front(), 0.8)
    tile.box(-0.01, horizon, 1.01, 1.01, ground)
    if paint.rng.random() < 0.5:
        x = paint.rng.uniform(0.3, 0.7)
        tile.shape([(x - 0.03, horizon), (x + 0.03, horizon), (x + 0.2, 1.01), (x - 0.22, 1.01)], shade(ground, 1.35))


def _trees(tile: Tile, paint: Paint, horizon: float) -> None:
    leaf = shade(paint.front(), 0.7)
    for _ in range(paint.rng.randint(1, 5)):
        x, foot = paint.rng.uniform(0.04, 0.96), horizon + paint.rng.uniform(0.03, 0.16)
        tile.box(x - 0.012, foot - 0.06, x + 0.012, foot, EARTH[5])
        for step in (0.0, 0.06):
            tile.shape([(x - 0.06, foot - 0.04 - step), (x, foot - 0.17 - step), (x + 0.06, foot - 0.04 - step)], leaf)


def draw_organisation(tile: Tile, paint: Paint) -> None:
    """Draw a company: its sign, its office tower or its shop, each with a logo."""
    paint.rng.choice((_sign, _tower, _shop))(tile, paint)


def _logo(tile: Tile, paint: Paint, center: Point, radius: float) -> None:
    rng, color = paint.rng, paint.front()
    badge = rng.choice(("disc", "square", *POLYGON_SIDES))
    (x, y), mark = center, rng.choice((WHITE, shade(color, 0.3)))
    if badge == "disc":
        tile.disc(x, y, radius, color)
    elif badge == "square":
        tile.box(x - radius * 0.9, y - radius * 0.9, x + radius * 0.9, y + radius * 0.9, color, 0.05)
    else:
        tile.shape(regular(center, radius * 1.1, POLYGON_SIDES[badge]), color)
    if rng.random() < 0.5:
        tile.shape(regular(center, radius * 0.75, 10, 0.45), mark)
    else:
        tile.text(x, y, radius * 1.4, rng.choice("ABEGHKMNQRSTX"), mark)


def _sign(tile: Tile, paint: Paint) -> None:
    rng, board, frame = paint.rng, _board(paint.rng), paint.front()
    for x in (0.2, 0.8):
        tile.box(x - 0.03, 0.6, x + 0.03, 1.0, shade(frame, 0.7))
    tile.box(0.01, 0.16, 0.99, 0.7, frame, 0.05)
    tile.box(0.05, 0.2, 0.95, 0.66, board, 0.03)
    _logo(tile, paint, (0.27, 0.43), 0.17)
    tile.text(0.7, 0.36, 0.17, rng.choice(FIRMS), BLACK)
    for y, end in ((0.48, 0.9), (0.56, rng.uniform(0.7, 0.88))):
        tile.line([(0.53, y), (end, y)], shade(frame, 0.8), 0.03)


def _board(rng: Random) -> Color:
    return hsv(rng.random(), rng.uniform(0.0, 0.5), rng.uniform(0.75, 1.0))


def _tower(tile: Tile, paint: Paint) -> None:
    rng, wall = paint.rng, paint.front()
    left = rng.uniform(0.18, 0.26)
    tile.box(left, 0.36, 1 - left, 1.0, wall)
    _windows(tile, (left, 0.38, 1 - left, 0.86), (4, 4), shade(wall, 1.8 if sum(wall) < 400 else 0.5))
    tile.box(0.43, 0.86, 0.57, 1.0, BLACK)
    tile.box(0.08, 0.02, 0.92, 0.38, _board(rng), 0.04)
    _logo(tile, paint, (0.27, 0.2), 0.13)
    tile.text(0.66, 0.2, 0.15, rng.choice(FIRMS), BLACK)


def _shop(tile: Tile, paint: Paint) -> None:
    rng, wall, cloth = paint.rng, paint.front(), paint.front()
    tile.box(0.06, 0.1, 0.94, 1.0, wall)
    tile.box(0.02, 0.04, 0.98, 0.36, _board(rng), 0.03)
    _logo(tile, paint, (0.22, 0.2), 0.13)
    tile.text(0.63, 0.2, 0.17, rng.choice(FIRMS), BLACK)
    for i in range(8):
        x = 0.02 + 0.12 * i
        tile.shape([(x, 0.36), (x + 0.12, 0.36), (x + 0.12, 0.5), (x, 0.5)], cloth if i % 2 else WHITE)
        tile.disc(x + 0.06, 0.5, 0.06, cloth if i % 2 else WHITE)
    tile.box(0.14, 0.6, 0.56, 0.88, shade(wall, 1.7), 0.01)
    tile.box(0.66, 0.6, 0.86, 1.0, shade(wall, 0.5), 0.01)


def draw_thing(tile: Tile, paint: Paint) -> None:
    """Draw a ship, a car, a present or a record."""
    paint.rng.choice((_ship, _car, _present, _record))(tile, paint)


def _ship(tile: Tile, paint: Paint) -> None:
    rng, hull, upper = paint.rng, paint.front(), paint.front()
    tile.shape([(0.02, 0.62), (0.98, 0.62), (0.84, 0.88), (0.16, 0.88)], hull)
    tile.box(0.06, 0.66, 0.94, 0.69, WHITE)
    if rng.random() < 0.5:
        tile.line([(0.5, 0.06), (0.5, 0.62)], EARTH[5], 0.03)
        tile.shape([(0.46, 0.08), (0.46, 0.56), (0.1, 0.56)], WHITE)
        tile.shape([(0.54, 0.14), (0.54, 0.56), (0.86, 0.56)], upper)
    else:
        tile.box(0.2, 0.48, 0.82, 0.62, WHITE)
        tile.box(0.3, 0.36, 0.72, 0.48, shade(WHITE, 0.85))
        for x in (0.36, 0.56):
            tile.box(x, 0.14, x + 0.1, 0.36, upper)
        for i in range(5):
            tile.disc(0.28 + 0.115 * i, 0.55, 0.03, BLACK)
    wave = shade(paint.front(), 1.1)
    for i in range(7):
        tile.slice((0.01 + 0.14 * i, 0.82, 0.15 + 0.14 * i, 0.98), 180, 360, wave)
        tile.box(0.01 + 0.14 * i, 0.89, 0.15 + 0.14 * i, 0.97, wave)


def _car(tile: Tile, paint: Paint) -> None:
    rng, body = paint.rng, paint.front()
    roof = rng.uniform(0.22, 0.32)
    tile.shape([(0.2, 0.5), (0.32, roof), (0.68, roof), (0.84, 0.5)], body)
    tile.shape([(0.28, 0.5), (0.36, roof + 0.05), (0.48, roof + 0.05), (0.48, 0.5)], WHITE)
    tile.shape([(0.52, 0.5), (0.52, roof + 0.05), (0.65, roof + 0.05), (0.75, 0.5)], WHITE)
    tile.box(0.02, 0.48, 0.98, 0.72, body, 0.08)
    tile.box(0.02, 0.6, 0.98, 0.64, shade(body, 0.65))
    for x in (0.25, 0.75):
        tile.disc(x, 0.72, 0.14, shade(body, 0.25))
        tile.disc(x, 0.72, 0.07, shade(WHITE, 0.8))
    tile.disc(0.93, 0.55, 0.035, (255, 232, 150))


def _present(tile: Tile, paint: Paint) -> None:
    rng, paper, ribbon = paint.rng, paint.front(), WHITE
    if sum(paper) > 360:
        ribbon = shade(paint.front(), 0.5)
    top = rng.uniform(0.36, 0.5)
    tile.box(0.1, top, 0.9, 0.98, paper)
    tile.box(0.05, top - 0.04, 0.95, top + 0.14, shade(paper, 1.25))
    tile.box(0.43, top - 0.04, 0.57, 0.98, ribbon)
    tile.box(0.1, top + 0.28, 0.9, top + 0.38, ribbon)
    for side in (-1, 1):
        knot = (0.5, top - 0.03)
        loop = [knot, (0.5 + side * 0.3, top - 0.3), (0.5 + side * 0.34, top - 0.06), knot]
        tile.shape(loop, ribbon)
        tile.line(loop, shade(ribbon, 0.7), 0.015)
    tile.disc(0.5, top - 0.05, 0.06, shade(ribbon, 0.8))


def _record(tile: Tile, paint: Paint) -> None:
    sleeve, ring = paint.front(), (74, 72, 82)
    tile.disc(0.65, 0.5, 0.34, BLACK)
    for radius in (0.3, 0.25, 0.2):
        tile.disc(0.65, 0.5, radius, ring)
        tile.disc(0.65, 0.5, radius - 0.012, BLACK)
    tile.disc(0.65, 0.5, 0.12, paint.front())
    tile.disc(0.65, 0.5, 0.025, WHITE)
    tile.box(0.02, 0.15, 0.56, 0.85, sleeve, 0.02)
    for i, x in enumerate((0.1, 0.2, 0.3, 0.4)):
        tile.box(x, 0.7 - 0.1 * paint.rng.uniform(0.5, 4.5), x + 0.06, 0.72, shade(sleeve, 1.5 if i % 2 else 0.5))
