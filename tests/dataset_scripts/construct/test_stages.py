from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from dataset_scripts.construct.records import Record, joined
from dataset_scripts.construct.stages import Work, describe
from reports_2mner.locks import only_writer


@dataclass(frozen=True)
class Settings:
    least: int = 0


def sentence(number: int) -> Record:
    text, offsets = joined((f"word{number}",))
    return Record(f"en/{number}", str(number), "en", "other", text, tuple(text.split()), offsets)


def make(counts, number):
    counts.read += number
    return map(sentence, range(number))


def source(work: Work, number=10, stage="captions"):
    return work.write_records(stage, partial(make, number=number), Settings(), {"file": str(number)})


def keep(records, counts, least, stop=None):
    for record in records:
        if int(record.image_id) == stop:
            raise KeyboardInterrupt
        if int(record.image_id) < least:
            counts.removed["too small"] += 1
        else:
            yield record.step("recognise")


def recognise(work: Work, least=3, engine=map, stop=None):
    return work.map_records("recognise", partial(keep, least=least, stop=stop), Settings(least), "test 1", engine)


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path, quiet=True, records_per_part=4)


def files(work: Work, stage: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.place(stage).glob("part*")}


def test_a_stage_accounts_for_every_record(work):
    assert source(work)["counts"]["written"] == 10
    assert sorted(files(work, "captions")) == ["part-00000.jsonl", "part-00001.jsonl", "part-00002.jsonl"]
    manifest = recognise(work)
    assert manifest["counts"] == {"read": 10, "written": 7, "removed": {"too small": 3}, "added": {}, "notes": {}}
    assert manifest["tool"] == "test 1" and manifest["settings"] == {"least": 3} and "seconds" in manifest
    assert "removed: 3 too small" in describe(manifest)
    assert [record.image_id for record in work.records("translate")] == [str(n) for n in range(3, 10)]


def lose(records, counts):
    yield from list(records)[1:]


def test_a_stage_that_loses_a_record_without_a_reason_is_stopped(work):
    source(work)
    with pytest.raises(RuntimeError, match="does not account for all records"):
        work.map_records("recognise", lose, Settings())
    assert work.manifest("recognise") is None


def test_a_stage_is_skipped_only_while_inputs_settings_and_its_own_files_are_the_same(work):
    source(work)
    recognise(work)
    assert recognise(work)["skipped"]
    assert "skipped" not in recognise(work, least=4)
    source(work, 11)
    assert "skipped" not in recognise(work, least=4)
    next(work.place("recognise").glob("part*")).write_text("")
    assert "skipped" not in recognise(work, least=4)


def test_records_from_before_a_change_are_refused(work):
    source(work)
    recognise(work)
    source(work, 11)
    with pytest.raises(ValueError, match="run `recognise` again"):
        work.map_records("translate", partial(keep, least=0), Settings())
    recognise(work)
    source(work, 2, "tweets")
    with pytest.raises(ValueError, match="run `recognise` again"):
        list(work.records("translate"))


def test_without_records_the_error_names_the_first_stages(work):
    with pytest.raises(ValueError, match="run one of captions, tweets first"):
        recognise(work)


def test_a_stopped_stage_keeps_its_finished_parts_and_gives_the_same_files(work, tmp_path):
    source(work)
    recognise(work)
    expected = files(work, "recognise")
    again = Work(tmp_path / "again", quiet=True, records_per_part=4)
    source(again)
    with pytest.raises(KeyboardInterrupt):
        recognise(again, stop=5)
    assert again.manifest("recognise") is None
    first = again.folder / ".03-recognise.partial" / "part-00000.jsonl"
    written = first.stat().st_mtime_ns
    recognise(again)
    assert files(again, "recognise") == expected
    assert (again.place("recognise") / first.name).stat().st_mtime_ns == written
    assert not [path for path in again.folder.rglob("*") if "partial" in path.name or path.suffix == ".done"]


def test_what_a_stopped_stage_left_of_other_records_is_not_taken_over(work):
    source(work, 10)
    with pytest.raises(KeyboardInterrupt):
        recognise(work, stop=9)
    (work.folder / ".03-recognise.partial" / ".part-00009.jsonl.draft").write_text("")
    source(work, 4)
    recognise(work)
    assert list(files(work, "recognise")) == ["part-00000.jsonl"]
    assert len(list(work.place("recognise").iterdir())) == 2


def test_ray_runs_parts_as_they_are(work, tmp_path):
    ray = pytest.importorskip("ray", reason="ray is not installed; it is no dependency of this project")
    source(work)
    ray.init(num_cpus=1, include_dashboard=False, configure_logging=False)
    try:
        recognise(work, engine=lambda run, tasks: ray.get([ray.remote(run).remote(task) for task in tasks]))
    finally:
        ray.shutdown()
    assert [record.image_id for record in work.records("translate")] == [str(n) for n in range(3, 10)]


def test_any_engine_gives_the_same_files(work, tmp_path):
    source(work)
    recognise(work)
    other = Work(tmp_path / "other", quiet=True, records_per_part=4)
    source(other)
    with ThreadPoolExecutor(2) as pool:
        recognise(other, engine=pool.map)
    assert files(other, "recognise") == files(work, "recognise")
    keys = [json.loads((each.place("recognise") / "manifest.json").read_text())["key"] for each in (work, other)]
    assert keys[0] == keys[1]


def test_a_work_folder_has_one_writer(work):
    with only_writer(work.folder, "WORK"), pytest.raises(ValueError, match=r"`WORK` .* is being written"):
        source(work)
