"""Shards of a prediction put together are what one process writes; what is missing or doubled is named."""

from __future__ import annotations

import copy
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modeling_2mner import TwoMNERPipeline, length_windows, pipeline_2mner
from training_2mner.predict import prediction
from training_2mner.predict.merge import main as merge
from training_2mner.predict.prediction import open_records, predict_to_file
from training_2mner.predict.shards import Manifest, RecordRange, Shard, source_digest

BATCH = 2


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of two batches."""
    for module in (prediction, pipeline_2mner):
        monkeypatch.setattr(module, "WINDOW_BATCHES", 2)


@pytest.fixture(scope="module")
def pipe(model, processor):
    return TwoMNERPipeline(model=model, processor=processor, device="cpu")


@pytest.fixture
def source(tmp_path, pictures):
    """Eleven sentences, three windows, with pictures."""
    pictures[0].save(tmp_path / "0.png")
    rows = [{"text": f"Anna {'Meier ' * (7 * n % 11)}in Köln", "image": "0.png" if n % 3 else None} for n in range(11)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def predict(pipe, source, output, shard=None) -> None:
    records = open_records(source)
    part = None if shard is None else Shard.read(shard)
    predict_to_file(pipe, records, output, BATCH, shard=part, source=source_digest(source))


@pytest.mark.parametrize(("sentences", "count"), [(0, 1), (1, 3), (11, 1), (11, 2), (11, 3), (11, 5), (4000, 7)])
def test_shards_are_whole_windows_and_hold_every_sentence_once(sentences, count):
    bounds = [Shard(number, count).bounds(sentences, 4) for number in range(1, count + 1)]
    assert [place for first, end in bounds for place in range(first, end)] == list(range(sentences))
    assert all(first % 4 == 0 or first == sentences for first, _ in bounds)
    sizes = [end - first for first, end in bounds]
    assert max(sizes) - min(sizes) < 8


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("pixels", [0, 64_000_000])
def test_shards_make_the_bytes_of_one_process(tmp_path, pipe, source, small_windows, monkeypatch, count, pixels):
    monkeypatch.setattr(length_windows, "WINDOW_PIXELS", pixels)  # windows that end early, too
    predict(pipe, source, tmp_path / "whole.jsonl")
    for number in range(count, 0, -1):
        predict(pipe, source, tmp_path / "b.jsonl", f"{number}/{count}")
    assert not (tmp_path / "b.jsonl").exists()
    merge([str(tmp_path / "b.jsonl")])
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes() != b""
    with pytest.raises(SystemExit, match="exists already"):
        merge([str(tmp_path / "b.jsonl")])


@pytest.fixture
def three(tmp_path, pipe, source, small_windows):
    """Three shards of `b.jsonl`."""
    for number in (1, 2, 3):
        predict(pipe, source, tmp_path / "b.jsonl", f"{number}/3")
    return [tmp_path / f"b.shard-{number}-of-3.jsonl" for number in (1, 2, 3)]


def refused(tmp_path, *shards) -> str:
    with pytest.raises(SystemExit) as error:
        merge([str(tmp_path / "b.jsonl"), *map(str, shards)])
    assert not (tmp_path / "b.jsonl").exists()
    return str(error.value)


def test_a_name_may_hold_any_character(tmp_path, pipe, source):
    predict(pipe, source, tmp_path / "b[1].jsonl", "1/1")
    merge([str(tmp_path / "b[1].jsonl")])
    assert (tmp_path / "b[1].jsonl").read_bytes() == (tmp_path / "b[1].shard-1-of-1.jsonl").read_bytes()


def test_missing_shards_are_named(tmp_path, three):
    three[1].unlink()
    assert "the shards 2/3 are missing" in refused(tmp_path)
    three[2].unlink()
    assert "the shards 2/3, 3/3 are missing" in refused(tmp_path)
    three[0].unlink()
    assert "there are no shards b.shard-*-of-*.jsonl" in refused(tmp_path)


def test_a_doubled_shard_is_named(tmp_path, three):
    again = tmp_path / "again.jsonl"
    shutil.copy(three[1], again)
    Manifest.load(three[1]).write(again)
    told = refused(tmp_path, *three, again)
    assert "doubled" in told and f"2/3: {three[1]}, {again}" in told


def test_a_damaged_shard_is_named(tmp_path, three):
    three[2].write_bytes(three[2].read_bytes()[:-5])
    assert f"{three[2]} is not the file" in refused(tmp_path)
    (tmp_path / "b.shard-3-of-3.jsonl.manifest.json").unlink()
    assert "b.shard-3-of-3.jsonl.manifest.json, which says what" in refused(tmp_path)


def test_shards_of_different_predictions_do_not_mix(tmp_path, three, pipe, source):
    predict(pipe, source, tmp_path / "b.jsonl", "1/2")
    assert "they differ in `count`" in refused(tmp_path)
    (tmp_path / "b.shard-1-of-2.jsonl").unlink()
    other = source.with_name("other.jsonl")
    other.write_text(source.read_text("utf-8").replace("Anna", "Otto"), encoding="utf-8")
    three[0].unlink()
    predict(pipe, other, tmp_path / "b.jsonl", "1/3")
    assert "they differ in `source`" in refused(tmp_path)


@pytest.mark.parametrize("change", ["max_length", "pictures", "vocabulary"])
def test_shards_of_different_processors_do_not_mix(tmp_path, pipe, model, source, small_windows, change):
    predict(pipe, source, tmp_path / "b.jsonl", "1/2")
    other = copy.deepcopy(pipe.processor)
    if change == "max_length":
        other.max_length = 9
    elif change == "pictures":
        other.image_processor.image_mean = [0.0, 0.0, 0.0]
    else:
        other.tokenizer.add_tokens(["Zürich"])
    predict(TwoMNERPipeline(model=model, processor=other, device="cpu"), source, tmp_path / "b.jsonl", "2/2")
    assert "they differ in `settings`" in refused(tmp_path)


def test_an_interrupted_shard_goes_on(tmp_path, three, pipe, source, monkeypatch):
    whole = three[0].read_bytes()
    three[0].unlink()
    read = RecordRange.__getitem__

    def interrupt(self, index):
        if index == 3:
            raise KeyboardInterrupt
        return read(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(RecordRange, "__getitem__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            predict(pipe, source, tmp_path / "b.jsonl", "1/3")
    assert "1/3 are missing" in refused(tmp_path)
    predict(pipe, source, tmp_path / "b.jsonl", "1/3")
    assert three[0].read_bytes() == whole


@pytest.mark.parametrize("shard", ["0/3", "4/3", "2", "a/b"])
def test_a_shard_is_a_part_of_a_number(shard):
    with pytest.raises(ValueError, match="`shard` is"):
        Shard.read(shard)


@pytest.mark.parametrize(
    "change", [{"shard": "2"}, {"count": None}, {"shard": 9}, {"first": -4}, {"settings": []}, {"end": True}]
)
def test_a_manifest_that_nobody_wrote_is_named(tmp_path, three, change):
    path = tmp_path / "b.shard-2-of-3.jsonl.manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    assert "b.shard-2-of-3.jsonl.manifest.json, which says what" in refused(tmp_path)


def test_shards_that_do_not_reach_the_end_are_refused(tmp_path, three):
    for shard in three:
        path = shard.with_name(f"{shard.name}.manifest.json")
        fields = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(fields | {"sentences": 4000}), encoding="utf-8")
    assert "3 shards hold 11 of 4,000 sentences" in refused(tmp_path)


def test_many_missing_shards_are_counted(tmp_path, pipe, source, small_windows):
    predict(pipe, source, tmp_path / "b.jsonl", "1/9000000")
    assert "and 8,999,979 others are missing" in refused(tmp_path)


def test_names_with_the_signs_of_patterns(tmp_path, pipe, source):
    output = tmp_path / "b [1]*.jsonl"
    predict(pipe, source, output, "1/1")
    merge([str(output)])
    assert len(output.read_bytes().splitlines()) == 11


def test_parquet_files_of_one_size_are_told_apart(tmp_path):
    found = []
    for name in ("Anna", "Emma"):
        table = pa.table({"text": [name]})
        pq.write_table(table, tmp_path / "a.parquet", compression="none")
        found.append(((tmp_path / "a.parquet").stat().st_size, source_digest(tmp_path / "a.parquet")))
    assert found[0][0] == found[1][0] and found[0][1] != found[1][1]
