import json
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from dataset_scripts.audit.__main__ import main
from dataset_scripts.audit.auditing import audit_dataset
from dataset_scripts.audit.leakage import find_similar_texts
from dataset_scripts.audit.rows import read_audit_rows
from dataset_scripts.audit.settings import AuditSettings
from dataset_scripts.build.builder import build_dataset
from dataset_scripts.mini.generator import write_mini
from dataset_scripts.parquet import write_dataset

REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "mmnerd"


def make_row(name, words, image_id=None, **changes):
    words = words.split()
    row = {"id": f"en/{name}", "tokens": words, "ner_tags": ["O"] * len(words), "image_id": image_id or name}
    return {**row, "image": None, "image_status": "missing", "lang": "en", "source": "synthetic", **changes}


def write_set(folder, train, test):
    write_dataset(folder, {("en", "train"): train, ("en", "test"): test}, "card")
    return folder


@pytest.fixture
def clean(tmp_path):
    return write_set(
        tmp_path / "clean", [make_row("1", "all of this is new")], [make_row("2", "nothing here was seen")]
    )


@pytest.fixture
def leaking(tmp_path):
    return write_set(tmp_path / "leaking", [make_row("1", "all of this")], [make_row("2", "nothing \u200b here", "1")])


def run(*arguments):
    """Return the exit status."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


def named(report):
    return {finding.name: finding for finding in (*report.findings, *report.passed)}


@pytest.mark.parametrize(
    ("fail_on", "clean_status", "leaking_status"),
    [("error", 0, 1), ("warning", 0, 1), ("info", 1, 1), ("never", 0, 0)],
)
def test_exit_status_follows_the_worst_finding(clean, leaking, fail_on, clean_status, leaking_status):
    assert run(clean, "--fail_on", fail_on) == clean_status
    assert run(leaking, "--fail_on", fail_on) == leaking_status


def test_a_warning_fails_only_where_it_is_asked_to(tmp_path):
    folder = write_set(tmp_path / "set", [make_row("1", "a \u200b c")], [make_row("2", "d e f")])
    assert [run(folder), run(folder, "--fail_on", "warning")] == [0, 1]


def test_errors_come_first_in_what_is_printed(leaking, capsys):
    run(leaking)
    printed = capsys.readouterr().out
    assert "leaking, files " in printed and "en test: rows 1, words 3, entities 0" in printed
    places = [
        printed.index(name) for name in ("ERROR leaked_picture_ids", "WARNING invisible_words", "INFO picture_status")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "holds no data set"),
        (["clean", "--against", "nowhere"], "`against` nowhere is not a data set"),
        (["clean", "--json", "nowhere/a.json"], "cannot be written"),
        (["clean", "--html", "clean"], "cannot be written"),
        (["clean", "--similarity", "0"], "`similarity` must be above 0 and at most 1, got 0.0"),
        (["clean", "--similarity", "1.1"], "`similarity` must be"),
        (["clean", "--num_proc", "0"], "argument --num_proc: must be at least 1, got 0"),
        (["clean", "--max_words", "0"], "argument --max_words: must be at least 1"),
        (["clean", "--tokenizer", "./nowhere"], "`tokenizer` ./nowhere is neither a folder"),
        (["clean", "--fail_on", "sometimes"], "invalid choice"),
        ([], "required: dataset"),
    ],
)
def test_what_cannot_be_done_is_told_with_status_2(clean, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(clean.parent)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_json_and_page_are_written_the_same_each_time(leaking, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a", "b"):
        run(leaking, "--json", out / f"{name}.json", "--html", out / f"{name}.html")
    assert (out / "a.json").read_bytes() == (out / "b.json").read_bytes()
    assert (out / "a.html").read_bytes() == (out / "b.html").read_bytes()
    content = json.loads((out / "a.json").read_text(encoding="utf-8"))
    assert (content["dataset"], content["findings"][0]["name"]) == ("leaking", "leaked_picture_ids")
    assert "leaked_picture_ids" in (out / "a.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in out.iterdir()) == ["a.html", "a.json", "b.html", "b.json"]


def test_settings_reach_the_checks_and_the_report(clean):
    report = audit_dataset(clean, AuditSettings(max_words=3, pictures=False))
    assert named(report)["long_rows"].count == 2
    assert report.settings["max_words"] == 3 and report.settings["against"] == "none"
    assert "status_contradictions" in report.skipped
    assert "status_contradictions" in named(audit_dataset(clean))


def test_a_tokenizer_of_a_folder_is_tried_on_the_words(leaking, tokenizer, tmp_path):
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]").save_pretrained(
        tmp_path / "t"
    )
    report = audit_dataset(leaking, tokenizer=str(tmp_path / "t"))
    finding = named(report)["words_without_pieces"]
    assert (finding.count, finding.total, finding.details["words"]) == (1, 6, {"U+200B": 1})
    assert (report.settings["tokenizer"], finding.details["tokenizer"]) == ("t", "t")


def test_several_others_are_compared_one_by_one(clean, leaking, tmp_path):
    (tmp_path / "train.txt").write_text("IMGID:9\nNothing\tO\nhere\tO\nwas\tO\nseen\tO\n")
    report = audit_dataset(clean, against=[leaking, tmp_path / "train.txt"])
    found = [(one.name, one.details["other"], one.count) for one in report.findings if "other" in one.details]
    assert found == [
        ("held_out_in_their_train", "train.txt", 1),
        ("their_held_out_in_train", "leaking", 1),
        ("overlap", "leaking", 1),
        ("overlap", "train.txt", 1),
    ]
    assert report.settings["against"] == "leaking, train.txt"


def test_pictures_are_decoded_and_compared(tmp_path, make_picture):
    def cell(number, quality):
        out = BytesIO()
        make_picture(number, 9, 8).resize((180, 160)).save(out, "JPEG", quality=quality)
        return {"image": {"bytes": out.getvalue(), "path": "a.jpg"}, "image_status": "ok"}

    train = [make_row("1", "a b c", **cell(1, 90)), make_row("2", "d e f", **cell(2, 90))]
    broken = {"image": {"bytes": b"broken", "path": "a.jpg"}, "image_status": "ok"}
    test = [
        make_row("3", "g h i", **cell(1, 60)),
        make_row("4", "j k l", **cell(2, 90)),
        make_row("5", "m n o", **broken),
    ]
    folder = write_set(tmp_path / "set", train, test)
    found = named(audit_dataset(folder))
    assert (found["leaked_picture_bytes"].count, found["leaked_similar_pictures"].count) == (1, 1)
    assert (found["same_bytes_other_id"].count, found["undecodable_pictures"].count) == (1, 1)
    assert (found["similar_pictures"].count, found["similar_pictures"].total) == (2, 3)
    assert found["sha256_mismatches"].count == found["status_contradictions"].count == 0
    without = audit_dataset(folder, AuditSettings(pictures=False))
    assert named(without)["leaked_picture_bytes"].count == 1 and "undecodable_pictures" in without.skipped


def test_bytes_count_where_the_column_lies_or_is_missing(tmp_path, make_picture):
    path = (
        write_set(tmp_path / "set", [make_row("1", "a")], [make_row("2", "b")])
        / "data/en/train-00000-of-00001.parquet"
    )
    rows = pq.read_table(path).to_pylist()
    rows[0] |= {"image": {"bytes": b"x", "path": None}, "sha256": "0" * 64}
    pq.write_table(pa.Table.from_pylist(rows), path)
    found = named(audit_dataset(tmp_path / "set"))
    assert (found["sha256_mismatches"].count, found["status_contradictions"].count) == (1, 1)


def test_the_mini_data_set_has_sound_rows_and_pictures(tmp_path):
    write_mini(tmp_path / "mini", 19, sizes=(16, 16, 16))
    found = named(audit_dataset(tmp_path / "mini"))
    sound = (
        "iob2_faults",
        "unknown_tags",
        "tag_counts",
        "undecodable_pictures",
        "status_contradictions",
        "unsafe_ids",
    )
    assert [found[name].count for name in sound] == [0] * 6


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if not (REAL / "train_valid_test" / "train_valid_test_en").is_dir():
        pytest.skip("the authors' English files are not beside this checkout (../shared/data/mmnerd)")
    folder = tmp_path_factory.mktemp("real") / "mmnerd"
    build_dataset(REAL, None, folder)
    return folder


@pytest.fixture(scope="module")
def real_findings(real):
    return named(audit_dataset(real, AuditSettings(pictures=False)))


def test_damage_of_the_real_english_rows(real_findings):
    finding = real_findings["placeholders"]
    assert (finding.count, finding.total, finding.details["words"]) == (142, 24964, 161)
    assert finding.details["splits"] == {"train": 114, "test": 17, "validation": 11}
    finding = real_findings["invisible_words"]
    assert (finding.count, finding.total) == (29, 410516)
    assert finding.details["words"] == {"U+F0D8": 11, "U+F0A7": 8, "U+200B": 5, "U+FFFD": 4, "U+00AD": 1}
    assert real_findings["repeated_texts"].details["splits"] == {"en train": 2}
    sound = ("iob2_faults", "unknown_tags", "tag_counts", "empty_words", "blank_words", "long_rows", "unsafe_ids")
    assert [real_findings[name].count for name in sound] == [0] * 7


def test_label_conflicts_of_the_real_english_rows(real_findings):
    finding = real_findings["label_conflicts"]
    captions, tweets = finding.details["sources"]["en cc12m"], finding.details["sources"]["en twitter2017"]
    assert list(captions.values()) == [22801, 1140, 44867, 10610, 3507]
    assert (tweets["strings"], tweets["conflicting"], tweets["in_minority"]) == (3258, 46, 66)
    texts = [example.text for example in finding.examples]
    assert texts[:2] == ["london: LOC 54, ORG 42, MISC 38", "india: MISC 65, ORG 42, LOC 24"]


def test_ids_of_the_real_english_rows(real_findings):
    kinds = real_findings["odd_ids"].details["kinds"]
    assert kinds == {
        "outside_plain_ascii": 2279,
        "illegal_on_windows": 1010,
        "glob_characters": 988,
        "percent_escapes": 854,
        "dots": 1625,
        "dot_at_end": 154,
        "empty_stem": 18,
    }
    assert real_findings["odd_ids"].total == 24964
    assert real_findings["ids_equal_but_for_case"].count == real_findings["ids_equal_but_for_form"].count == 0


def test_leaks_of_the_real_english_rows(real, real_findings):
    assert real_findings["leaked_picture_ids"].count == real_findings["leaked_texts"].count == 0
    finding = real_findings["leaked_similar_texts"]
    assert finding.details["identical"] == {"validation": 15, "test": 13}
    assert _leaked(finding) == [24, 22]
    assert _leaked(find_similar_texts(read_audit_rows(real), 0.6)) == [60, 52]


def _leaked(finding):
    return [counts["leaked"] for counts in finding.details["configurations"]["en"].values()]


def test_tags_that_are_not_known_are_told_with_their_row(clean):
    """Class -1 and null are no labels; what else reads the data set refuses them, the audit goes on and reports."""
    path = next((clean / "data" / "en").glob("train-*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0] |= {"tokens": ["all", None, "new"], "ner_tags": [-1, None, 0]}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)

    findings = {finding.name: finding for finding in audit_dataset(clean, AuditSettings(pictures=False)).findings}
    assert findings["unknown_tags"].examples[0].rows == ("en/1",)
    assert findings["unknown_tags"].examples[0].text == "<-1>, <None>"
    assert findings["empty_words"].count == 1
