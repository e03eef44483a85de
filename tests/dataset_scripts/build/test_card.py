import re

import pytest
from huggingface_hub import DatasetCard

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.settings import BuildSettings

NAMES = ("train.txt", "valid.txt", "test.txt")
OF_THE_PAPERS_DATA = re.compile(
    r"mmnerd|twitter|tweet|conceptual|cc12m|google|mbart|expert|annotator|inspector|umt\b|authors", re.IGNORECASE
)


@pytest.fixture
def built(write_files, tmp_path):
    """Build a small data set of a collection; return its card without the metadata of columns, and its licence."""

    def make(collection, **decisions):
        source = write_files(tmp_path / "text", [("1", "a b")], [("2", "c d")], [("3", "e f")], NAMES)
        build_dataset(source, None, tmp_path / "set", settings=BuildSettings(collection=collection, **decisions))
        return DatasetCard.load(tmp_path / "set" / "README.md"), (tmp_path / "set" / "LICENSE.md").read_text()

    return make


@pytest.mark.parametrize(
    "decisions",
    [{}, {"split": "paper"}, {"split": "grouped"}, {"image_policy": "default"}, {"max_side": None}],
    ids=lambda decisions: " ".join(map(str, *decisions.items())) if decisions else "default",
)
def test_card_and_licence_of_other_data_claim_nothing_of_the_papers(built, decisions):
    card, licence = built("other", **decisions)
    assert OF_THE_PAPERS_DATA.findall(card.text) == []
    assert OF_THE_PAPERS_DATA.findall(licence) == []
    assert card.data.annotations_creators == ["other"]
    assert (card.data.license, card.data.license_name) == ("other", "unknown-see-license")
    assert "the terms of the files and pictures" in card.text and "Write these terms here" in licence


@pytest.mark.parametrize("collection", ["twitter2015", "twitter2017"])
def test_the_licence_of_tweets_does_not_speak_of_captions(built, collection):
    _, licence = built(collection)
    assert "Twitter" in licence and not re.search("mmnerd|12M|caption", licence, re.IGNORECASE)


def test_the_licence_of_the_papers_data_goes_through_all_its_layers(built):
    card, licence = built("mmnerd")
    assert all(layer in licence for layer in ("Annotation (MMNERD)", "Twitter-2017", "Conceptual 12M", "2M-NER added"))
    assert card.data.license_name == "mixed-see-license"
    assert card.data.annotations_creators == ["machine-generated", "expert-generated"]
