"""The first two stages, on generated files."""

from __future__ import annotations

import csv

import pytest

from dataset_scripts.construct import captions, tweets
from dataset_scripts.construct.sources import UNUSABLE_ID
from dataset_scripts.construct.stages import Work

CONLL = """IMGID:O_1
#	O
Ana	B-PER
Ruiz	I-PER

IMGID:O_2
in	O
Rome	B-LOC

IMGID:00000007---a.b
A	O
NA	B-ORG

IMGID:O_1
Ana	B-PER

"""


@pytest.fixture
def mmnerd(tmp_path):
    folder = tmp_path / "MMNERD" / "train_valid_test_en"
    folder.mkdir(parents=True)
    (folder / "train_conll_format.txt").write_text(CONLL, "utf-8")
    for name in ("valid", "test"):
        (folder / f"{name}_conll_format.txt").write_text(f"IMGID:O_{name}\nx\tO\n", "utf-8")
    return folder.parent


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "work", quiet=True)


def test_tweets_are_those_of_the_release_that_name_a_person(work, mmnerd):
    manifest = tweets.run(work, tweets.Settings(mmnerd=mmnerd, only_persons=True))
    assert manifest["counts"]["removed"] == {"no person": 3, "of another source: cc12m": 1}
    records = list(work.records("translate"))
    assert [record.uid for record in records] == ["en/O_1", "en/O_1#2"]
    assert records[0].text == "# Ana Ruiz" and records[0].words(records[0].spans[0]) == "Ana Ruiz"


def test_twitter_2017_names_its_fourth_type_otherwise(work, tmp_path):
    folder = tmp_path / "twitter2017"
    folder.mkdir()
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text(f"IMGID:16_{name}\nCup\tB-OTHER\n", "utf-8")
    tweets.run(work, tweets.Settings(twitter2017=folder))
    assert [(r.source, r.spans[0].type) for r in work.records("translate")] == [("twitter2017", "MISC")] * 3


def test_a_source_must_be_given(work):
    with pytest.raises(ValueError, match="Give one of `--twitter2017` and `--mmnerd`"):
        tweets.run(work, tweets.Settings())
    with pytest.raises(ValueError, match="Give one of `--listing` and `--mmnerd`"):
        captions.run(work, captions.Settings())


def test_captions_of_a_release_keep_their_entities_beside_or_start_from_them(work, mmnerd):
    captions.run(work, captions.Settings(mmnerd=mmnerd))
    [record] = work.records("recognise")
    assert record.tokens == ("A", "NA") and record.spans == () and record.more["released"][0]["type"] == "ORG"
    captions.run(work, captions.Settings(mmnerd=mmnerd, keep_labels=True))
    assert [span.type for record in work.records("recognise") for span in record.spans] == ["ORG"]


ROWS = [
    ("1---a.jpg", 'He said "go"\tand\nwent', "http://x/a", "en"),
    ("2---b.jpg", "NA", "", "en"),
    ("3---c.jpg", "null", "http://x/c", "fr"),
    ("4---d.jpg", "<PERSON> in Rome", "http://x/d", "en"),
    ("5---e.jpg", "a <Person in Rome", "http://x/e", "en"),
    ("6---f.jpg", " ", "http://x/f", "en"),
    ("1---a.jpg", "again", "http://x/a", "en"),
    ("7---g.jpg", "ja", "http://x/g", "de"),
    ("8---h.jpg", "what", "http://x/h", "Klingon"),
    ("9---i.jpg", "so " * 4_000, "http://x/h", "en"),
]


def listing(tmp_path, rows=ROWS):
    path = tmp_path / "listing.tsv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([captions.COLUMNS, *rows])
    return str(path)


def test_a_listing_is_read_as_csv_and_all_values_stay_text(work, tmp_path):
    counts = captions.run(work, captions.Settings(listing=listing(tmp_path), quota=("en=10", "fr=1")))["counts"]
    records = {record.uid: record for record in work.records("recognise")}
    assert {uid: record.text for uid, record in records.items()} == {
        "en/1---a": 'He said "go"\tand\nwent',
        "en/2---b": "NA",
        "fr/3---c": "null",
        "en/1---a#2": "again",
    }
    assert records["en/2---b"].url is None and records["fr/3---c"].url == "http://x/c"
    assert counts["removed"] == {
        "empty": 1,
        "in a language without a quota": 1,
        "longer than 10,000 characters": 1,
        "with <PERSON>": 1,
        "with a remnant of <PERSON>": 1,
        "with an unknown language": 1,
    }
    assert counts["notes"] == {"missing from the quota of en": 7}


def test_a_numbered_name_is_not_that_of_another_picture(work, tmp_path):
    rows = [(f"{name}.jpg", "in Rome", "", "en") for name in ("a#2", "a", "a", "b", "b", "b#2", "b", "a#2")]
    captions.run(work, captions.Settings(listing=listing(tmp_path, rows)))
    uids = [record.uid for record in work.records("recognise")]
    assert uids == ["en/a#2", "en/a", "en/a#3", "en/b", "en/b#2", "en/b#2#2", "en/b#3", "en/a#2#2"]


def test_image_ids_that_would_break_lines_are_left_out_and_counted(work, tmp_path, mmnerd):
    bad = ("a\nb", "a\tb", "a\0b", "\x1b[31m", "\u202eb", " a", "a\u2028", "")
    rows = [(f"{name}.jpg", "in Rome", "", "en") for name in (*bad, "a b", "é/../x")]
    counts = captions.run(work, captions.Settings(listing=listing(tmp_path, rows)))["counts"]
    assert [record.image_id for record in work.records("recognise")] == ["a b", "é/../x"]
    assert counts["removed"] == {UNUSABLE_ID: len(bad)}
    path = mmnerd / "train_valid_test_en" / "train_conll_format.txt"
    path.write_text(CONLL.replace("IMGID:O_2", "IMGID:O\x1b2"), "utf-8")
    assert tweets.run(work, tweets.Settings(mmnerd=mmnerd))["counts"]["removed"][UNUSABLE_ID] == 1


def test_a_quota_takes_the_same_captions_in_any_order_and_grows_by_others(tmp_path):
    rows = [(f"{n}---x.jpg", f"caption {n}", "", "en" if n % 2 else "fr") for n in range(200)]

    def chosen(name, rows, *quota):
        work = Work(tmp_path / name, quiet=True)
        captions.run(work, captions.Settings(listing=listing(tmp_path, rows), quota=quota))
        return {record.uid for record in work.records("recognise")}

    small = chosen("small", rows, "en=10", "fr=5")
    assert len(small) == 15 and sum(uid.startswith("fr") for uid in small) == 5
    assert chosen("turned", rows[::-1], "en=10", "fr=5") == small
    assert small < chosen("large", rows, "en=20", "fr=9")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("caption\turl\n", "has no column image_file, lang_id"),
        ("image_file\tcaption\turl\tlang_id\na\tb\n", "listing.tsv, line 2 or the next: another number of columns"),
        (
            'image_file\tcaption\turl\tlang_id\na\t"b' + "x" * (1 << 20) + "\n",
            "listing.tsv, line 1 or the next: field larger",
        ),
    ],
)
def test_a_broken_listing_is_refused_with_its_line(work, tmp_path, content, fault):
    (tmp_path / "listing.tsv").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=fault):
        captions.run(work, captions.Settings(listing=str(tmp_path / "listing.tsv")))


def test_a_quota_must_be_well_formed():
    with pytest.raises(ValueError, match="`quota` must be given as"):
        captions.Settings(quota=("en:5",))
