from __future__ import annotations

import json
from collections import Counter

import pytest

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.conll import read_conll
from dataset_scripts.construct import release
from dataset_scripts.construct.diff import compare_releases
from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.construct.stages import Work
from dataset_scripts.reading import read_rows


def sentence(number, lang="en", text="Ana in Rome", flags=(), **values) -> Record:
    tokens = tuple(text.split(" "))
    text, offsets = joined(tokens)
    spans = values.pop("spans", (Span(0, 1, "PER", "released"), Span(2, 3, "LOC", status="ambiguous")))
    return Record(
        f"{lang}/O_{number}",
        f"O_{number}",
        lang,
        "twitter2017",
        text,
        tokens,
        offsets,
        spans=spans,
        flags=flags,
        **values,
    )


def work_of(folder, records) -> Work:
    work = Work(folder, quiet=True)

    def read(counts):
        counts.read += len(records)
        return iter(records)

    work.write_records("tweets", read, {}, {})
    return work


RECORDS = [
    *(sentence(number, lang) for lang in ("en", "es") for number in range(60)),
    sentence(60, gold=(Span(2, 3, "LOC", "ana"),), annotations=({"annotator": "ana"}, {"annotator": "ben"})),
    sentence(61, "es", flags=("translation: empty",)),
]


@pytest.fixture
def work(tmp_path):
    return work_of(tmp_path / "work", RECORDS)


def written(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_builder_reads_every_sentence_with_its_labels(work, tmp_path):
    manifest = release.run(work, release.Settings(output=tmp_path / "new"))
    assert manifest["counts"]["written"] == 122
    build_dataset(
        tmp_path / "new", None, tmp_path / "set", settings=BuildSettings(split="grouped", embed_images=False)
    )
    rows = list(read_rows(tmp_path / "set", ["lang", "image_id", "ner_tags"]))
    assert Counter(row["lang"] for row in rows) == {"en": 61, "es": 61}
    tags = {tuple(row["ner_tags"]): row["image_id"] for row in rows}
    assert set(tags) == {("B-PER", "O", "O"), ("O", "O", "B-LOC")} and tags["O", "O", "B-LOC"] == "O_60"


def test_the_split_of_released_files_is_kept_on_request(tmp_path):
    """Translations inherit it; by picture, number 0 to 19 would not all be in test."""
    splits = ["test"] * 20 + ["validation"] * 5 + ["train"] * 5
    records = [
        sentence(number, lang, more={"released_split": split})
        for lang in ("en", "es")
        for number, split in enumerate(splits)
    ]
    work = work_of(tmp_path / "work", records)
    release.run(work, release.Settings(output=tmp_path / "new", keep_split=True))
    for lang in ("en", "es"):
        found = read_conll(tmp_path / "new" / f"train_valid_test_{lang}" / "test_conll_format.txt")
        assert [each.image_id for each in found] == [f"O_{number}" for number in range(20)]
    construction = json.loads((tmp_path / "new" / "construction.json").read_text("utf-8"))
    assert "--split given" in construction["build"]
    assert "The split is that of the released files" in (tmp_path / "new" / "README.md").read_text("utf-8")


def test_a_sentence_without_a_released_split_has_none_to_keep(work, tmp_path):
    with pytest.raises(ValueError, match="`keep_split` needs sentences of released files, but en/O_0 has no split"):
        release.run(work, release.Settings(output=tmp_path / "new", keep_split=True))


def test_translations_are_in_one_split_and_every_split_has_its_file(tmp_path):
    release.run(work_of(tmp_path / "work", RECORDS), release.Settings(output=tmp_path / "new"))
    place = {}
    for path in (tmp_path / "new").rglob("*_conll_format.txt"):
        for found in read_conll(path):
            place.setdefault(found.image_id, set()).add(path.name)
    assert all(len(names) == 1 for names in place.values()) and len(set.union(*place.values())) == 3
    manifest = release.run(work_of(tmp_path / "one", RECORDS[:1]), release.Settings(output=tmp_path / "small"))
    assert len(list((tmp_path / "small").rglob("*_conll_format.txt"))) == 3
    assert [*manifest["counts"]["notes"]] == [f"{release.EMPTY_SPLIT}: en"]


def test_what_waits_for_people_and_what_is_at_fault_is_counted(work, tmp_path):
    release.run(work, release.Settings(output=tmp_path / "my new; set"))
    construction = json.loads((tmp_path / "my new; set" / "construction.json").read_text("utf-8"))
    assert "--source 'my new; set' --no_images" in construction["build"]
    release.run(work, release.Settings(output=tmp_path / "new", guideline="1.0"))
    construction = json.loads((tmp_path / "new" / "construction.json").read_text("utf-8"))
    assert construction["waiting"] == {"en: ambiguous": 60, "es: ambiguous": 61}
    assert construction["entities"] == {"en/LOC": 1, "en/PER": 60, "es/PER": 61}
    assert construction["people"] == {"annotators": 2, "sentences": 1, "settled": 1}
    assert construction["flags"] == {"es: translation: empty": 1}
    card = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert "2 annotators read 1 sentences; 1 are settled" in card and "60 en: ambiguous; 61 es: ambiguous" in card
    assert "guideline of version 1.0" in card and "python -m dataset_scripts.build --source new" in card
    lines = [json.loads(line) for line in (tmp_path / "new" / "provenance.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 122 and lines[0]["waiting"][0]["status"] == "ambiguous" and not lines[120]["waiting"]


def test_remarks_of_annotators_are_shown_in_the_card_as_they_are(tmp_path):
    records = [*RECORDS, sentence(99, flags=("<img src=x>\n# [a](b)",))]
    release.run(work_of(tmp_path / "work", records), release.Settings(output=tmp_path / "new", title="<b>"))
    card = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert card.startswith(r"# \<b\>") and r"1 en: \<img src=x\> # \[a\](b)" in card


def test_sentences_are_left_out_only_with_a_reason(work, tmp_path):
    settings = release.Settings(output=tmp_path / "new", languages=("es",), leave_out_flagged=True)
    counts = release.run(work, settings)["counts"]
    assert counts["removed"] == {"in another language": 61, "with a fault": 1} and counts["written"] == 60
    with pytest.raises(ValueError, match="has no sentence to write"):
        release.run(work, release.Settings(output=tmp_path / "none", languages=("de",)))
    assert not (tmp_path / "none").exists()


def test_words_that_the_format_cannot_hold_are_counted(tmp_path):
    work = work_of(tmp_path / "work", [sentence(0), sentence(1, text="IMGID:5 in Rome")])
    counts = release.run(work, release.Settings(output=tmp_path / "new"))["counts"]
    assert counts["removed"] == {"with a word that the text format cannot hold": 1}


def test_equal_work_gives_equal_files_and_an_own_release_is_replaced(work, tmp_path):
    release.run(work, release.Settings(output=tmp_path / "new"))
    first = written(tmp_path / "new")
    assert release.run(work, release.Settings(output=tmp_path / "new"))["skipped"]
    other = work_of(tmp_path / "other", RECORDS)
    release.run(other, release.Settings(output=tmp_path / "second" / "new"))
    assert first == written(tmp_path / "new") == written(tmp_path / "second" / "new")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(ValueError, match="`release` did not write"):
        release.run(work, release.Settings(output=tmp_path / "mine"))
    with pytest.raises(ValueError, match="`output` must name"):
        release.run(work, release.Settings())


def test_sentences_of_one_name_are_refused(tmp_path):
    work = work_of(tmp_path / "work", [sentence(0), sentence(0)])
    with pytest.raises(ValueError, match="1 `uid` occur twice"):
        release.run(work, release.Settings(output=tmp_path / "new"))


def test_other_languages_are_built_as_the_card_says(tmp_path):
    work = work_of(tmp_path / "work", [sentence(number, lang) for number in range(30) for lang in ("en", "it")])
    release.run(work, release.Settings(output=tmp_path / "new", build_split="paper", build_picture="default"))
    card = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert "--split paper --collection other --languages en it --image_policy default --output new-set" in card


def test_two_releases_are_compared_entity_by_entity(tmp_path):
    def released(name, *records):
        release.run(work_of(tmp_path / name, list(records)), release.Settings(output=tmp_path / f"{name}-set"))
        return tmp_path / f"{name}-set"

    old = released(
        "old",
        *(sentence(number, spans=(Span(0, 1, "PER"), Span(2, 3, "LOC"))) for number in range(4)),
        sentence(9),
        sentence(5, "fr"),
    )
    new = released(
        "new",
        sentence(0, spans=(Span(0, 1, "ORG"), Span(1, 3, "LOC"))),
        sentence(1, spans=(Span(0, 1, "PER"),)),
        sentence(2, text="Ana in Paris"),
        sentence(3, spans=(Span(0, 1, "PER"), Span(1, 2, "ORG"), Span(2, 3, "LOC"))),
        sentence(8),
    )
    difference = compare_releases(old, new)
    assert difference.sentences["en"] == Counter({"entities changed": 3, "words changed": 1, "added": 1, "removed": 1})
    assert difference.entities["en"] == Counter(
        {"type changed": 1, "borders changed": 1, "entity removed": 1, "entity added": 1}
    )
    assert difference.sentences["fr"] == Counter({"removed": 1})
    assert "| fr | 0 | 1 | 0 | 0 | 0 |" in difference.markdown()
    changes = {change["sentence"]: change for change in difference.changes}
    assert changes["en/O_1"]["entities"] == [
        {"kind": "entity removed", "words": "Rome", "start": 2, "end": 3, "old": "LOC", "new": None}
    ]
