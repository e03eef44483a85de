from __future__ import annotations

import re

import pytest

from experiments.plan import Run
from experiments.records import read_records
from experiments.tables.latex import latex
from experiments.tables.layout import lay_out
from experiments.tables.markdown import OTHER_SENTENCES, paper_tables

NUMBER = re.compile(r"[+-]?\d+\.\d\d\b")


@pytest.fixture(scope="module")
def both(paper_folder) -> tuple[str, str]:
    """LaTeX and Markdown of the same records."""
    records = read_records(paper_folder)
    return latex(lay_out(records), records), paper_tables(lay_out(records), records, ())


def numbers(lines: list[str]) -> list[str]:
    return [number for line in lines for number in NUMBER.findall(line)]


def test_all_figures_are_those_of_the_markdown(both):
    tex, markdown = both
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    lines = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert numbers(rows) == numbers(lines) and len(numbers(lines)) > 5000


def test_bold_is_that_of_the_markdown(both):
    tex, markdown = both
    bold = re.findall(r"\*\*(\d[\d.]*) ± ([\d.]*)\*\*", markdown)
    assert bold and re.findall(r"\\textbf\{([\d.]+)\\,\$\\pm\$\\,([\d.]+)\}", tex) == bold


def test_rows_without_a_test_are_said_to_be_so(both, make_records, tmp_path):
    make_records(tmp_path, [Run("bilstm-crf")], pictures=30)
    records = read_records(make_records(tmp_path, [Run("2m-ner")], pictures=40))
    tex = latex(lay_out(records), records)
    assert OTHER_SENTENCES not in both[0]
    assert all(OTHER_SENTENCES in part.split(r"\bottomrule")[0] for part in tex.split(r"\label{tab:table5")[1:])


def test_every_row_has_all_columns(both):
    for table in both[0].split(r"\begin{longtable}")[1:]:
        lines = [line for line in table.splitlines() if " & " in line]
        assert len({line.count(" & ") for line in lines}) == 1
        assert table.count(r"\end{longtable}") == 1
    assert both[0].count("{") == both[0].count("}")
