import re

import pytest

from reports_2mner.tables import Bold, Markdown, RowGroup, Table, escape_latex, escape_markdown

GROUPS = [
    RowGroup([["a_b", 1234567, "2.0 ± 0.5"]], "First"),
    RowGroup([["c|d", 2, Bold("x_y")]], note="Nothing * here"),
]


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_is_compact_with_thousands_separators():
    table = Table(["a", "b"], [["x", 1234567]])
    assert table.markdown() == "| a | b |\n| --- | --- |\n| x | 1,234,567 |"
    right = Table(["a", "b"], [["x", 1]], align="lr")
    assert right.markdown() == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_a_cell_cannot_leave_its_place():
    """What opens a column, a row or other markup stays text."""
    lines = Table(["a|b", "*c*"], [["x | y", "two\nlines"], ["_e_ <b>", "`f` & &amp;"]]).markdown().splitlines()
    assert [len(cells(line)) for line in lines] == [2] * 4
    assert cells(lines[0]) == [r"a\|b", r"\*c\*"]
    assert cells(lines[2]) == [r"x \| y", "two lines"]
    assert cells(lines[3]) == [r"\_e\_ \<b\>", r"\`f\` & \&amp;"]


def test_bold_is_markup_and_its_text_is_not():
    table = Table(["a"], [[Bold("x_y")]])
    assert table.markdown().splitlines()[-1] == r"| **x\_y** |"
    assert "\n\\textbf{x\\_y} \\\\\n" in table.latex()


def test_lines_come_while_the_rows_do():
    made = []

    def rows():
        for number in range(2):
            made.append(number)
            yield [number]

    lines = Table(["a"], rows()).markdown_lines()
    assert [next(lines), next(lines)] == ["| a |", "| --- |"] and made == []
    assert next(lines) == "| 0 |" and made == [0]


def test_groups_are_one_markdown_table_that_loses_no_line():
    assert [cells(line) for line in Table(["a", "b", "c"], groups=GROUPS).markdown().splitlines()[2:]] == [
        ["First", "", ""],
        [r"a\_b", "1,234,567", "2.0 ± 0.5"],
        [r"c\|d", "2", r"**x\_y**"],
        [r"Nothing \* here", "", ""],
    ]


def test_padded_columns_have_one_width():
    assert Table(["a", "PER"], [["xxxx", 12345], ["|", 1]], align="lr").padded_markdown().splitlines() == [
        "| a    |    PER |",
        "| ---- | -----: |",
        "| xxxx | 12,345 |",
        r"| \|   |      1 |",
    ]
    assert Table(["a"], [["x"]]).padded_markdown() == "| a   |\n| --- |\n| x   |"


def test_latex_parts_groups_by_rules():
    table = Table(["a", "b", "c"], align="lrr", caption="50% of it", label="half", groups=GROUPS)
    body = [
        r"\midrule \multicolumn{3}{l}{\textit{First}} \\",
        r"a\_b & 1,234,567 & 2.0 $\pm$ 0.5 \\",
        r"\midrule",
        r"c|d & 2 & \textbf{x\_y} \\",
        r"\multicolumn{3}{l}{\textit{Nothing {*} here}} \\",
        r"\bottomrule",
    ]
    assert table.latex().splitlines() == [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        r"\caption{50\% of it}\label{tab:half}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"a & b & c \\",
        *body,
        r"\end{tabular}",
        r"\end{table*}",
    ]
    assert table.long_latex().splitlines() == [
        r"{\scriptsize\setlength{\tabcolsep}{3pt}",
        r"\begin{longtable}{lrr}",
        r"\caption{50\% of it}\label{tab:half} \\",
        r"\toprule a & b & c \\",
        r"\endhead",
        *body,
        r"\end{longtable}}",
    ]


def test_without_alignment_latex_wraps_columns_of_equal_width():
    columns = r"\begin{tabular}{*{2}{p{\dimexpr\linewidth/2-6pt\relax}}}"
    assert columns in Table(["a", "b"], [["x", "y"]]).latex().splitlines()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5% $x$ #1 {y}", r"a\_b \& 5\% \$x\$ \#1 \{y\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("−3 – --long <a>", r"$-$3 -- -{}-long \textless{}a\textgreater{}"),
        ("[2] *", "{[}2] {*}"),
        ("1\u202f±\u202f2 ± √2 · √3", r"1\,$\pm$\,2 $\pm$ $\sqrt{2}$ $\cdot$ √3"),
    ],
)
def test_latex_shows_the_text_as_it_is(text, escaped):
    assert escape_latex(text) == escaped


def test_markdown_shows_the_text_as_it_is():
    assert escape_markdown("a_b|c *d* <e> `f` [g](h) \\ ~~i~~ &amp; &#38; A & B #1 $j$") == (
        r"a\_b\|c \*d\* \<e\> \`f\` \[g\](h) \\ \~\~i\~\~ \&amp; \&\#38; A & B \#1 \$j\$"
    )


def test_a_cell_that_is_markdown_stays_as_it_is():
    table = Table(["a"], [[Markdown(r"**b** \|")], ["**b**"]])
    assert table.markdown().split("\n")[2:] == [r"| **b** \| |", r"| \*\*b\*\* |"]
