import json

import pytest
from PIL import Image

from dataset_scripts.mini.generator import write_mini
from dataset_scripts.parquet import write_dataset
from dataset_scripts.statistics import __main__ as module
from dataset_scripts.statistics.__main__ import main, statistics_to_json, write_statistics
from dataset_scripts.statistics.counts import count_statistics
from dataset_scripts.statistics.tables import statistics_to_latex, statistics_to_markdown

NAMES = ["entity_shares.png", "statistics.json", "statistics.md", "statistics.tex"]


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "mmnerd-mini"
    write_mini(folder, 5, (16, 16, 16))
    return folder


@pytest.fixture
def tweet(tmp_path):
    """A data set of one tweet without entities, and a Twitter-2017 where it has one."""
    row = {
        "id": "en/O_1",
        "tokens": ["Ann"],
        "ner_tags": ["O"],
        "image": None,
        "image_id": "O_1",
        "image_status": "missing",
        "lang": "en",
        "source": "twitter2017",
    }
    write_dataset(tmp_path / "tweet", {("en", "train"): [row]}, "a card")
    (tmp_path / "originals").mkdir()
    for name in ("train.txt", "valid.txt", "test.txt"):
        (tmp_path / "originals" / name).write_text(f"IMGID:{'O_1' if name == 'test.txt' else name}\nAnn\tB-PER\n")
    return tmp_path / "tweet", tmp_path / "originals"


def test_without_output_the_markdown_is_printed(mini, capsys):
    main([str(mini)])
    assert capsys.readouterr().out == statistics_to_markdown(count_statistics(mini))


def test_output_holds_four_files_that_do_not_change_from_run_to_run(mini, tmp_path, capsys):
    for name in ("first", "second"):
        main([str(mini), "--output", str(tmp_path / name)])
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == NAMES
    assert [(tmp_path / "first" / name).read_bytes() for name in NAMES] == [
        (tmp_path / "second" / name).read_bytes() for name in NAMES
    ]
    assert (tmp_path / "first" / "statistics.tex").read_text(encoding="utf-8") == statistics_to_latex(
        count_statistics(mini)
    )
    assert Image.open(tmp_path / "first" / "entity_shares.png").size == (1400, 584)
    assert str(tmp_path / "second" / "statistics.md") in capsys.readouterr().out.splitlines()


def test_json_has_both_countings_the_paper_and_the_differences(tweet):
    data, originals = tweet
    content = json.loads(statistics_to_json(count_statistics(data, originals)))
    train = content["table_2"][0]
    assert (train["lang"], train["split"]) == ("en", "train")
    assert (train["paper"]["PER"], train["spans"]["PER"], train["lists"]["PER"]) == (3340, 0, 1)
    assert (train["difference"]["spans"]["PER"], train["difference"]["lists"]["PER"]) == (-3340, -3339)
    assert (train["percent"]["spans"]["PER"], train["percent"]["lists"]["PER"]) == (-100, -99.97)
    assert content["table_2"][1]["spans"] is None and content["table_2"][1]["difference"]["spans"] is None
    assert content["twitter2017"] == {"given": True, "english_tweets": 1, "found_in_original": 1}
    assert (content["split_method"], content["rows_by_source"]) == ("given", {"twitter2017": 1})
    assert content["table_3"][-1]["total"] == 1 and content["table_3"][-3]["total"] == 42908


def test_originals_are_taken_from_the_command_line(tweet, capsys):
    data, originals = tweet
    main([str(data)])
    assert "was not given" in capsys.readouterr().out
    main([str(data), "--twitter2017", str(originals)])
    assert "Of 1 English tweets, 1 are in the original" in capsys.readouterr().out


def test_mistakes_end_with_their_cause(mini, tmp_path):
    with pytest.raises(SystemExit, match=r"error: .* holds no data set"):
        main([str(tmp_path)])
    with pytest.raises(SystemExit, match=r"error: `twitter2017` .* lacks train\.txt, valid\.txt, test\.txt"):
        main([str(mini), "--twitter2017", str(tmp_path)])
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(SystemExit, match="error: `output` must be a folder"):
        main([str(mini), "--output", str(tmp_path / "taken")])
    assert (tmp_path / "taken").read_text() == "mine"


def test_old_files_stay_when_writing_fails(mini, tmp_path, monkeypatch):
    statistics = count_statistics(mini)
    (tmp_path / "statistics.md").write_text("old")
    monkeypatch.setattr(module, "draw_entity_shares", lambda counts, path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_statistics(statistics, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("statistics.md", "old")]


def test_without_matplotlib_the_remedy_is_named(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs matplotlib; install it"):
        write_statistics(count_statistics(mini), tmp_path / "new")
    assert not (tmp_path / "new").exists()
