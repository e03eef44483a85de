"""A whole distribution through the builder: nothing crashes, nothing is lost, what splits share is counted right."""

from collections import Counter
from shutil import copytree

import pytest

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.reading import read_rows
from dataset_scripts.schema import CONFIGS, SPLITS
from modeling_2mner.images import load_image


def held(rows):
    return Counter((lang, split, s.image_id, s.tokens, s.tags) for lang, split, s in rows)


def stored(folder):
    return Counter(
        (row["lang"], row["split"], row["image_id"], tuple(row["tokens"]), tuple(row["ner_tags"]))
        for row in read_rows(folder, ["lang", "image_id", "tokens", "ner_tags"])
    )


def without_split(counts):
    return Counter((lang, image_id, tokens, tags) for lang, _, image_id, tokens, tags in counts.elements())


@pytest.fixture(scope="module")
def built(distribution, tmp_path_factory):
    """The eleven folders, built as the files give them."""
    output = tmp_path_factory.mktemp("built") / "mmnerd"
    build_dataset(distribution.source, distribution.images, output)
    return output


def test_no_row_is_lost_or_doubled(distribution, built):
    assert stored(built) == held(distribution.rows())


def test_every_odd_picture_gets_its_status(distribution, built):
    statuses = {row["image_id"]: row["image_status"] for row in read_rows(built, ["image_id", "image_status"])}
    assert {image_id: statuses[image_id] for image_id in distribution.statuses} == distribution.statuses


def test_every_stored_picture_decodes_and_fits(built):
    pictures = [row["image"]["bytes"] for row in read_rows(built, ["image"]) if row["image"]]
    loaded = [load_image(picture) for picture in pictures]
    assert {picture.status for picture in loaded} == {"ok"}
    assert max(side for picture in loaded for side in picture.image.size) == 512


def test_ids_of_rows_are_unique(built):
    ids = [row["id"] for row in read_rows(built, ["id"])]
    assert len(ids) == len(set(ids))


def test_the_combined_folder_alone_is_enough(distribution, built, tmp_path):
    copytree(distribution.source / "train_valid_test_all_lang", tmp_path / "source" / "train_valid_test_all_lang")
    report = build_dataset(tmp_path / "source", None, tmp_path / "mmnerd")
    # "Paris #7" has no language, and "Diego Lefèvre lives in Paris ." looks French.
    everything, told = stored(built), stored(tmp_path / "mmnerd")
    odd = set(distribution.statuses)
    assert Counter(key[1:] for key in told.elements()) == Counter(key[1:] for key in everything.elements())
    wrong = [key for key in (everything - told).elements() if key[2] not in odd]
    assert len(wrong) <= 0.01 * everything.total()
    assert report.changes["languages told from the words"] == everything.total()
    assert all("inferred_language" in row["quality"] for row in read_rows(tmp_path / "mmnerd", ["quality"]))


@pytest.mark.parametrize("split", ["given", "paper", "grouped"])
def test_leaks_are_those_of_a_slow_count(distribution, tmp_path, split):
    report = build_dataset(distribution.source, None, tmp_path / "mmnerd", settings=BuildSettings(split=split, seed=4))
    assert without_split(stored(tmp_path / "mmnerd")) == without_split(held(distribution.rows()))
    rows = list(read_rows(tmp_path / "mmnerd", ["lang", "image_id", "tokens"]))
    expected = {}
    for config, languages in CONFIGS.items():
        train = [row for row in rows if row["lang"] in languages and row["split"] == "train"]
        for held_out in SPLITS[1:]:
            mine = [row for row in rows if row["lang"] in languages and row["split"] == held_out]
            pictures = sum(any(row["image_id"] == other["image_id"] for other in train) for row in mine)
            texts = sum(any(row["tokens"] == other["tokens"] for other in train) for row in mine)
            expected[config, held_out] = len(mine), pictures, texts
    assert {(leak.config, leak.split): (leak.rows, leak.pictures, leak.texts) for leak in report.leaks} == expected
    shared = sum(pictures for _, pictures, _ in expected.values())
    assert shared == 0 if split == "grouped" else shared > 50
    assert f"| all | test | {expected['all', 'test'][0]} |" in (tmp_path / "mmnerd" / "README.md").read_text()


def test_pooled_split_is_exact_and_grouped_split_keeps_pictures_together(distribution, tmp_path):
    total = sum(1 for _ in distribution.rows())
    paper = build_dataset(distribution.source, None, tmp_path / "paper", settings=BuildSettings(split="paper")).counts
    sizes = Counter()
    for (_, split), count in paper.items():
        sizes[split] += count.sentences
    assert sizes == {"train": total - 2 * (total // 10), "validation": total // 10, "test": total // 10}
    build_dataset(distribution.source, None, tmp_path / "grouped", settings=BuildSettings(split="grouped"))
    splits = {}
    for row in read_rows(tmp_path / "grouped", ["image_id"]):
        assert splits.setdefault(row["image_id"], row["split"]) == row["split"]
