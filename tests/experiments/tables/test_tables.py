from __future__ import annotations

import json
import re

import pytest

from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.counts import count_entities, scores
from experiments.plan import Run, plan_runs
from experiments.records import describe_scores, read_record, read_records, write_record
from experiments.tables import __main__ as tables
from experiments.tables.layout import columns
from experiments.tables.overview import overview
from experiments.tables.results import results_page

GOLD = [["B-PER", "O"], ["B-LOC", "I-LOC"], ["B-ORG", "O"], ["O", "B-MISC"]] * 10
BLIND = [["B-PER", "O"], ["B-PER", "I-PER"], ["B-PER", "O"], ["O", "B-PER"]] * 10
STRAY = [["I-PER", "O"], ["B-LOC", "I-LOC"], ["B-ORG", "O"], ["O", "B-MISC"]] * 10
LANGUAGES = ["en", "de"] * 20


def write(folder, run: Run, predictions: list[list[str]], **more) -> None:
    test = {"lang": LANGUAGES, "source": ["cc12m"] * 40, "picture": [row // 2 for row in range(40)]}
    data = {"name": "mmnerd-mini", "config": "all", "revision": None, "fingerprint": "1", "split": None}
    test |= {"dev": describe_scores(GOLD, predictions)}
    write_record(folder / f"{run.name}.json", run, data=data | more.pop("data", {}), test=test, **more)


@pytest.fixture
def folder(tmp_path):
    """UMT with two seeds, its blind text-only variant, and BERT-CRF."""
    for seed, predictions in ((19, GOLD), (20, STRAY)):
        write(tmp_path, Run("umt", seed=seed), predictions)
        write(tmp_path, Run("umt", "text", seed=seed), BLIND)
    write(tmp_path, Run("bert-crf"), STRAY)
    return tmp_path


def rows(text: str, title: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {title} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_figure_is_the_records(folder):
    text = overview(read_records(folder), "strict")
    expected = scores(count_entities(GOLD, STRAY))
    (overall, *_) = rows(text, "BERT-CRF")
    assert overall[1] == "1" and [float(cell) for cell in overall[2:]] == [
        round(100 * expected[column], 2) for column in columns(PAPER_TYPES)
    ]
    known = {f"{100 * value:.2f}" for record in read_records(folder) for value in scores(record.counts()).values()}
    known |= {f"{100 * scores(read_record(folder / 'bert-crf.all.seed-19.json').counts().select(mask))[column]:.2f}"
              for mask in (slice(0, None, 2), slice(1, None, 2)) for column in columns(PAPER_TYPES)}  # fmt: skip
    for cell in rows(text, "BERT-CRF"):
        assert all(value in known for value in cell[2:])


def test_seeds_are_averaged_with_their_spread(folder):
    text = overview(read_records(folder), "strict")
    first, second = (100 * scores(count_entities(GOLD, tags))["f1"] for tags in (GOLD, STRAY))
    (overall, *_) = rows(text, "UMT")
    assert overall[1] == "2"
    mean, spread = re.fullmatch(r"([\d.]+) ± ([\d.]+)", overall[-1]).groups()
    assert float(mean) == pytest.approx((first + second) / 2, abs=0.01)
    assert float(spread) == pytest.approx(abs(first - second) / 2**0.5, abs=0.01)


def test_lenient_counting_is_another_table(folder):
    lenient = overview(read_records(folder), "lenient")
    assert (
        rows(lenient, "BERT-CRF")[0][-1]
        == "100.00"
        != rows(overview(read_records(folder), "strict"), "BERT-CRF")[0][-1]
    )


def test_the_gain_from_pictures_has_an_interval(folder):
    text = overview(read_records(folder), "strict")
    gain = rows(text, "UMT")[-1]
    assert len(gain) == 5 and float(gain[3]) > 20
    low, high = (float(value) for value in gain[4].split(" to "))
    assert low < float(gain[3]) < high


def test_an_improvement_stands_beside_its_model(folder):
    write(folder, Run("umt", "averaged"), GOLD)
    (line,) = rows(overview(read_records(folder), "strict"), "UMT, posteriors of several runs averaged")[-1:]
    first, second = (100 * scores(count_entities(GOLD, tags))["f1"] for tags in (GOLD, STRAY))
    assert float(line[1]) == pytest.approx(first, abs=0.01)
    assert float(line[2].split(" ± ")[0]) == pytest.approx((first + second) / 2, abs=0.01)
    low, high = (float(value) for value in line[4].split(" to "))
    assert 0 < low < float(line[3]) < high


def test_languages_stand_apart_and_a_single_source_does_not(folder):
    text = overview(read_records(folder), "strict")
    assert {row[1] for row in rows(text, "BERT-CRF")[1:]} == {"en", "de"}
    assert "Source" not in text


def test_the_command_writes_what_it_prints(folder, capsys):
    tables.main([str(folder)])
    assert (folder / "tables.md").read_text(encoding="utf-8") == capsys.readouterr().out.removesuffix("\n")
    tables.main([str(folder), "--scheme", "lenient"])
    assert (folder / "tables-lenient.md").is_file()
    text = (folder / "tables.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in folder.glob("*.png")) == ["table5.png", "table7.png"]
    assert all(f"]({name}.png)" in text for name in ("table5", "table7"))
    assert (folder / "tables.tex").read_text(encoding="utf-8").count("\\begin{longtable}") == 4


def test_all_parts_are_in_one_document(folder):
    records = read_records(folder)
    text = results_page(records, "strict")
    assert text.endswith(overview(records, "strict")) and "\n## Table 5. " in text and ".png" not in text


@pytest.mark.parametrize("other", [{"fingerprint": "2"}, {"name": "mmnerd"}])
def test_records_of_other_data_are_an_error(folder, other):
    write(folder, Run("bert"), GOLD, data=other)
    with pytest.raises(SystemExit, match=r"umt\S* was scored on .*folder of their own|bert\S* was scored on"):
        tables.main([str(folder)])


def test_other_files_may_lie_beside_the_records(folder):
    before = [record.run for record in read_records(folder)]
    (folder / "errors.json").write_text('{"run": "umt", "overall": {}}', encoding="utf-8")
    assert [record.run for record in read_records(folder)] == before


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="no finished runs"):
        tables.main([str(tmp_path)])


def test_a_protocol_that_was_not_scored_is_an_error(folder):
    record = read_records(folder)[0]
    assert record.has("dev") and not record.has("released")
    with pytest.raises(ValueError, match="`--protocol released`"):
        record.counts(protocol="released")


def test_records_hold_no_names_of_pictures(folder):
    content = json.loads((folder / "bert-crf.all.seed-19.json").read_text(encoding="utf-8"))
    assert all(isinstance(picture, int) for picture in content["test"]["picture"])


def test_parts_of_another_model_are_a_group_of_their_own(make_records, tmp_path):
    runs = plan_runs(["table8"], only=["bert-crf"], languages=["en"])
    text = results_page(read_records(make_records(tmp_path, runs)), "strict")
    part = text[text.index("## Table 8") : text.index("## Not run")]
    assert "**Training and test: BERT-CRF, English**" in part and "Training and test: All" not in part
    assert all(f"| Part {number}/5 | ours (2 runs) |" in part for number in range(1, 6))
    assert "| Mean of the parts | ours (10 runs) |" in part and "| paper |" not in part
