import subprocess
import sys
from pathlib import Path

import pytest
from datasets import ClassLabel, Image, List

from dataset_scripts import schema

REPOSITORY = Path(__file__).resolve().parents[2]


def test_labels_keep_their_order_and_cover_the_types():
    assert schema.LABELS == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC")
    assert schema.LABELS[1:] == tuple(f"{part}-{kind}" for kind in schema.ENTITY_TYPES for part in "BI")


def test_features_have_the_documented_columns_and_the_fixed_names():
    features = schema.features()
    assert list(features) == list(schema.COLUMNS)
    assert features["ner_tags"] == List(ClassLabel(names=list(schema.LABELS)))
    assert features["lang"].names == ["en", "fr", "es", "de"]
    assert features["source"].names == ["twitter2017", "cc12m", "synthetic", "twitter2015", "other"]
    assert features["image"] == Image()


def test_configurations_are_all_each_language_and_each_pair():
    names = ["all", "en", "fr", "es", "de", "en_de", "en_fr", "en_es", "de_fr", "de_es", "fr_es"]
    assert list(schema.CONFIGS) == names
    assert schema.CONFIGS["all"] == schema.LANGUAGES
    assert schema.CONFIGS["de_fr"] == ("de", "fr")


def test_only_configurations_with_all_their_languages_are_available():
    available = schema.available_configs(("en", "de"))
    assert available == {"all": ("en", "de"), "en": ("en",), "de": ("de",), "en_de": ("en", "de")}
    assert schema.available_configs(schema.LANGUAGES) == schema.CONFIGS


@pytest.mark.parametrize(
    ("tags", "position"),
    [
        (["O", "B-PER", "I-PER", "I-PER", "B-PER"], None),
        ([], None),
        (["I-PER"], 0),
        (["B-PER", "O", "I-PER"], 2),
        (["B-PER", "I-LOC"], 1),
    ],
)
def test_iob2_violation_is_found_where_it_starts(tags, position):
    assert schema.find_iob2_violation(tags) == position


def test_import_is_light():
    code = "import dataset_scripts.schema, sys; sys.exit('datasets' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
