import json
import re
from pathlib import Path

import pytest

from dataset_scripts.conll import read_conll
from dataset_scripts.parquet import write_dataset
from dataset_scripts.statistics.counts import (
    Statistics,
    compare_with_paper,
    count_statistics,
    count_texts,
    dataset_sizes,
    read_originals,
)
from dataset_scripts.statistics.paper import paper_counts

REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "mmnerd" / "train_valid_test"
ENGLISH = REAL / "train_valid_test_en"
FILES = {"train": "train", "validation": "valid", "test": "test"}


def make_row(lang, image_id, text, tags, source="twitter2017", image=None):
    return {
        "id": f"{lang}/{image_id}",
        "tokens": text.split(),
        "ner_tags": tags.split(),
        "image": image,
        "image_id": image_id,
        "image_status": "ok" if image else "missing",
        "lang": lang,
        "source": source,
    }


@pytest.fixture
def rows():
    """Four English captions and four tweets with strings and texts that repeat, and one German tweet."""
    return {
        ("en", "train"): [
            make_row("en", "c1", "Paris loves Paris", "B-LOC O B-LOC", "cc12m", {"bytes": b"1", "path": "c1.jpg"}),
            make_row("en", "c2", "Paris or Paris", "B-LOC O B-ORG", "cc12m"),
            make_row("en", "O_1", "Ann meets Ann", "B-PER O B-PER"),
            make_row("en", "O_2", "Ann meets Ann", "B-PER O O"),
        ],
        ("en", "validation"): [make_row("en", "O_3", "Ann meets Ann", "O O O")],
        ("en", "test"): [
            make_row("en", "c3", "New York or York", "B-LOC I-LOC O B-LOC", "cc12m"),
            make_row("en", "c4", "paris and Paris", "B-LOC O B-LOC", "cc12m"),
        ],
        ("de", "train"): [make_row("de", "O_1", "Ann trifft Ann", "B-PER O B-PER")],
    }


@pytest.fixture
def folder(rows, tmp_path):
    write_dataset(tmp_path / "mmnerd", rows, "a card")
    return tmp_path / "mmnerd"


@pytest.fixture
def twitter(tmp_path):
    """A Twitter-2017 in which O_1 has one PER and one MISC, and O_2 does not occur."""
    place = tmp_path / "twitter2017"
    place.mkdir()
    (place / "train.txt").write_text("IMGID:O_3\nAnn\tB-PER\nmeets\tO\nAnn\tB-PER\n")
    (place / "valid.txt").write_text("IMGID:O_1\nAnn\tB-PER\nmeets\tO\nAnn\tB-OTHER\n\n")
    (place / "test.txt").write_text("IMGID:O_9\nAnn\tB-ORG\n\n")
    return place


def entities(counts):
    return {key: dict(count.mentions) for key, count in counts.items()}


def test_spans_count_every_mention_and_every_row(folder):
    spans = count_statistics(folder).spans
    assert entities(spans) == {
        ("en", "train"): {"PER": 3, "LOC": 3, "ORG": 1},
        ("en", "validation"): {},
        ("en", "test"): {"LOC": 4},
        ("de", "train"): {"PER": 2},
    }
    assert [count.sentences for count in spans.values()] == [4, 1, 2, 1]
    assert spans["en", "train"].tokens == 12


def test_lists_count_a_string_of_a_caption_once_with_each_type_and_a_text_once(folder):
    lists = count_statistics(folder).lists
    assert entities(lists) == {
        ("en", "train"): {"PER": 3, "LOC": 2, "ORG": 1},
        ("en", "validation"): {},
        ("en", "test"): {"LOC": 4},
        ("de", "train"): {"PER": 2},
    }
    assert [count.sentences for count in lists.values()] == [3, 1, 2, 1]


def test_originals_replace_the_spans_of_english_tweets_in_the_lists_alone(folder, twitter):
    without, statistics = count_statistics(folder), count_statistics(folder, twitter)
    assert entities(statistics.lists) == {
        ("en", "train"): {"PER": 2, "LOC": 2, "ORG": 1, "MISC": 1},
        ("en", "validation"): {"PER": 2},
        ("en", "test"): {"LOC": 4},
        ("de", "train"): {"PER": 2},
    }
    assert statistics.spans == without.spans
    assert (statistics.tweets, statistics.tweets_found) == (3, 2)
    assert (without.tweets, without.tweets_found, without.originals) == (3, 0, None)


def test_a_caption_is_not_looked_up_among_the_tweets(rows, folder, twitter):
    rows["en", "train"][0]["image_id"] = "O_9"
    write_dataset(folder, rows, "a card", overwrite=True)
    assert count_statistics(folder, twitter).lists["en", "train"].mentions["ORG"] == 1


def test_rows_with_a_picture_and_sources_are_counted_without_reading_pictures(folder):
    statistics = count_statistics(folder)
    assert statistics.pictures == 1
    assert statistics.sources == {"cc12m": 4, "twitter2017": 4}


def test_an_incomplete_twitter_folder_is_refused(twitter):
    (twitter / "valid.txt").unlink()
    with pytest.raises(ValueError, match=r"lacks valid\.txt; name the folder of the original Twitter-2017"):
        read_originals(twitter)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no data set"):
        count_statistics(tmp_path)


def test_a_split_that_the_data_set_lacks_is_not_counted_as_zero(folder):
    compared = {
        (comparison.lang, comparison.split): comparison for comparison in compare_with_paper(count_statistics(folder))
    }
    assert list(compared) == [
        *(("en", split) for split in ("train", "validation", "test", "all")),
        *(("de", split) for split in ("train", "validation", "test", "all")),
        ("all", "all"),
    ]
    lacking = compared["de", "test"]
    assert lacking.spans is None and lacking.lists is None and lacking.paper["PER"] == 380
    assert lacking.differences("spans") == {} == lacking.percent("lists")
    assert compared["en", "validation"].spans["total"] == 0


def test_sums_are_over_the_languages_of_the_data_set(folder):
    compared = compare_with_paper(count_statistics(folder))
    assert compared[3].paper["PER"] == 4190
    assert compared[-1].paper == {
        "PER": 4190 + 3988,
        "LOC": 5650 + 3255,
        "ORG": 9237 + 1942,
        "MISC": 29554 + 4347,
        "total": 48631 + 13532,
        "sentences": 24962 + 5982,
    }
    assert compared[-1].spans == {"PER": 5, "LOC": 7, "ORG": 1, "MISC": 0, "total": 13, "sentences": 8}
    assert compared[-1].lists["sentences"] == 7


def test_differences_are_counted_minus_paper(folder):
    train = compare_with_paper(count_statistics(folder))[0]
    assert train.differences("spans")["PER"] == 3 - 3340
    assert train.differences("lists")["LOC"] == 2 - 4605
    assert train.percent("lists")["sentences"] == pytest.approx(100 * (3 - 19966) / 19966)


@pytest.mark.parametrize("method", ["grouped", "paper"])
def test_after_a_new_split_only_sums_are_compared_and_texts_count_once(folder, method):
    (folder / "build.json").write_text(json.dumps({"settings": {"split": method}}))
    statistics = count_statistics(folder)
    compared = compare_with_paper(statistics)
    assert [comparison.split for comparison in compared if comparison.paper] == ["all", "all", "all"]
    assert compared[0].spans["PER"] == 3 and compared[0].differences("spans") == {}
    assert count_texts(statistics, "en") == compared[3].lists["sentences"] == 5
    assert compared[3].spans["sentences"] == 7


@pytest.mark.parametrize("text", ["{}", '{"settings": {}}', '{"settings": {"split": "given"}}', None])
def test_a_record_that_does_not_say_otherwise_means_the_given_split(folder, text):
    if text:
        (folder / "build.json").write_text(text)
    statistics = count_statistics(folder)
    assert compare_with_paper(statistics)[3].lists["sentences"] == 3 + 1 + 2
    assert compare_with_paper(statistics)[0].paper["PER"] == 3340


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": null}'])
def test_a_broken_record_is_refused(folder, text):
    (folder / "build.json").write_text(text)
    with pytest.raises(ValueError, match=r"build\.json does not hold the settings of a build"):
        count_statistics(folder)


def test_rows_of_table_3_tell_languages_pictures_and_both_sizes(folder):
    rows, texts = dataset_sizes(count_statistics(folder))
    assert (rows.name, rows.languages, rows.modalities) == ("mmnerd (rows)", ("EN", "DE"), ("Text", "Image"))
    assert (rows.train, rows.validation, rows.test, rows.total) == (5, 1, 2, 8)
    assert (texts.train, texts.validation, texts.test, texts.total) == (4, 1, 2, 7)


def test_a_data_set_without_pictures_is_text(rows, folder):
    write_dataset(folder, {("de", "train"): rows["de", "train"]}, "a card", overwrite=True)
    assert dataset_sizes(count_statistics(folder))[0].modalities == ("Text",)


@pytest.mark.skipif(not ENGLISH.is_dir(), reason="the authors' English files are not at ../shared/data")
def test_the_authors_english_files_give_the_known_counts():
    statistics = Statistics("mmnerd")
    for split, name in FILES.items():
        statistics.open_split(("en", split))
        for sentence in read_conll(ENGLISH / f"{name}_conll_format.txt"):
            source = "cc12m" if re.match("[0-9]{8}---", sentence.image_id) else "twitter2017"
            row = make_row("en", sentence.image_id, "", "", source)
            statistics.add({**row, "tokens": sentence.tokens, "ner_tags": sentence.tags, "split": split})
    assert entities(statistics.spans) == {
        ("en", "train"): {"PER": 3344, "LOC": 4742, "ORG": 7764, "MISC": 25322},
        ("en", "validation"): {"PER": 419, "LOC": 552, "ORG": 972, "MISC": 3166},
        ("en", "test"): {"PER": 431, "LOC": 517, "ORG": 1019, "MISC": 3214},
    }
    assert [count.sentences for count in statistics.spans.values()] == [19968, 2463, 2533]
    assert [count.sentences for count in statistics.lists.values()] == [19966, 2463, 2533]
    assert [count.mentions["PER"] for count in statistics.lists.values()] == [3344, 419, 431]
    for key, count in statistics.lists.items():
        assert dict(count.mentions) == pytest.approx(dict(paper_counts()[key].mentions), rel=0.015)
