import json
from dataclasses import replace
from pathlib import Path

import pytest

from dataset_scripts.build.settings import CHOICES, BuildSettings


def test_defaults_take_everything_as_it_is():
    settings = BuildSettings()
    assert (settings.collection, settings.split, settings.compatibility) == ("mmnerd", "given", "strict")
    assert settings.languages == ("en", "fr", "es", "de")
    assert (settings.repair_tags, settings.image_policy, settings.embed_images) == (False, "none", True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"collection": "conll2003"}, r"`collection` must be one of \['mmnerd', 'twitter2015', .*got 'conll2003'"),
        ({"split": "random"}, r"`split` must be one of \['given', 'paper', 'grouped'\], got 'random'"),
        ({"compatibility": "loose"}, "`compatibility` must be one of"),
        ({"image_policy": "drop"}, "`image_policy` must be one of"),
        ({"languages": ()}, r"`languages` must be some of .*got \[\]"),
        ({"languages": ("en", "it")}, r"`languages` must be some of .*got \['en', 'it'\]"),
        ({"languages": "en"}, "`languages` must be some of"),
        ({"max_side": 63}, "`max_side` must be at least 64 pixels, got 63"),
        ({"max_side": 0}, "`max_side` must be at least 64 pixels, got 0"),
        ({"rows_per_shard": 0}, "`rows_per_shard` must be at least 1, got 0"),
        ({"train_file": "/home/me/fold.txt"}, "`train_file` must be a name in each folder of the source, got '/home"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        BuildSettings(**change)


@pytest.mark.parametrize(
    "change", [{"max_side": None}, {"max_side": 64}, {"rows_per_shard": 1}, {"train_file": "a.txt"}]
)
def test_limits_are_inclusive(change):
    assert change.items() <= BuildSettings(**change).to_dict().items()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values])
def test_every_choice_can_be_made(name, value):
    assert BuildSettings(**{name: value}).to_dict()[name] == value


def test_the_record_holds_every_decision_but_no_place():
    record = BuildSettings(urls=Path("/home/me/cc12m.tsv"), languages=("de",), max_side=None).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert set(record) == set(BuildSettings.__dataclass_fields__)
    assert (record["urls"], record["twitter2017"], record["languages"]) == (True, False, ["de"])
    assert replace(BuildSettings(), twitter2017=Path("tw")).to_dict()["twitter2017"] is True
