import hashlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pyarrow.parquet as pq
import pytest

from dataset_scripts.build import shards
from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.build.shards import Problem, ShardTask, write_shard

SCRIPT = Path(__file__).with_name("killed_build.py")


@pytest.fixture
def task(tmp_path):
    """Three rows; the second has the picture of the first, the third has none."""
    images = tmp_path / "images"
    images.mkdir()
    PIL.Image.effect_noise((64, 48), 90).save(images / "a.jpg")
    (tmp_path / "rows").mkdir()
    rows = tmp_path / "rows" / "en-train-00000.jsonl"
    words = {"tokens": ["Paris"], "ner_tags": ["B-LOC"], "lang": "en", "source": "other"}
    lines = [{"id": f"en/{i}", "image_id": image_id, **words} for i, image_id in enumerate(("a", "a", "b"))]
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return ShardTask(rows, tmp_path / "data" / "x.parquet", images, embed=True, use_default=False, max_side=512)


def statuses(task):
    return pq.read_table(task.output)["image_status"].to_pylist()


def test_rows_get_their_pictures(task):
    result = write_shard(task)
    first, second, third = pq.read_table(task.output).to_pylist()
    assert first["image"] == second["image"] and first["image"]["bytes"] == (task.images / "a.jpg").read_bytes()
    assert first["sha256"] == hashlib.sha256(first["image"]["bytes"]).hexdigest()
    assert (third["image"], third["sha256"], third["image_status"]) == (None, None, "missing")
    data = task.output.read_bytes()
    assert (result.bytes, result.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert result.counts.sentences == 3 and result.counts.statuses == {"ok": 2, "missing": 1}
    assert result.problems == [Problem("en/2", "missing", "no such file")]


def test_finished_shard_is_not_written_again_and_gives_the_same_result(task, monkeypatch):
    first = write_shard(task)
    monkeypatch.setattr(shards, "write_parquet", None)
    assert write_shard(task) == first


@pytest.mark.parametrize("field", ["embed", "use_default", "max_side"])
def test_other_settings_write_it_again(task, field, monkeypatch):
    write_shard(task)
    other = replace(task, **{field: {"embed": False, "use_default": True, "max_side": 64}[field]})
    before = statuses(task)
    result = write_shard(other)
    assert sum(result.counts.statuses.values()) == 3
    assert result.sha256 == hashlib.sha256(task.output.read_bytes()).hexdigest()
    assert (statuses(task) == before) == (field != "use_default")


def test_changed_rows_pictures_or_output_write_it_again(task):
    first = write_shard(task)
    (task.images / "b.jpg").write_bytes((task.images / "a.jpg").read_bytes())
    assert write_shard(task).counts.statuses == {"ok": 3}
    (task.images / "b.jpg").unlink()
    assert write_shard(task) == first
    task.output.write_bytes(b"cut")
    assert write_shard(task) == first and statuses(task) == ["ok", "ok", "missing"]
    task.output.unlink()
    assert write_shard(task) == first and statuses(task) == ["ok", "ok", "missing"]
    task.rows.write_text(task.rows.read_text().replace("Paris", "Lyon"))
    write_shard(task)
    assert pq.read_table(task.output)["tokens"].to_pylist() == [["Lyon"]] * 3


def test_file_of_a_stopped_task_is_not_taken_for_an_earlier_one(task, monkeypatch):
    first = write_shard(task)

    def write_and_stop(rows, path, schema):
        path.write_bytes(b"?" * first.bytes)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shards, "write_parquet", write_and_stop)
        write_shard(replace(task, max_side=64))
    assert write_shard(task) == first and statuses(task) == ["ok", "ok", "missing"]


def test_other_versions_write_it_again(task, monkeypatch):
    write_shard(task)
    written = []
    monkeypatch.setattr(shards, "versions", lambda: {"pillow": "0"})
    monkeypatch.setattr(shards, "write_parquet", lambda rows, path, schema: written.append(list(rows)))
    write_shard(task)
    assert len(written[0]) == 3


def test_repeated_pictures_are_read_once(task, monkeypatch):
    read = []
    monkeypatch.setattr(
        shards, "read_picture_of", lambda folder, image_id, name, side: read.append(image_id) or shards.NOT_LOOKED_FOR
    )
    write_shard(task)
    assert read == ["a", "b"]


def test_tasks_and_results_travel_between_processes(task):
    assert pickle.loads(pickle.dumps(task)) == task
    result = write_shard(task)
    assert pickle.loads(pickle.dumps(result)) == result


def test_a_build_killed_at_any_row_ends_like_one_that_was_not(distribution, tmp_path):
    settings = BuildSettings(rows_per_shard=10)
    build_dataset(distribution.source, distribution.images, tmp_path / "whole" / "mmnerd", settings=settings)
    row = random.SystemRandom().randrange(sum(1 for _ in distribution.rows()))
    arguments = [distribution.source, distribution.images, tmp_path / "mmnerd", str(row)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, env=environment, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "mmnerd").exists(), f"killed at row {row}"
    build_dataset(distribution.source, distribution.images, tmp_path / "mmnerd", settings=settings)
    assert _contents(tmp_path / "mmnerd") == _contents(tmp_path / "whole" / "mmnerd"), f"killed at row {row}"


def _contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ray_runs_shards_as_they_are(task):
    ray = pytest.importorskip("ray", reason="ray is not installed; it is no dependency of this project")
    ray.init(num_cpus=1, include_dashboard=False, configure_logging=False)
    try:
        (result,) = ray.get([ray.remote(write_shard).remote(task)])
    finally:
        ray.shutdown()
    assert result == write_shard(task)
