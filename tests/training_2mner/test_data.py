from __future__ import annotations

import logging

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, List, Value

from training_2mner.arguments import DataArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.data import (
    TruncationLoss,
    cache_folder,
    cut_sentences,
    has_pictures,
    label_names,
    load_splits,
    part_of_rows,
    without_sentences,
)

CUT = 3
SENTENCES = [
    (["Anna", "Meier", "in"], ["B-PER", "I-PER", "O"]),  # fits
    (["in", "the", "Anna", "Meier"], ["O", "O", "B-PER", "I-PER"]),  # cut in half: 1 word, 1 entity
    (["in", "the", "Paris", "Köln", "Louvre"], ["O", "O", "B-LOC", "B-LOC", "B-ORG"]),  # 2 words, 2 entities
    (["Anna", "in", "the", "the"], ["B-PER", "O", "O", "O"]),  # 1 word, no entity
    (["the"], ["O"]),
]


@pytest.fixture
def long_sentences(make_dataset, make_row):
    return make_dataset([make_row(words, tags, number, number) for number, (words, tags) in enumerate(SENTENCES)])


def test_loads_splits_with_undecoded_pictures(data_folder, splits):
    loaded = load_splits(DataArguments(dataset=str(data_folder)))

    assert {name: len(split) for name, split in loaded.items()} == {"train": 24, "validation": 7, "test": 9}
    for name, split in splits.items():
        assert loaded[name]["tokens"][:] == split["tokens"][:]
    image = loaded["train"][0]["image"]
    assert image["bytes"] == splits["train"][0]["image"]["bytes"]


def test_replaced_files_are_read_and_not_their_copy(write_data_folder, splits):
    """The card, by which `load_dataset` finds its copy, stays the same."""
    folder = write_data_folder(splits)
    assert len(load_splits(DataArguments(dataset=str(folder)))["train"]) == 24

    splits["train"].select(range(5)).to_parquet(str(folder / "train.parquet"))
    assert len(load_splits(DataArguments(dataset=str(folder)))["train"]) == 5


def test_a_folder_that_stays_is_copied_once(write_data_folder, splits):
    folder = write_data_folder(splits)
    first, second = (load_splits(DataArguments(dataset=str(folder)))["train"].cache_files for _ in range(2))
    assert first == second
    assert cache_folder("user/a-data-set-of-the-hub") is None


def test_a_broken_picture_does_not_stop_loading(write_data_folder, make_dataset, make_row, splits, processor):
    rows = [make_row(["Paris"], ["B-LOC"], b"broken"), make_row(["Anna"], ["B-PER"], 1)]
    folder = write_data_folder(DatasetDict({**splits, "train": make_dataset(rows)}))
    loaded = load_splits(DataArguments(dataset=str(folder), max_words=5))

    batch = TwoMNERDataCollator(processor)(list(loaded["train"]))

    assert batch.image_status == ["unreadable", "ok"]


def test_missing_split_is_an_error(write_data_folder, splits):
    folder = write_data_folder(DatasetDict(train=splits["train"], test=splits["test"]))

    with pytest.raises(ValueError, match="no split 'validation', only train, test"):
        load_splits(DataArguments(dataset=str(folder)))


def test_missing_column_is_an_error(write_data_folder, splits):
    folder = write_data_folder(splits.rename_column("ner_tags", "tags"))

    with pytest.raises(ValueError, match=r"no column 'ner_tags', only tokens, tags"):
        load_splits(DataArguments(dataset=str(folder)))


def test_tags_without_names_are_an_error(splits):
    nameless = splits["train"].cast_column("ner_tags", List(Value("int64")))

    with pytest.raises(ValueError, match="`ner_tags`"):
        label_names(nameless)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        (["Anna", "Meier"], ["I-PER", "I-PER"], "row 1, word 0 .*'I-PER' continues no entity"),
        (["Anna", "Meier"], [-1, -1], "row 1, word 0 .*holds -1"),
        (["Anna", None], ["B-PER", "O"], "row 1, word 1: None"),
        (["Anna", "Meier"], ["B-PER", None], "row 1, word 1 .*null"),
        (None, ["O"], "row 1: `tokens`"),
        (["Anna"], None, "row 1: `ner_tags`"),
    ],
)
def test_tags_that_cannot_be_learned_from_are_told(
    write_data_folder, make_dataset, make_row, splits, split, words, tags, message
):
    rows = make_dataset([make_row(["Paris"], ["B-LOC"]), make_row(words, tags)])
    folder = write_data_folder(DatasetDict({**splits, split: rows}))

    with pytest.raises(ValueError, match=f"split '{split}', {message}"):
        load_splits(DataArguments(dataset=str(folder)))


def test_tags_of_another_scheme_are_told(write_data_folder, splits):
    names = ["O", "I-PER", "I-LOC"]
    split = Dataset.from_dict({"tokens": [["Anna"]], "ner_tags": [[1]]})
    split = split.cast_column("ner_tags", List(ClassLabel(names=names)))
    folder = write_data_folder(DatasetDict(train=split, validation=split, test=split))

    with pytest.raises(ValueError, match=r"split 'train'.*'I-PER' but no 'B-PER'"):
        load_splits(DataArguments(dataset=str(folder)))


def test_unknown_configuration_is_an_error(data_folder):
    with pytest.raises(ValueError, match=r"'en'.*all"):
        load_splits(DataArguments(dataset=str(data_folder), dataset_config="en"))


def test_the_only_configuration_is_taken(write_data_folder, splits, caplog):
    folder = write_data_folder(splits)
    (folder / "README.md").unlink()  # one configuration, `default`
    arguments = DataArguments(dataset=str(folder))
    with caplog.at_level("INFO"):
        loaded = load_splits(arguments)

    assert loaded["test"]["tokens"][:] == splits["test"]["tokens"][:]
    assert arguments.dataset_config == "default"
    assert "has one configuration, 'default', which is taken" in caplog.text
    with pytest.raises(ValueError, match=r"`dataset_config` is 'en', but .* has 'default'; name one of these"):
        load_splits(DataArguments(dataset=str(folder), dataset_config="en"))


def test_cutting_counts_what_is_lost(long_sentences):
    cut, loss = cut_sentences(long_sentences, CUT)

    assert loss == TruncationLoss(sentences=3, words=4, entities=3, all_entities=6)
    assert str(loss) == "3 sentences lose 4 words and 3 of 6 entities (50.00 %)"
    assert cut["tokens"][:] == [words[:CUT] for words, _ in SENTENCES]
    assert [len(tags) for tags in cut["ner_tags"]] == [len(words) for words in cut["tokens"]]
    assert cut.features == long_sentences.features
    assert cut["image"][:] == long_sentences["image"][:]


def test_an_entity_that_ends_at_the_limit_is_kept(make_dataset, make_row):
    dataset = make_dataset([make_row(["in", "Anna", "Meier", "Paris"], ["O", "B-PER", "I-PER", "B-LOC"])])

    assert cut_sentences(dataset, 3)[1] == TruncationLoss(sentences=1, words=1, entities=1, all_entities=2)
    assert cut_sentences(dataset, 4)[1] == TruncationLoss(sentences=0, words=0, entities=0, all_entities=2)


def test_only_training_sentences_are_cut_and_the_loss_is_told(write_data_folder, long_sentences, caplog):
    folder = write_data_folder(DatasetDict(train=long_sentences, validation=long_sentences, test=long_sentences))
    with caplog.at_level(logging.WARNING, logger="training_2mner.data"):
        loaded = load_splits(DataArguments(dataset=str(folder), max_words=CUT))

    assert max(len(words) for words in loaded["train"]["tokens"]) == CUT
    for name in ("validation", "test"):
        assert loaded[name]["tokens"][:] == [words for words, _ in SENTENCES]
    assert "3 sentences lose 4 words and 3 of 6 entities" in caplog.text


def test_a_limit_that_costs_nothing_is_silent(data_folder, caplog):
    with caplog.at_level(logging.WARNING, logger="training_2mner.data"):
        load_splits(DataArguments(dataset=str(data_folder), max_words=50))

    assert not caplog.records


def test_parts_of_the_training_split_cover_it_without_overlap(data_folder, splits):
    parts = [part_of_rows(24, f"{number}/5") for number in range(1, 6)]
    assert sorted(row for part in parts for row in part) == list(range(24))
    assert {len(part) for part in parts} == {4, 5} and parts[0] != list(range(5))
    loaded = load_splits(DataArguments(dataset=str(data_folder), train_part="2/5"))
    assert loaded["train"]["tokens"][:] == [splits["train"]["tokens"][row] for row in parts[1]]
    assert len(loaded["test"]) == len(splits["test"])


@pytest.mark.parametrize("part", ["0/5", "6/5", "2", "a/b", "1/0"])
def test_a_part_that_is_none_is_an_error(part):
    with pytest.raises(ValueError, match="`train_part` is"):
        part_of_rows(24, part)


def test_sentences_are_left_out_of_training_by_name(tmp_path, splits, caplog):
    file = tmp_path / "without.txt"
    names = [f"name {row}" for row in range(len(splits["train"]))]
    train = splits["train"].add_column("id", names)
    file.write_text("\n".join([names[1], names[5], ""]), encoding="utf-8")
    left = without_sentences(train, str(file))
    assert left["id"][:] == [name for row, name in enumerate(names) if row not in (1, 5)]
    assert f"2 of {len(names)} training sentences are left out" in caplog.text
    file.write_text("nobody", encoding="utf-8")
    with pytest.raises(ValueError, match=r"`train_without` names 1 sentences .* such as 'nobody'"):
        without_sentences(train, str(file))
    with pytest.raises(ValueError, match=r"`train_without` .* cannot be read"):
        without_sentences(train, str(tmp_path / "none.txt"))
    with pytest.raises(ValueError, match="no column 'id'"):
        file.write_text("", encoding="utf-8")
        without_sentences(splits["train"], str(file))


def test_first_sentences_only(data_folder, splits):
    loaded = load_splits(DataArguments(dataset=str(data_folder), max_train_samples=3, max_eval_samples=8))

    assert loaded["train"]["tokens"][:] == splits["train"]["tokens"][:3]
    assert (len(loaded["validation"]), len(loaded["test"])) == (7, 8)


def test_a_data_set_without_any_picture_is_told_from_one_with_some(data_folder, make_dataset, make_row):
    train = load_splits(DataArguments(dataset=str(data_folder)))["train"]
    blind = make_dataset([make_row(["Paris"], ["B-LOC"], None) for _ in range(3)])
    assert has_pictures(train) and not has_pictures(train.remove_columns("image")) and not has_pictures(blind)


@pytest.mark.parametrize("name", ["boxes_column", "small_boxes_column"])
def test_a_column_of_boxes_that_is_not_there_is_named_at_once(data_folder, name):
    with pytest.raises(ValueError, match=f"`{name}` is 'nope', but `dataset` .* has only the columns .*tokens"):
        load_splits(DataArguments(str(data_folder), **{name: "nope"}))
