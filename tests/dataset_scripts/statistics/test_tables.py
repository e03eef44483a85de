import re
from collections import Counter

import pytest

from dataset_scripts.rows import SplitCounts
from dataset_scripts.statistics.counts import Statistics
from dataset_scripts.statistics.paper import paper_counts
from dataset_scripts.statistics.tables import counting_notes, statistics_to_latex, statistics_to_markdown


@pytest.fixture
def statistics():
    """English without a test split: four PER too many and a sentence less in train, in the spans alone."""
    keys = [("en", "train"), ("en", "validation")]
    found = Statistics("m_ner | 5%", spans={key: paper_counts()[key] for key in keys})
    found.lists = {key: paper_counts()[key] for key in keys}
    found.texts = {key: set() for key in keys}
    found.spans["en", "train"] += SplitCounts(-1, mentions=Counter(PER=4), sources=Counter(cc12m=7, twitter2017=3))
    return found


def cells(markdown):
    """The rows of all tables as lists of cells, without blanks and without the empty cells at their ends."""
    rows = [line.strip("| ").split("|") for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


def test_countings_stand_beside_the_paper_with_their_differences(statistics):
    rows = cells(statistics_to_markdown(statistics))
    assert rows[0] == ["split", "counted", "PER", "LOC", "ORG", "MISC", "total", "sentences"]
    assert rows[2:7] == [
        ["train", "paper", "3,340", "4,605", "7,342", "23,621", "38,908", "19,966"],
        ["spans", "3,344", "4,605", "7,342", "23,621", "38,912", "19,965"],
        ["difference", "+4 (+0.1%)", "0", "0", "0", "+4 (+0.0%)", "−1 (−0.0%)"],
        ["lists", "3,340", "4,605", "7,342", "23,621", "38,908", "19,966"],
        ["difference", *["0"] * 6],
    ]


def test_a_split_that_is_lacking_is_a_dash_in_both_formats(statistics):
    markdown, latex = statistics_to_markdown(statistics), statistics_to_latex(statistics)
    assert ["spans", *["–"] * 6] in cells(markdown)
    assert " & spans & -- & -- & -- & -- & -- & -- \\\\\n" in latex


def test_this_data_set_stands_beside_those_of_the_paper(statistics):
    rows = cells(statistics_to_markdown(statistics).replace(r"\|", "!"))
    assert rows[-9] == ["CoNLL2002", "yes (ES, DL)", "no (Text)", "24,129", "4,810", "6,712", "35,651"]
    assert rows[-3] == [
        "MMNERD (paper)",
        "yes (EN, FR, ES, DE)",
        "yes (Text, Image)",
        "34,326",
        "4,291",
        "4,291",
        "42,908",
    ]
    assert rows[-2] == [r"m\_ner ! 5% (rows)", "no (EN)", "no (Text)", "19,965", "2,463", "0", "22,428"]
    assert rows[-1][3:] == ["19,966", "2,463", "0", "22,429"]


def test_languages_have_a_table_each_and_several_have_one_together(statistics):
    titles = r"(?m)^## (.*)$"
    assert re.findall(titles, statistics_to_markdown(statistics)) == [
        "Table 2: English",
        "Table 3: sentences beside other data sets",
    ]
    statistics.spans = statistics.lists = paper_counts()
    names = ["English", "French", "Spanish", "German", "all languages"]
    assert re.findall(titles, statistics_to_markdown(statistics))[:-1] == [f"Table 2: {name}" for name in names]


def test_columns_of_numbers_are_aligned_right_and_lines_have_one_width(statistics):
    table = statistics_to_markdown(statistics).split("\n\n")[-3].splitlines()
    assert re.fullmatch(r"\| -+ \| -+ (\| -+: ){6}\|", table[1])
    assert len({len(line) for line in table}) == 1


def test_latex_has_equal_rows_and_closes_what_it_opens(statistics):
    latex = statistics_to_latex(statistics)
    opened, closed = re.findall(r"\\begin\{(.+?)\}", latex), re.findall(r"\\end\{(.+?)\}", latex)
    assert opened == ["table*", "tabular"] * 2 and closed == ["tabular", "table*"] * 2
    first, second = re.findall(r"\\begin\{tabular\}\{(l+r+)\}(.*?)\\end\{tabular\}", latex, re.DOTALL)
    for columns, body in (first, second):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) >= 10
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}
    assert r" & difference & +4 (+0.1\%) & 0 & 0 & 0 & +4 (+0.0\%) & $-$1 ($-$0.0\%) \\" in latex
    assert r"m\_ner | 5\% (rows) & no (EN)" in latex
    assert latex.count("{") == latex.count("}") and latex.isascii()


def test_notes_say_which_annotation_tweets_were_counted_by(statistics):
    assert "Twitter-2017" not in " ".join(counting_notes(statistics))
    statistics.tweets = 3
    assert "The original Twitter-2017 was not given" in counting_notes(statistics)[1]
    statistics.originals, statistics.tweets_found = {}, 2
    assert "Of 3 English tweets, 2 are in the original" in counting_notes(statistics)[1]


def test_notes_name_what_differs_from_the_data_set_of_the_paper(statistics):
    assert counting_notes(statistics)[0].startswith("22,428 rows by source: cc12m 7, twitter2017 3.")
    assert counting_notes(statistics)[1:] == [
        "The data set has no French, no Spanish, no German; the paper's sums are over the other languages."
    ]
    statistics.split_method = "grouped"
    statistics.spans["en", "train"].sources["synthetic"] = 2
    assert "new split (grouped)" in counting_notes(statistics)[1]
    assert counting_notes(statistics)[-1].startswith(
        "2 rows come from sources that are not part of the paper's data set (synthetic)"
    )
