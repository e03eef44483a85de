"""Stored features: a training with them has the same losses and runs no tower, and no picture is stored twice."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections import namedtuple

import pytest
import torch
from datasets import DatasetDict
from safetensors.torch import load_file

from modeling_2mner import TwoMNERPipeline, TwoMNERReleasedProcessor
from modeling_2mner.images import load_image
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments
from training_2mner.evaluate.finished import tag_split
from training_2mner.evaluation import predict_tags
from training_2mner.features import cache as cache_module
from training_2mner.features.__main__ import main
from training_2mner.features.cache import FeatureCache
from training_2mner.features.fill import fill_cache, open_cache, use_cache
from training_2mner.features.towers import check_frozen, check_rows, describe_towers
from training_2mner.predict.__main__ import main as predict_main
from training_2mner.trainer import picture_checksums

FROZEN = {"freeze": ["vision", "resnet"]}
NINE = 9  # different pictures of the tiny data set


@pytest.fixture
def towers_run(monkeypatch):
    """Count the runs of image towers."""
    from transformers import CLIPVisionModel, ResNetModel

    counts: list[str] = []
    for kind in (CLIPVisionModel, ResNetModel):
        plain = kind.forward

        def counting(self, *args, plain=plain, **kwargs):
            counts.append(type(self).__name__)
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(kind, "forward", counting)
    return counts


@pytest.fixture
def filled(tmp_path, model, processor, splits):
    cache = FeatureCache(tmp_path / "cache", describe_towers(model, processor, "float32"))
    fill_cache(cache, model, processor, list(splits.values()))
    return cache


def losses(trainer) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_has_the_same_losses_and_runs_no_tower(
    make_trainer, make_model, no_dropout, splits, tmp_path, towers_run, workers
):
    settings = {**FROZEN, "num_train_epochs": 2, "gather_negatives": True, "dataloader_num_workers": workers}
    plain = make_trainer(make_model(**no_dropout), **settings)
    expected = losses(plain)
    answers = predict_tags(plain, splits["test"])
    cached = make_trainer(make_model(**no_dropout), **settings, cache_image_features=str(tmp_path / "cache"))
    use_cache(cached, splits)
    assert towers_run  # to fill it
    towers_run.clear()
    found = losses(cached)
    again = predict_tags(cached, splits["test"])
    assert towers_run == []
    assert len(found) == len(expected) == 12 and found == pytest.approx(expected, rel=1e-5)
    assert again[1:] == answers[1:]
    another = make_trainer(
        make_model(**no_dropout), **settings, cache_image_features=str(tmp_path / "cache"), folder="2"
    )
    use_cache(another, splits)
    assert towers_run == []  # a second run reads what the first has stored


@pytest.mark.parametrize("kind", ["umt", "umgf", "mkgformer", "adacan"])
def test_comparison_models(make_trainer, make_baseline, one_image_processor, word_processor, splits, tmp_path, kind):
    from training_2mner.collator import TwoMNERDataCollator

    reader = word_processor if kind == "adacan" else one_image_processor
    tower = {"mkgformer": "vision", "adacan": "vgg"}.get(kind, "resnet")
    results = []
    for cache in (None, str(tmp_path / "cache")):
        torch.manual_seed(0)
        trainer = make_trainer(
            make_baseline(kind),
            collator=TwoMNERDataCollator(reader),
            folder=str(cache is None),
            freeze=[tower],
            cache_image_features=cache,
        )
        trainer.processing_class = reader
        use_cache(trainer, splits)
        assert (trainer.data_collator.features is None) == (cache is None)
        results.append(losses(trainer))
    assert results[1] == pytest.approx(results[0], rel=1e-4)


def test_equal_pictures_are_stored_once(filled, model, processor, splits):
    assert len(filled) == NINE
    assert str(fill_cache(filled, model, processor, list(splits.values()))).startswith(
        "0 pictures were encoded, 9 were"
    )
    (path,) = filled.folder.glob("features-*.safetensors")
    tensors = load_file(path)
    assert {name: len(tensor) for name, tensor in tensors.items()} == dict.fromkeys(
        ("digests", "image_features", "resnet_image_features"), NINE
    )
    opened = [load_image(row["image"]) for split in splits.values() for row in split]
    different = {picture.digest: picture.image for picture in opened if picture.usable}
    with torch.no_grad():
        expected = model.encode_images(**processor.encode_images(list(different.values())))
    for row, digest in enumerate(different):
        assert digest in filled and set(filled[digest]) == set(expected)
        assert all(torch.equal(filled[digest][name], value[row]) for name, value in expected.items())
    assert "0" * 64 not in filled and len(list(filled)) == NINE


def test_half_precision_takes_half_the_room_and_lies_apart(tmp_path, filled, model, processor, splits):
    half = FeatureCache(tmp_path / "cache", describe_towers(model, processor, "float16"))
    fill_cache(half, model, processor, list(splits.values()))
    assert half.folder != filled.folder and half.folder.parent == filled.folder.parent
    digest = next(iter(half))
    for name, value in half[digest].items():
        assert value.dtype == torch.float16
        torch.testing.assert_close(value.float(), filled[digest][name], rtol=1e-2, atol=1e-2)
    with pytest.raises(ValueError, match="`image_features_precision` is 'int8'; write one of float32, float16"):
        describe_towers(model, processor, "int8")


def test_the_state_of_the_towers_decides(model, make_model, processor, tmp_path, tokenizer):
    first = describe_towers(model, processor, "float32")
    assert first == json.loads(json.dumps(first))
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved")
    assert describe_towers(again, type(processor).from_pretrained(tmp_path / "saved"), "float32") == first
    other = make_model()
    with torch.no_grad():
        other.classifier.weight.add_(1)
        other.model.text_model.embeddings.word_embeddings.weight.add_(1)
    assert describe_towers(other, processor, "float32") == first
    with torch.no_grad():
        other.model.vision_model.embeddings.class_embedding.add_(1e-3)
    assert describe_towers(other, processor, "float32") != first
    bigger = type(processor).for_model(model, tokenizer, resnet_image_size=48)
    assert describe_towers(model, bigger, "float32") != first


def test_files_are_limited_and_whole(tmp_path, model, processor, splits, monkeypatch):
    monkeypatch.setattr(cache_module, "FILE_BYTES", 1)
    cache = FeatureCache(tmp_path, describe_towers(model, processor, "float32"))
    fill_cache(cache, model, processor, [splits["train"]])
    files = sorted(path.name for path in cache.folder.glob("features-*"))
    assert len(files) == len(cache) == NINE and files[0] == "features-000001.safetensors"
    assert [path.name for path in cache.folder.iterdir() if path.name not in files] == ["settings.json"]


def test_what_was_done_before_a_failure_stays(tmp_path, model, processor, splits, monkeypatch):
    cache = FeatureCache(tmp_path, describe_towers(model, processor, "float32"))
    plain, calls = type(model).encode_images, []

    def failing(self, **pixels):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("stopped")
        return plain(self, **pixels)

    monkeypatch.setattr(type(model), "encode_images", failing)
    with pytest.raises(RuntimeError, match="stopped"):
        fill_cache(cache, model, processor, [splits["train"]], batch_size=2)
    assert len(FeatureCache(tmp_path, cache.settings)) == 4
    done = fill_cache(cache, model, processor, [splits["train"]], batch_size=2)
    assert (done.known, done.added) == (4, 5) and not model.training


def test_one_writer_at_a_time_and_readers_any_time(filled, model, processor, make_dataset, make_row):
    more = make_dataset([make_row(["Anna"], ["B-PER"], 77)])
    with (
        only_writer(filled.folder, "x"),
        pytest.raises(ValueError, match=r"`cache_image_features` .* is being written"),
    ):
        fill_cache(filled, model, processor, [more])
    with only_writer(filled.folder, "x"):
        assert len(FeatureCache(filled.folder.parent, filled.settings)) == NINE
    reader = pickle.loads(pickle.dumps(filled))  # as a loader's process gets it
    assert fill_cache(filled, model, processor, [more]).added == 1
    assert len(filled) == NINE + 1 and len(reader) == NINE
    assert set(reader[next(iter(reader))]) == {"image_features", "resnet_image_features"}


def test_the_size_is_told_and_refused_before_the_work(tmp_path, model, processor, splits, monkeypatch):
    cache, told = FeatureCache(tmp_path, describe_towers(model, processor, "float32")), []
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 0, 100))
    with pytest.raises(
        ValueError, match="free some space, choose another folder, or write `image_features_precision: fl"
    ):
        fill_cache(cache, model, processor, [splits["train"]], tell=told.append)
    assert len(told) == 1 and told[0].startswith("9 pictures will take 0.") and len(cache) == 0


def test_a_damaged_file_is_named(filled):
    (path,) = filled.folder.glob("features-*")
    os.truncate(path, 100)
    with pytest.raises(ValueError, match=r"features-000001\.safetensors cannot be read .* remove this file"):
        FeatureCache(filled.folder.parent, filled.settings)


def test_bad_pictures_are_missing_as_without_a_cache(make_trainer, filled, processor, make_dataset, make_row):
    rows = [make_row(["Anna"], ["B-PER"], picture, number) for number, picture in enumerate([0, b"bad", None])]
    from training_2mner.collator import TwoMNERDataCollator

    dataset = make_dataset(rows)
    batch = TwoMNERDataCollator(processor, features=filled)(list(dataset))
    plain = TwoMNERDataCollator(processor)(list(dataset))
    assert batch.image_status == plain.image_status == ["ok", "unreadable", "missing"]
    assert batch["image_index"].tolist() == plain["image_index"].tolist() == [0, -1, -1]
    assert picture_checksums(batch).tolist() == [batch["image_hashes"].item(), -1, -1]
    with pytest.raises(ValueError, match="no stored features"):
        TwoMNERDataCollator(processor, features=filled)(list(make_dataset([make_row(["Anna"], ["B-PER"], 78)])))


def test_hashes_tell_pictures_of_several_processes_apart(filled, processor, make_dataset, make_row):
    from training_2mner.collator import TwoMNERDataCollator

    collate = TwoMNERDataCollator(processor, features=filled)
    first = collate(list(make_dataset([make_row(["a"], ["O"], number) for number in (1, 2, 1)])))
    second = collate(list(make_dataset([make_row(["a"], ["O"], number) for number in (2, 3)])))
    numbers, others = picture_checksums(first).tolist(), picture_checksums(second).tolist()
    assert numbers[0] == numbers[2] and numbers[1] == others[0] and len({*numbers, *others}) == 3
    assert min(*numbers, *others) >= 0


def test_towers_that_learn_are_refused(make_trainer, make_model, splits, tmp_path, filled):
    for freeze in ([], ["vision"]):
        trainer = make_trainer(freeze=freeze, cache_image_features=str(tmp_path / "cache"))
        with pytest.raises(
            ValueError, match=r"learns, so that its features change; write `freeze: \[vision, resnet\]`"
        ):
            use_cache(trainer, splits)
    dropping = make_model(vision_config={"attention_dropout": 0.1})
    statistics = make_model(resnet_batch_norm="train")
    for model in (dropping, statistics):
        model.requires_grad_(False)
        with pytest.raises(ValueError, match="differ from step to step"):
            check_frozen(model)
    check_frozen(make_model().requires_grad_(False))


def test_augmented_pictures_are_refused(make_model, processor, splits):
    released = TwoMNERReleasedProcessor.__new__(TwoMNERReleasedProcessor)
    with pytest.raises(ValueError, match="another random part of a picture each time"):
        describe_towers(make_model(), released, "float32")
    check_rows(splits["train"])
    with pytest.raises(ValueError, match="has a transform, which may augment its pictures"):
        check_rows(splits["train"].with_transform(lambda rows: rows))


def test_models_that_cannot_are_refused(make_baseline, one_image_processor):
    with pytest.raises(ValueError, match="does not read whole pictures apart from its text"):
        describe_towers(make_baseline("umgf", visual_nodes="objects"), one_image_processor, "float32")


def test_boxes_are_refused(make_trainer, make_model, splits, tmp_path):
    trainer = make_trainer(**FROZEN, cache_image_features=str(tmp_path))
    trainer.data_collator.boxes = "boxes"
    with pytest.raises(ValueError, match="column of object boxes, whose crops are not stored"):
        use_cache(trainer, splits)


def test_predict_reads_what_the_command_stored(model, processor, data_folder, splits, tmp_path, capsys, towers_run):
    model.save_pretrained(tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    cache, run = str(tmp_path / "cache"), str(tmp_path / "run")
    main([run, "--dataset", str(data_folder), "--output", cache])
    printed = capsys.readouterr().out
    assert "9 pictures will take" in printed and "9 pictures were encoded, 0 were stored before" in printed
    for name in ("train", "test"):
        splits[name].to_parquet(tmp_path / f"{name}.parquet")
    source = str(tmp_path / "test.parquet")
    predict_main([run, "--input", source, "--output", str(tmp_path / "plain.jsonl"), "--device", "cpu"])
    assert towers_run
    towers_run.clear()
    predict_main(
        [
            run,
            "--input",
            source,
            "--output",
            str(tmp_path / "a.jsonl"),
            "--device",
            "cpu",
            "--cache_image_features",
            cache,
        ]
    )
    assert towers_run == []
    found, expected = ((tmp_path / name).read_text().splitlines() for name in ("a.jsonl", "plain.jsonl"))
    assert len(found) == len(expected) == 9
    for one, other in zip(map(json.loads, found), map(json.loads, expected), strict=True):
        scores = [[entity.pop("score") for entity in row["entities"]] for row in (one, other)]
        assert one == other and scores[0] == pytest.approx(scores[1], abs=1e-5)
    with pytest.raises(SystemExit, match="holds no features of this model's image encoders"):
        predict_main(
            [
                run,
                "--input",
                source,
                "--output",
                str(tmp_path / "b.jsonl"),
                "--cache_image_features",
                str(tmp_path / "no"),
            ]
        )


def test_the_pipeline_encodes_what_is_not_stored(model, processor, filled, make_picture, splits, towers_run):
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    image = next(row["image"] for row in splits["train"] if row["image"])
    inputs = [{"text": "Anna in Paris", "image": image}, {"text": "Anna", "image": make_picture(99)}]
    expected = pipe(inputs, batch_size=2)
    pipe.image_features = open_cache(filled.folder.parent, model, processor)
    towers_run.clear()
    found = pipe(inputs, batch_size=2)
    assert towers_run == ["CLIPVisionModel", "ResNetModel"]
    for one, other in zip(found, expected, strict=True):
        assert [entity["word"] for entity in one] == [entity["word"] for entity in other]
        assert one.image_status == other.image_status == "ok"


def test_a_text_only_variant_of_a_run_ignores_it(make_trainer, make_model, text_only, splits, tmp_path):
    trainer = make_trainer(make_model(**text_only), **FROZEN, cache_image_features=str(tmp_path / "cache"))
    use_cache(trainer, DatasetDict(splits))
    assert trainer.data_collator.features is None and not (tmp_path / "cache").exists()


def test_two_processes_share_a_cache_and_tell_their_pictures_apart(two_processes):
    plain, cached = (two_processes["results"][case] for case in ("plain", "cached"))
    assert len(plain) == len(cached) > 2
    for one, other in zip(plain, cached, strict=True):
        for part in ("loss", "crf_loss", "vit_contrastive_loss", "resnet_contrastive_loss"):
            assert one[part] == pytest.approx(other[part], rel=1e-5)
    assert len(list((two_processes["folder"] / "features").rglob("features-*.safetensors"))) == 1


def test_a_finished_model_is_scored_with_it(model, processor, splits, filled, tmp_path, towers_run):
    model.save_pretrained(tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    arguments = (str(tmp_path / "run"), splits["test"], DataArguments(), 4, "cpu")
    expected = tag_split(*arguments)
    assert towers_run
    towers_run.clear()
    assert tag_split(*arguments, filled.folder.parent) == expected and towers_run == []


def test_a_search_with_other_towers_is_refused(make_trainer, make_model, filled, model):
    trainer = make_trainer(**FROZEN)
    trainer.data_collator.features = filled
    trainer.model_init = lambda: make_model()
    assert trainer.call_model_init() is not model
    other = make_model()
    with torch.no_grad():
        other.model.resnet_model.embedder.embedder.convolution.weight.add_(1e-3)
    trainer.model_init = lambda: other
    with pytest.raises(ValueError, match="image encoders with other weights than those of this model"):
        trainer.call_model_init()
