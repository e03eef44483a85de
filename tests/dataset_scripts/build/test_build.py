import hashlib
import json
from collections import Counter
from pathlib import Path

import PIL.Image
import pytest
from datasets import Image, get_dataset_config_names, load_dataset
from huggingface_hub import DatasetCard

from dataset_scripts.build.__main__ import main
from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.engine import process_engine
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.build.shards import Problem
from dataset_scripts.publish.check_folder import check_folder
from dataset_scripts.schema import features

REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "mmnerd"
NAMES = {"train": "train_conll_format.txt", "validation": "valid_conll_format.txt", "test": "test_conll_format.txt"}
GOOD, MISSING, CUT, HTML, DOT, FOLDER = "O_1", "O_2", "17_06_1", "00001293---a%2Fb?c=[d]&e", "06959512---", "O_3"


def write_language(folder, lang, ids):
    folder = folder / f"train_valid_test_{lang}"
    folder.mkdir(parents=True)
    for split, name in NAMES.items():
        text = "".join(f"IMGID:{image_id}\nParis\tB-LOC\n{lang}\tO\n\n" for image_id in ids[split])
        (folder / name).write_bytes(text.encode())


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "authors" / "train_valid_test"
    write_language(folder, "en", {"train": [GOOD, MISSING, CUT], "validation": [HTML, DOT], "test": [FOLDER, GOOD]})
    write_language(folder, "de", {"train": [GOOD], "validation": [MISSING], "test": [CUT]})
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / f"{FOLDER}.jpg").mkdir(parents=True)
    PIL.Image.effect_noise((64, 48), 90).save(folder / f"{GOOD}.jpg")
    (folder / f"{CUT}.jpg").write_bytes((folder / f"{GOOD}.jpg").read_bytes()[:-500])
    (folder / f"{HTML}.jpg").write_text("<html>404</html>")
    PIL.Image.new("RGB", (1, 1)).save(folder / f"{DOT}.jpg")
    return folder


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda config=None: load_dataset("mmnerd", config, cache_dir=str(tmp_path / "cache"))


def test_built_folder_opens_by_name_from_its_parent(source, pictures, tmp_path, load):
    build_dataset(source, pictures, tmp_path / "mmnerd")
    english = load("en")
    assert {split: rows.features for split, rows in english.items()} == dict.fromkeys(NAMES, features())
    assert english["train"][0]["tokens"] == ["Paris", "en"]
    assert english["train"][0]["ner_tags"] == [3, 0]
    assert english["train"][0]["image"].size == (64, 48)
    assert english["train"]["image_status"][:] == ["ok", "missing", "unreadable"]
    assert english["validation"]["image_status"][:] == ["unreadable", "degenerate"]
    assert english["validation"]["source"][:] == [1, 1]
    assert english["validation"]["image_id"][:] == [HTML, DOT]
    assert english["test"]["image_status"][:] == ["unreadable", "ok"]
    assert english["test"]["id"][:] == [f"en/{FOLDER}", f"en/{GOOD}#2"]


def test_configurations_share_the_files_of_the_languages_present(source, tmp_path, load):
    build_dataset(source, None, tmp_path / "mmnerd")
    assert get_dataset_config_names("mmnerd") == ["all", "en", "de", "en_de"]
    assert load()["train"]["lang"][:] == [0, 0, 0, 3]
    assert load("de")["test"]["id"][:] == [f"de/{CUT}"]


def test_no_cell_tells_a_path_of_the_builders_machine(source, pictures, tmp_path, load):
    build_dataset(source, pictures, tmp_path / "mmnerd")
    rows = load()["train"].cast_column("image", Image(decode=False))
    cells = [image for image in rows["image"][:] if image]
    assert cells[0]["bytes"] == (pictures / f"{GOOD}.jpg").read_bytes()
    assert all(cell["path"] and not {"/", "\\"} & set(cell["path"]) for cell in cells)
    files = [path.read_bytes() for path in (tmp_path / "mmnerd").rglob("*") if path.is_file()]
    assert not any(str(tmp_path).encode() in content for content in files)


def test_report_counts_rows_and_names_every_problem(source, pictures, tmp_path):
    report = build_dataset(source, pictures, tmp_path / "mmnerd")
    assert {key: count.sentences for key, count in report.counts.items()} == {
        ("en", "train"): 3,
        ("en", "validation"): 2,
        ("en", "test"): 2,
        ("de", "train"): 1,
        ("de", "validation"): 1,
        ("de", "test"): 1,
    }
    statuses = sum((count.statuses for count in report.counts.values()), Counter())
    assert statuses == {"ok": 3, "missing": 2, "unreadable": 4, "degenerate": 1}
    assert len(report.problems) == 7
    assert report.problems[0] == Problem(f"en/{MISSING}", "missing", "no such file")


def test_text_alone_needs_no_pictures(source, tmp_path):
    report = build_dataset(source, None, tmp_path / "mmnerd")
    assert report.counts["en", "train"].statuses == {"missing": 3}
    assert report.problems == []


def test_wrong_picture_folder_is_warned_about(source, tmp_path, caplog):
    (tmp_path / "empty").mkdir()
    build_dataset(source, tmp_path / "empty", tmp_path / "mmnerd")
    assert "None of the data set's pictures" in caplog.text
    with pytest.raises(ValueError, match="`images` must be a folder"):
        build_dataset(source, tmp_path / "nowhere", tmp_path / "mmnerd", overwrite=True)


@pytest.mark.parametrize("image_id", ["../secret", "/etc/secret", "C:secret", "a\0b", "x" * 252])
def test_ids_that_could_leave_the_picture_folder_are_kept_without_picture(source, pictures, tmp_path, image_id):
    path = source / "train_valid_test_en" / NAMES["test"]
    path.write_text(f"IMGID:O_1\na\tO\n\nIMGID:{image_id}\na\tO\n\n")
    report = build_dataset(source, pictures, tmp_path / "mmnerd")
    assert report.counts["en", "test"].statuses == {"ok": 1, "unreadable": 1}
    (problem,) = (problem for problem in report.problems if problem.row_id == f"en/{image_id}")
    assert "refused, the image id has" in problem.reason


def test_output_in_use_is_noticed_before_anything_is_read(source, tmp_path):
    build_dataset(source, None, tmp_path / "mmnerd")
    with pytest.raises(ValueError, match=r"`output` .* is not empty"):
        build_dataset(tmp_path / "nowhere", None, tmp_path / "mmnerd")


def test_unfit_sources_say_what_is_wrong_and_leave_no_output(source, tmp_path):
    (source / "train_valid_test_de" / NAMES["test"]).write_bytes(b"")
    with pytest.raises(ValueError, match=r"test_conll_format.txt holds no sentence"):
        build_dataset(source, None, tmp_path / "mmnerd")
    with pytest.raises(ValueError, match="`source` must be a folder"):
        build_dataset(source / "nowhere", None, tmp_path / "mmnerd")
    assert not [path for path in tmp_path.iterdir() if "mmnerd" in path.name]


def test_rows_without_usable_picture_get_the_default_on_request(source, pictures, tmp_path, load):
    report = build_dataset(source, pictures, tmp_path / "mmnerd", settings=BuildSettings(image_policy="default"))
    rows = load("en")["train"]
    assert rows["image_status"][:] == ["ok", "default", "default"]
    assert len(set(rows["sha256"][1:])) == 1 and rows[1]["image"].size == (400, 300)
    assert report.problems[0] == Problem(f"en/{MISSING}", "default", "missing, no such file")


def test_text_alone_keeps_what_became_of_the_pictures(source, pictures, tmp_path, load):
    build_dataset(source, pictures, tmp_path / "full" / "mmnerd")
    build_dataset(source, pictures, tmp_path / "mmnerd", settings=BuildSettings(embed_images=False))
    full = load_dataset(str(tmp_path / "full" / "mmnerd"), cache_dir=str(tmp_path / "cache"))["train"]
    text = load()["train"]
    assert text["image"][:] == [None] * 4
    for column in ("image_status", "sha256"):
        assert text[column][:] == full[column][:]
    assert text["image_status"][0] == "ok" and len(text["sha256"][0]) == 64


def test_folder_tells_how_it_was_built(source, pictures, tmp_path):
    build_dataset(source, pictures, tmp_path / "mmnerd", settings=BuildSettings(split="grouped", seed=3))
    record = json.loads((tmp_path / "mmnerd" / "build.json").read_text())
    assert (record["settings"]["split"], record["settings"]["seed"]) == ("grouped", 3)
    assert len(record["sources"]) == 6 and "train_valid_test_de/valid_conll_format.txt" in record["sources"]
    written = {
        path.relative_to(tmp_path / "mmnerd").as_posix() for path in (tmp_path / "mmnerd" / "data").rglob("*.p*")
    }
    assert set(record["files"]) == written
    for name, told in record["files"].items():
        data = (tmp_path / "mmnerd" / name).read_bytes()
        assert (told["bytes"], told["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    card = DatasetCard.load(tmp_path / "mmnerd" / "README.md")
    assert card.data.license_link == "LICENSE.md" and (tmp_path / "mmnerd" / "LICENSE.md").is_file()
    assert "(figures/entity_shares.png)" in card.text and (tmp_path / "mmnerd" / "figures/entity_shares.png").is_file()
    assert "One sentence in all languages" in card.text
    assert "All sentences of a picture" in card.text and "(seed 3)" in card.text


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_card_shows_a_sentence_in_all_languages_with_its_picture(source, pictures, tmp_path):
    build_dataset(source, pictures, tmp_path / "mmnerd")
    card = (tmp_path / "mmnerd" / "README.md").read_text(encoding="utf-8")
    assert "(figures/example.jpg)\n\n| language | sentence |\n| --- | --- |\n" in card
    assert "| en | **Paris** (LOC) en |\n| de | **Paris** (LOC) de |\n\n## Load it\n" in card
    example = tmp_path / "mmnerd" / "figures" / "example.jpg"
    assert example.read_bytes() == (pictures / f"{GOOD}.jpg").read_bytes()
    assert {"README.md", "figures/example.jpg"} <= set(check_folder(tmp_path / "mmnerd"))


@pytest.mark.parametrize("settings", [{}, {"embed_images": False}])
def test_card_of_a_text_only_build_shows_the_sentence_without_a_picture(source, pictures, tmp_path, settings):
    build_dataset(source, pictures if settings else None, tmp_path / "mmnerd", settings=BuildSettings(**settings))
    card = (tmp_path / "mmnerd" / "README.md").read_text(encoding="utf-8")
    assert "| en | **Paris** (LOC) en |\n| de | **Paris** (LOC) de |" in card and "figures/example" not in card
    assert not list((tmp_path / "mmnerd").rglob("example.*"))


class Stopped(Exception):
    pass


def test_stopped_build_goes_on_where_it_was(source, pictures, tmp_path):
    settings = BuildSettings(rows_per_shard=1)
    build_dataset(source, pictures, tmp_path / "whole" / "mmnerd", settings=settings)
    written = []

    def stops_after(number):
        def engine(function, tasks):
            for task in tasks:
                if len(written) == number:
                    raise Stopped
                written.append(task.output.name)
                yield function(task)

        return engine

    with pytest.raises(Stopped):
        build_dataset(source, pictures, tmp_path / "mmnerd", settings=settings, engine=stops_after(4))
    assert not (tmp_path / "mmnerd").exists()
    times = {
        p.name: p.stat().st_mtime_ns for p in (tmp_path / ".mmnerd.partial" / "fresh" / "data").rglob("*.parquet")
    }
    assert len(times) == 4
    build_dataset(source, pictures, tmp_path / "mmnerd", settings=settings)
    assert contents(tmp_path / "mmnerd") == contents(tmp_path / "whole" / "mmnerd")
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mmnerd" / "data").rglob("*.parquet")}
    assert times.items() <= kept.items() and len(kept) == 10
    assert not (tmp_path / ".mmnerd.partial").exists()


def test_stopped_build_may_go_on_with_other_settings(source, pictures, tmp_path):
    def stop(function, tasks):
        yield function(tasks[0])
        raise Stopped

    with pytest.raises(Stopped):
        build_dataset(source, pictures, tmp_path / "mmnerd", settings=BuildSettings(rows_per_shard=1), engine=stop)
    build_dataset(source, pictures, tmp_path / "mmnerd")
    build_dataset(source, pictures, tmp_path / "whole" / "mmnerd")
    assert contents(tmp_path / "mmnerd") == contents(tmp_path / "whole" / "mmnerd")


def test_build_stopped_at_its_very_end_leaves_nothing_of_its_card_behind(source, pictures, tmp_path, monkeypatch):
    def stop(fresh, output):
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr("dataset_scripts.build.builder.move_folder", stop)
        build_dataset(source, pictures, tmp_path / "mmnerd")
    assert list(tmp_path.rglob("example.jpg"))
    for folder in ("mmnerd", "whole/mmnerd"):
        build_dataset(source, None, tmp_path / folder)
    assert contents(tmp_path / "mmnerd") == contents(tmp_path / "whole" / "mmnerd")


def test_two_builds_do_not_write_one_output(source, tmp_path):
    def build_again(function, tasks):
        with pytest.raises(ValueError, match=r"`output` .*mmnerd is being written by process"):
            build_dataset(source, None, tmp_path / "mmnerd")
        return map(function, tasks)

    build_dataset(source, None, tmp_path / "mmnerd", engine=build_again)
    assert (tmp_path / "mmnerd" / "build.json").is_file()


def test_processes_write_the_same_files(source, pictures, tmp_path):
    settings = BuildSettings(rows_per_shard=2)
    build_dataset(source, pictures, tmp_path / "one" / "mmnerd", settings=settings)
    with process_engine(2, "dataset_scripts.build.shards") as engine:
        build_dataset(source, pictures, tmp_path / "mmnerd", settings=settings, engine=engine)
    assert contents(tmp_path / "mmnerd") == contents(tmp_path / "one" / "mmnerd")


def test_command_line_prints_counts_and_problems(source, pictures, tmp_path, capsys):
    main(["--source", str(source), "--images", str(pictures), "--output", str(tmp_path / "mmnerd")])
    printed = capsys.readouterr().out
    assert "| en | train | 3 | 6 | 3 | 0 | 3 | 0 | 0 |" in printed
    assert f"en/{DOT}: degenerate, 1 x 1 pixels" in printed
    with pytest.raises(SystemExit, match=r"error: `output` .* is not empty"):
        main(["--source", str(source), "--no_images", "--output", str(tmp_path / "mmnerd")])


def test_command_line_asks_for_a_decision_about_pictures(source, capsys):
    with pytest.raises(SystemExit):
        main(["--source", str(source)])
    assert "--images --no_images is required" in capsys.readouterr().err


def test_english_counts_equal_those_measured_on_the_authors_files(tmp_path):
    if not (REAL / "train_valid_test" / "train_valid_test_en").is_dir():
        pytest.skip("the authors' English files are not beside this checkout (../shared/data/mmnerd)")
    counts = build_dataset(REAL, None, tmp_path / "mmnerd").counts
    expected = {
        "train": (19968, 328043, {"PER": 3344, "LOC": 4742, "ORG": 7764, "MISC": 25322}, 2390),
        "validation": (2463, 40584, {"PER": 419, "LOC": 552, "ORG": 972, "MISC": 3166}, 293),
        "test": (2533, 41889, {"PER": 431, "LOC": 517, "ORG": 1019, "MISC": 3214}, 299),
    }
    for split, (sentences, tokens, mentions, tweets) in expected.items():
        count = counts["en", split]
        assert (count.sentences, count.tokens, count.mentions) == (sentences, tokens, mentions)
        assert count.sources["twitter2017"] == tweets
