from dataset_scripts.schema import ENTITY_TYPES, LANGUAGES, SPLITS
from dataset_scripts.statistics.paper import TABLE_2, TABLE_3, paper_counts

# The sums that the paper prints; the module holds only what they are made of.
COLUMN_TOTALS = [38908, 4807, 4916, 11063, 1414, 1245, 10508, 1320, 1306, 10721, 1456, 1355]
ROW_TOTALS = {"PER": 16114, "LOC": 15119, "ORG": 15716, "MISC": 42070, "sentences": 42908}
SIZES = {
    "CoNLL2002": 35651,
    "CoNLL2003": 41070,
    "WikiAnn": 127000,
    "Twitter-2015": 8257,
    "Twitter-2017": 4819,
    "CNERTA": 42987,
    "MMNERD (paper)": 42908,
}


def test_table_2_adds_up_to_the_printed_totals():
    counts = paper_counts()
    assert list(counts) == [(lang, split) for lang in LANGUAGES for split in SPLITS]
    assert [count.mentions.total() for count in counts.values()] == COLUMN_TOTALS
    assert {name: sum(numbers) for name, numbers in TABLE_2.items()} == ROW_TOTALS
    assert sum(COLUMN_TOTALS) == sum(ROW_TOTALS[kind] for kind in ENTITY_TYPES) == 89019


def test_columns_of_table_2_have_their_language_and_split():
    counts = paper_counts()
    assert counts["en", "train"].mentions["MISC"] == 23621
    assert counts["fr", "validation"].mentions["LOC"] == 376
    assert counts["es", "train"].sentences == 4798
    assert counts["de", "test"].mentions["ORG"] == 205


def test_table_3_adds_up_and_agrees_with_table_2():
    assert {size.name: size.total for size in TABLE_3} == SIZES
    counts = paper_counts()
    sentences = [sum(counts[lang, split].sentences for lang in LANGUAGES) for split in SPLITS]
    assert sentences == [TABLE_3[-1].train, TABLE_3[-1].validation, TABLE_3[-1].test]
