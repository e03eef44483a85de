from __future__ import annotations

import json
import re
from itertools import groupby

import numpy as np
import pytest

from dataset_scripts.schema import ENTITY_TYPES
from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.bootstrap import compare_systems
from experiments.plan import Run
from experiments.records import read_records
from experiments.tables.layout import PAPER_FIGURES, columns, lay_out
from experiments.tables.markdown import OTHER_SENTENCES, paper_tables
from experiments.tables.results import results_page
from experiments.tables.values import best_cells, percentages, system_rows
from reports_2mner.language_table import LANGUAGE_TABLE

KEYS = (*ENTITY_TYPES, "precision", "recall", "f1")
CODES = {language.name: language.code for language in LANGUAGE_TABLE}


@pytest.fixture(scope="module")
def text(paper_folder) -> str:
    records = read_records(paper_folder)
    return paper_tables(lay_out(records), records, ())


def parse(text: str) -> dict[tuple[str, str, str], list[list[str]]]:
    """The lines of each Markdown table by table, setting and scheme, the title of a system repeated in each."""
    found: dict[tuple[str, str, str], list[list[str]]] = {}
    table = setting = scheme = title = ""
    for line in text.splitlines():
        table = line[3:].split(".")[0] if line.startswith("## ") else table
        setting = line.strip("*").split(": ")[-1] if line.startswith("**T") else setting
        scheme = (
            "strict" if "Strict counting</summary>" in line else "lenient" if "Lenient counting" in line else scheme
        )
        if (
            line.startswith("| ")
            and table.startswith("Table")
            and not line.startswith(("| ---", "| Model", "| Training"))
        ):
            title, *cells = [cell.strip() or title for cell in line.strip("|").split("|")]
            found.setdefault((table, setting, scheme), []).append([title, *cells])
    return found


def wanted_run(table: str, setting: str, title: str) -> tuple[str, str, str, str]:
    """System, training languages, part and tested language of a row."""
    languages = CODES.get(setting, "all")
    if table == "Table 6":
        codes = {CODES[name] for name in title.split(" & ")}
        order = [code for code in ("en", "de", "fr", "es") if code in codes]
        return "2m-ner", "_".join(order), "", languages
    if table == "Table 8":
        return "2m-ner", "all", title.removeprefix("Part ") if "/" in title else "any" if "Mean" in title else "", ""
    if table == "Table 9":
        return {"-ResNet": "2m-ner-no-resnet", "-ViT": "2m-ner-no-vit"}.get(title, "2m-ner"), "all", "", ""
    return title.lower() + "-text" * (table == "Table 7"), languages, "", ""


def of_record(content: dict, scheme: str, protocol: str, tested: str) -> list[float]:
    """The seven figures of a record, summed in plain Python from the file."""
    scored = content["test"][protocol]
    counts = scored[scheme] or scored["strict"]
    keep = [row for row, language in enumerate(content["test"]["lang"]) if not tested or language == tested]
    sums = [
        [sum(counts[kind][name][row] for row in keep) for name in ("right", "predicted", "gold")] for kind in counts
    ]
    right, predicted, gold = (sum(row[column] for row in sums) for column in range(3))
    by_type = [200 * r / max(p + g, 1) for r, p, g in sums]
    return [*by_type, 100 * right / predicted, 100 * right / gold, 200 * right / (predicted + gold)]


def expected_cells(contents: list[dict], row: tuple, scheme: str, protocol: str) -> list[str]:
    system, languages, part, tested = row
    found = []
    for content in contents:
        run = Run(**content["run"])
        if (run.system, run.languages) == (system, languages) and (run.part if part == "any" else run.part == part):
            found.append(of_record(content, scheme, protocol, tested))
    columns = np.array(found).T
    return [f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}" for values in columns]


def test_each_of_our_figures_follows_from_the_files(text, paper_folder):
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(paper_folder.glob("*.json"))]
    checked = 0
    for (table, setting, scheme), lines in parse(text).items():
        for title, figures, *cells in lines:
            if figures != "paper":
                protocol = "released" if "best test epoch" in figures else "dev"
                row = wanted_run(table, setting, title)
                assert [cell.strip("*") for cell in cells] == expected_cells(contents, row, scheme, protocol)
                checked += 1
    assert checked == (45 + 16 + 25 + 7 + 3) * 2 * 2  # both protocols, both schemes


def test_each_of_the_papers_figures_follows_from_its_file(text):
    paper, checked = json.loads(PAPER_FIGURES.read_text(encoding="utf-8")), 0
    for (table, setting, scheme), lines in parse(text).items():
        for title, figures, *cells in lines:
            if figures == "paper" and not title.startswith("Mean"):
                row = paper[table.lower().replace(" ", "")]
                system, languages, part, tested = wanted_run(table, setting, title)
                place = {"Table 6": (tested, languages), "Table 8": (part or "all",), "Table 9": (system,)}.get(
                    table, (languages, system.removesuffix("-text"))
                )
                for key in place:
                    row = row[key]
                assert [cell for cell in cells if cell.endswith("†")] == ([] if row["f1"] else cells[-1:])
                f1 = row["f1"] or 2 / (1 / row["precision"] + 1 / row["recall"])
                assert scheme == "lenient" and [float(cell.removesuffix("†")) for cell in cells] == [
                    pytest.approx((row | {"f1": f1})[key], abs=0.0051) for key in KEYS
                ]
                checked += 1
    assert checked == 45 + 16 + 25 + 6 + 3


def test_the_mean_of_the_parts_is_the_papers_mean(text):
    lines = parse(text)["Table 8", "All", "lenient"]
    paper = {title: cells for title, figures, *cells in lines if figures == "paper"}
    parts = [float(cells[-1]) for title, cells in paper.items() if title.startswith("Part ")]
    assert len(parts) == 5 and float(paper["Mean of the parts"][-1]) == pytest.approx(sum(parts) / 5, abs=0.01)


def test_the_rows_of_a_system_stand_together(text):
    for (_, _, scheme), lines in parse(text).items():
        for title, group in groupby(lines, key=lambda line: line[0]):
            figures = [re.sub(r" \(\d+ runs\)", "", line[1]) for line in group]
            assert figures == ["paper"] * (scheme == "lenient") + ["ours", "ours, best test epoch"], title


def test_other_data_are_shown_without_the_paper(make_records, tmp_path):
    records = read_records(make_records(tmp_path, [Run("umt"), Run("2m-ner")], name="mmnerd-mini"))
    text = paper_tables(lay_out(records), records, ())
    assert "they are of MMNERD, and these runs are of other data" in text
    assert all(figures != "paper" for lines in parse(text).values() for _, figures, *_ in lines)


def test_one_language_under_the_papers_name_is_not_its_whole(make_records, tmp_path):
    make_records(tmp_path, [Run("umt"), Run("umt", languages="en")], pictures=6)
    path = tmp_path / "umt.all.seed-19.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["test"]["lang"] = ["en"] * 24
    path.write_text(json.dumps(content), encoding="utf-8")
    whole, english, *_ = lay_out(read_records(tmp_path))[0].groups
    assert whole.systems and not whole.paper
    assert english.systems and english.paper["umt"]["f1"] == english.systems[0].paper["f1"]


def test_what_was_not_run_is_listed_and_left_out(make_records, tmp_path):
    records = read_records(make_records(tmp_path, [Run("umt"), Run("bert")], released=False))
    text = paper_tables(lay_out(records), records, ())
    assert {line[0] for line in parse(text)["Table 5", "All", "lenient"]} == {"BERT", "UMT"}
    assert "All (BiLSTM-CRF, HBiLSTM-CRF, BERT-CRF, AdaCAN, UMGF, MKGFormer, 2M-NER); English (all rows)" in text
    assert all(f"- Table {number}. " in text for number in (6, 7, 8, 9))
    assert "What choosing the epoch on test" not in text


def test_a_row_that_table_5_has_too_makes_no_table(make_records, tmp_path):
    runs = [Run("2m-ner"), Run("2m-ner", languages="en"), Run("2m-ner", "no-vit")]
    filled = [table.name for table in lay_out(read_records(make_records(tmp_path, runs))) if table.filled()]
    assert filled == ["table5", "table9"]


def test_bold_is_what_the_test_tells_from_the_second_best(make_records, tmp_path):
    runs = [Run("bilstm-crf", seed=seed) for seed in (19, 20)] + [Run("2m-ner", seed=seed) for seed in (19, 20)]
    (group,) = lay_out(read_records(make_records(tmp_path, runs, pictures=40)))[0].filled()
    assert ("2m-ner", "f1") in best_cells(group, "lenient", "dev")
    ours = next(
        row for row in system_rows(group, "lenient") if (row.title, row.figures) == ("2M-NER", "ours (2 runs)")
    )
    assert ours.cells[-1].is_bold and not any(
        cell.is_bold for row in system_rows(group, "lenient")[:3] for cell in row.cells
    )


def test_the_best_is_not_bold_where_chance_could_have_made_it(paper_folder):
    outcomes = set()
    for group in lay_out(read_records(paper_folder))[0].filled()[:2]:
        bold = best_cells(group, "lenient", "dev")
        means = {system: percentages(system, "lenient") for system in group.systems}
        for column in columns(PAPER_TYPES):
            first, second = sorted(means, key=lambda system: -means[system][column].mean())[:2]
            found = compare_systems(first.pool("lenient"), second.pool("lenient"), first.pictures, column=column)
            expected = found.is_significant and found.difference > 0
            assert {key for key, name in bold if name == column} == ({first.key} if expected else set())
            outcomes.add((bool(expected), found.difference > 0))
    assert (False, True) in outcomes  # the best, and not told from the second


def test_equal_systems_are_not_bold(make_records, tmp_path):
    make_records(tmp_path, [Run("umt"), Run("bert")], pictures=20)
    contents = {path: json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.glob("*.json")}
    test = next(iter(contents.values()))["test"]
    for path, content in contents.items():
        path.write_text(json.dumps(content | {"test": test}), encoding="utf-8")
    (group,) = lay_out(read_records(tmp_path))[0].filled()
    assert best_cells(group, "lenient", "dev") == set()


def test_other_sentences_are_not_compared(make_records, tmp_path):
    make_records(tmp_path, [Run("bilstm-crf")], pictures=30)
    make_records(tmp_path, [Run("2m-ner")], pictures=40)
    (group,) = lay_out(read_records(tmp_path))[0].filled()
    assert not group.is_comparable() and best_cells(group, "lenient", "dev") == set()
    text = results_page(read_records(tmp_path), "strict")
    assert "**" not in text.split("| 2M-NER |")[1].split("\n")[0]
    assert text.split("| 2M-NER |")[1].split("\n\n")[1] == OTHER_SENTENCES


def test_only_rows_that_cannot_be_compared_are_said_to_be_so(text, make_records, tmp_path):
    assert OTHER_SENTENCES not in text
    records = read_records(make_records(tmp_path, [Run("2m-ner")]))
    assert OTHER_SENTENCES not in paper_tables(lay_out(records), records, ())


def test_a_pair_is_compared_with_its_language_on_the_same_sentences(paper_folder):
    table = lay_out(read_records(paper_folder))[1]
    for group, language in zip(table.groups, ("en", "fr", "es", "de"), strict=True):
        assert group.is_comparable() and len(group.systems) == 4
        alone, *pairs = group.systems
        assert alone.key == language and all(len(pair.pictures) == len(alone.pictures) == 12 for pair in pairs)
