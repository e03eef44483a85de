from __future__ import annotations

import copy
import json
import logging
from dataclasses import fields

import pytest
from datasets import Dataset, DatasetDict, Image
from transformers import TrainingArguments

from modeling_2mner.processing_2mner import imagenet_processor
from training_2mner.arguments import DataArguments, TwoMNERTrainingArguments
from training_2mner.lora import LORA_SETTINGS
from training_2mner.run_settings import check_resume, describe_run, fingerprint


@pytest.fixture
def describe(make_trainer, splits):
    def build(data=None, some=None, **settings):
        return describe_run(make_trainer(**settings), data or DataArguments(), some or splits)

    return build


@pytest.fixture
def checkpoint(tmp_path, describe):
    (tmp_path / "run_settings.json").write_text(json.dumps(describe()), encoding="utf-8")
    return tmp_path


# Options of this project that change neither weights nor the epoch that is chosen, or nothing that a run has done so far.
WITHOUT_EFFECT = {"patience", "calibrate", "resume_anyway", "lora_keep_adapter"}


def test_every_option_of_this_project_is_compared(describe):
    own = {field.name for field in fields(TwoMNERTrainingArguments)} - {
        field.name for field in fields(TrainingArguments)
    }
    settings = {*describe(), *LORA_SETTINGS, "group_by_picture", "cache_image_features", "image_features_precision"}
    assert own - settings - WITHOUT_EFFECT == set()


def test_the_same_run_goes_on_without_a_word(checkpoint, describe, caplog):
    with caplog.at_level(logging.WARNING):
        check_resume(checkpoint, describe(), anyway=False)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"folder": "elsewhere"},
        {"save_total_limit": 5},
        {"logging_steps": 3},
        {"dataloader_num_workers": 0, "per_device_eval_batch_size": 8},
        {"report_to": "none"},
    ],
)
def test_what_the_result_does_not_depend_on_may_change(checkpoint, describe, settings):
    check_resume(checkpoint, describe(**settings), anyway=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 5}, "`seed` was 42, now 5"),
        ({"learning_rate": 0.5}, "`learning_rate` was 0.01, now 0.5"),
        ({"crf_learning_rate": 0.5}, "`crf_learning_rate` was null, now 0.5"),
        ({"per_device_train_batch_size": 2}, "`per_device_train_batch_size` was 4, now 2"),
        ({"length_unit": "words"}, "`length_unit` was .pieces., now .words."),
        ({"onednn_linear": True}, "`onednn_linear` was false, now true"),
        ({"word_dropout": 0.25}, r"`word_dropout` was 0\.0, now 0\.25"),
        ({"train_used_rows": True}, "`train_used_rows` was false, now true"),
        ({"gradient_accumulation_steps": 2}, "`gradient_accumulation_steps` was 1, now 2"),
        ({"num_train_epochs": 3}, "`num_train_epochs` was 1, now 3"),
        ({"freeze": ["text"]}, "`freeze` was"),
        ({"data": DataArguments(train_part="1/2")}, "`train_part` was null, now .1/2"),
    ],
)
def test_another_setting_is_told_and_refused(checkpoint, describe, settings, message, caplog):
    with pytest.raises(ValueError, match=f"{message}.*--resume_anyway true"):
        check_resume(checkpoint, describe(**settings), anyway=False)

    check_resume(checkpoint, describe(**settings), anyway=True)
    assert "goes on with the new ones" in caplog.text


def test_other_data_and_another_network_are_refused(checkpoint, describe, splits, make_model):
    fewer = DatasetDict({**splits, "train": splits["train"].select(range(20))})
    with pytest.raises(ValueError, match=r"`data\.train` was"):
        check_resume(checkpoint, describe(some=fewer), anyway=False)
    with pytest.raises(ValueError, match=r"`model\.alpha` was .*, now 0\.3"):
        check_resume(checkpoint, describe(model=make_model(alpha=0.3)), anyway=False)


def test_a_checkpoint_without_settings_is_told(tmp_path, describe, caplog):
    check_resume(tmp_path, describe(), anyway=False)
    assert "does not hold the settings of its run" in caplog.text


def test_the_fingerprint_is_of_the_contents(splits, make_dataset, make_row, tmp_path):
    train = splits["train"]
    train.to_parquet(tmp_path / "copy.parquet")
    copy = type(train).from_parquet(str(tmp_path / "copy.parquet"), cache_dir=str(tmp_path / "cache"))
    assert fingerprint(copy.cast_column("image", Image(decode=False))) == fingerprint(train)

    row = make_row(["Anna"], ["B-PER"], 1)
    others = [make_row(["Anne"], ["B-PER"], 1), make_row(["Anna"], ["O"], 1), make_row(["Anna"], ["B-PER"])]
    names = {fingerprint(make_dataset([other])) for other in (row, *others)}
    assert len(names) == 4


def test_other_sizes_of_pictures_are_refused(checkpoint, make_trainer, splits):
    trainer = make_trainer()
    trainer.processing_class = copy.copy(trainer.processing_class)
    trainer.processing_class.resnet_image_processor = imagenet_processor(48)
    with pytest.raises(ValueError, match=r"processor\.resnet_image_processor\.size"):
        check_resume(checkpoint, describe_run(trainer, DataArguments(), splits), anyway=False)


def test_pictures_of_equal_size_and_objects_are_told_apart():
    pictures = [{"bytes": b"one", "path": None}, {"bytes": b"two", "path": None}]
    by_path = [{"bytes": None, "path": f"{name}.jpg"} for name in ("a", "b")]
    for pair in (pictures, by_path):
        first, second = (
            Dataset.from_dict({"tokens": [["a"]], "image": [cell]}).cast_column("image", Image(decode=False))
            for cell in pair
        )
        assert fingerprint(first) != fingerprint(second)
    boxes = [Dataset.from_dict({"tokens": [["a"]], "boxes": [[[0, 0, 9, side]]]}) for side in (8, 9)]
    assert fingerprint(boxes[0], ["boxes"]) != fingerprint(boxes[1], ["boxes"])


def test_a_run_from_before_the_choice_of_a_unit_went_by_words(checkpoint, describe):
    path = checkpoint / "run_settings.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    del settings["length_unit"]
    path.write_text(json.dumps(settings), encoding="utf-8")
    check_resume(checkpoint, describe(length_unit="words"), anyway=False)
    with pytest.raises(ValueError, match='`length_unit` was "words", now "pieces"'):
        check_resume(checkpoint, describe(), anyway=False)


def test_a_run_from_before_an_option_goes_on_with_what_it_did(checkpoint, describe):
    path = checkpoint / "run_settings.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    del settings["word_dropout"], settings["processor"]["jpeg_draft"]
    path.write_text(json.dumps(settings), encoding="utf-8")
    check_resume(checkpoint, describe(), anyway=False)
    now = describe()
    del now["processor"]["jpeg_draft"]  # a processor without pictures has none
    check_resume(checkpoint, now, anyway=False)
