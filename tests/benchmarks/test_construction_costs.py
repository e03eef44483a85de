"""The arithmetic of the costs by hand, and the page that states them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import construction_costs as costs

PAGE = (Path(__file__).parents[2] / "docs" / "construction.md").read_text("utf-8")


def test_hours_follow_from_rates():
    names = ("captions", "recognise", "translate", "project", "tasks", "release", "build")
    network = {"pieces of a sentence": 20, "seconds a piece": 0.1, "seconds a sentence": 0.5}
    measured = {"seconds": dict.fromkeys(names, 0.36), "share kept": 0.5, "network": network}
    rows = {str(row[0]).partition(":")[0]: row[1:] for row in costs.machine_table(measured).rows}
    assert rows["captions"] == [10_000_000, "360", "1,000"]
    assert rows["recognise"] == [21_500, "360", "2.1"]
    assert rows["translate"] == [32_250, "2,500", "22"]  # 0.5 s and 20 pieces of 0.1 s, 32,250 times
    assert rows["fetch"][2] == "0.19"
    doubted, everything = costs.people_table({"entities of a sentence": 1}, minutes=6).rows
    assert doubted[1:] == [2_419, 2_419, 0, "242"]  # 7.5 % of 32,250, a tenth of an hour each
    assert everything[1:] == [43_000, 86_000, 8_047, "9,405"]


def test_the_page_states_what_was_measured():
    measured = json.loads(costs.MEASURED.read_text("utf-8"))
    assert costs.machine_table(measured).markdown() in PAGE
    assert costs.people_table(measured).markdown() in PAGE
    page = " ".join(PAGE.split())
    assert measured["machine"] in page and f"{measured['share kept']:.0%} of the sample" in page.replace(" %", "%")


def test_the_shares_are_those_of_the_other_tables_of_the_page():
    silent = re.search(r"any two of the three.*\| ([0-9.]+) \|$", PAGE, re.MULTILINE)
    assert silent and float(silent[1]) == costs.DOUBTED
    conflicts = re.search(r"^\| 10 % \| (\d+) \|", PAGE, re.MULTILINE)
    assert conflicts and int(conflicts[1]) / 2_533 == pytest.approx(costs.CONFLICTS)
