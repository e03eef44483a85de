from io import BytesIO
from random import Random

import numpy as np
import PIL.Image
import pytest

from dataset_scripts.audit import looks as audit_looks
from dataset_scripts.audit.looks import alike_looks, difference_hash, similar_looks


def cells(values):
    return PIL.Image.fromarray(np.asarray(values, dtype=np.uint8).reshape(8, 9))


def ramp():
    return np.tile(np.arange(9) * 10, (8, 1))


def test_a_bit_is_set_where_it_becomes_brighter():
    assert difference_hash(cells(ramp())) == 2**64 - 1
    assert difference_hash(cells(ramp()[:, ::-1])) == 0
    values = ramp()
    values[0, 1] = 0  # as dark as its left neighbour: the second highest bit stays, the highest goes
    assert difference_hash(cells(values)) == 2**63 - 1
    values = ramp()
    values[0, 1] = 1
    assert difference_hash(cells(values)) == 2**64 - 1
    values = ramp()
    values[7, 8] = 0
    assert difference_hash(cells(values)) == 2**64 - 2


def test_pictures_of_nearly_one_colour_in_each_line_are_flat():
    assert difference_hash(PIL.Image.new("RGB", (64, 48), "red")) is None
    assert difference_hash(cells(ramp().T.reshape(8, 9)[:, :1].repeat(9, axis=1))) is None
    values = np.zeros((8, 9))
    values[:, 4] = 2  # 16 steps: eight up, eight down
    assert difference_hash(cells(values)) is not None
    values[7, 4] = 1
    assert difference_hash(cells(values)) is None


def test_recompressed_and_resized_pictures_look_alike(make_picture):
    picture = make_picture(5, 9, 8).resize((180, 160), PIL.Image.Resampling.BICUBIC)
    out = BytesIO()
    picture.save(out, "JPEG", quality=30)
    look = difference_hash(picture)
    for other in (PIL.Image.open(out), picture.resize((77, 60)), picture.convert("L")):
        assert (look ^ difference_hash(other)).bit_count() <= 3
    assert (look ^ difference_hash(make_picture(6, 9, 8))).bit_count() > 10


@pytest.mark.parametrize("block", [1, 2, 256])
def test_exactly_the_pairs_of_up_to_three_bits_are_found(monkeypatch, block):
    monkeypatch.setattr(audit_looks, "_BLOCK", block)
    rng = Random(1)
    looks = {rng.getrandbits(64) for _ in range(60)}
    for look in list(looks):
        flipped = rng.sample(range(64), rng.randint(1, 5))
        looks.add(look ^ sum(1 << bit for bit in flipped))
    expected = {look: sorted(o for o in looks if o != look and (o ^ look).bit_count() <= 3) for look in looks}
    found = similar_looks(looks)
    assert found == {look: others for look, others in expected.items() if others}
    assert 20 < len(found) < len(looks)


def test_three_bits_in_three_bands_are_enough_and_four_in_four_too_many():
    assert similar_looks([0, 1 | 1 << 16 | 1 << 32]) == {0: [0x100010001], 0x100010001: [0]}
    assert similar_looks([0, 1 << 15 | 1 << 31 | 1 << 47 | 1 << 63]) == {}
    assert similar_looks([0, 0b1111]) == {}
    assert similar_looks([]) == {} and similar_looks([5, 5]) == {}


def test_pictures_that_look_alike_through_others_have_one_name():
    far = 0xFFFF << 32
    assert alike_looks([63, 7, 0, far, far | 1, 0xFF << 16]) == {0: 0, 7: 0, 63: 0, far: far, far | 1: far}
