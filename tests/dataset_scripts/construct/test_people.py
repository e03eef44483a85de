"""The stages in which people take part: tasks, collect, agree and adjudicate."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from dataset_scripts.construct import adjudicate, agree, collect, tasks
from dataset_scripts.construct.__main__ import main
from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.construct.stages import Work
from tests.dataset_scripts.construct.annotators import answer, plain

HOSTILE = "<script>x</script>"


def sentence(
    number, words="Ana Ruiz en París", spans=((0, 2, "PER"), (3, 4, "LOC")), lang="es", status=None, **values
):
    text, offsets = joined(words.split())
    spans = tuple(Span(*span, by="test", status=status, **values) for span in spans)
    return Record(f"{lang}/{number}", str(number), lang, "other", text, tuple(words.split()), offsets, spans=spans)


def given(folder, records) -> Work:
    work = Work(folder, quiet=True)

    def take(counts):
        counts.read += len(records)
        return iter(records)

    work.write_records("tweets", take, {}, {})
    return work


@pytest.fixture
def work(tmp_path):
    """Four equal sentences, on the first of which the two annotators differ."""
    return given(tmp_path / "work", [sentence(number, f"Ana Ruiz en {HOSTILE}") for number in range(4)])


def hand_out(work, **values):
    return tasks.run(work, tasks.Settings(**{"annotators": ("ana", "ben"), **values}))


def entities_of(work):
    return {record.uid: plain(record.labels) for record in work.records("collect")}


def answered(work, folder="round-1", ben=lambda found: {**found, "es/0": found["es/0"][:1]}):
    """Answer and collect: Ana leaves the proposals, Ben does not find the place of the first sentence."""
    place, answers, found = work.place("tasks"), work.folder / "answers" / folder, entities_of(work)
    answer(place / "ana.jsonl", answers / "ana.jsonl", found)
    answer(place / "ben.jsonl", answers / "ben.jsonl", ben(found))
    return collect.run(work, collect.Settings(answers=(answers,)))


def agreement(work):
    return json.loads((work.place("agree") / "agreement.json").read_text("utf-8"))


def uids(path) -> list[str]:
    return [json.loads(line)["uid"] for line in path.read_text("utf-8").splitlines()]


def test_doubtful_sentences_come_first(tmp_path):
    records = [
        sentence("sure"),
        sentence("low", score=0.31),
        sentence("lower", score=0.05),
        sentence("ambiguous", status="ambiguous"),
        sentence("collided", status="collided"),
        sentence("missing", spans=((0, 0, "PER"),), status="missing"),
    ]
    work = given(tmp_path, records)
    manifest = hand_out(work)
    assert uids(work.place("tasks") / "ben.jsonl") == [
        f"es/{name}" for name in ("missing", "collided", "ambiguous", "lower", "low", "sure")
    ]
    assert manifest["counts"]["read"] == manifest["counts"]["written"] == 6
    first = json.loads((work.place("tasks") / "ana.jsonl").read_text("utf-8").splitlines()[0])
    assert first["spans"] == [] and first["note"] == "missing: PER "
    manifest = hand_out(work, only_doubts=True)
    assert manifest["counts"]["written"] == 3 and manifest["counts"]["removed"] == {"without doubts": 3}


def test_changing_pairs_share_the_sentences_of_the_languages_that_they_know(tmp_path):
    records = [sentence(number, lang=lang) for lang in ("es", "fr", "de") for number in range(12)]
    work = given(tmp_path, records)
    counts = hand_out(work, annotators=("ana", "ben", "eva=es"), languages=("es", "fr"), limit=9)["counts"]
    assert counts["removed"] == {"in another language": 12, "over the limit": 6} and counts["written"] == 18
    who = Counter(uid for name in ("ana", "ben", "eva") for uid in uids(work.place("tasks") / f"{name}.jsonl"))
    assert set(who.values()) == {2} and len(who) == 18
    assert [uid[:2] for uid in uids(work.place("tasks") / "eva.jsonl")] == ["es"] * 6  # each third pair is without her


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"annotators": ("ana",)}, "at least `answers` .2. people"),
        *(({"annotators": ("ana", name)}, "names of letters") for name in ("b/c", "b\nc", "\u202eb", "..", "b" * 101)),
        ({"annotators": ("ana", "Ana=fr")}, "different names"),
        ({"images": Path("nowhere")}, "`images` must be a folder"),
        ({"languages": ("xx",)}, "no sentence in these"),
        ({"annotators": ("ana", "ben=fr")}, "only 1 people for es"),
        ({"guideline": Path("none.md")}, "`guideline` none.md cannot be read"),
        ({"images": Path("a"), "document_root": Path("a")}, "`document_root` must be a folder above"),
    ],
)
def test_what_cannot_be_handed_out_is_refused(work, values, message):
    with pytest.raises(ValueError, match=message):
        hand_out(work, **values)


def test_work_of_people_in_the_folder_of_a_stage_is_not_replaced(work):
    hand_out(work)
    path = work.place("tasks") / "ana.jsonl"
    path.write_text(path.read_text("utf-8").replace("open", "done"), "utf-8")
    with pytest.raises(ValueError, match=r"ana\.jsonl was changed since `tasks` wrote it"):
        hand_out(work, answers=1)


def test_agreed_sentences_are_settled_and_conflicts_go_to_the_inspector(work):
    hand_out(work)
    assert answered(work)["counts"]["notes"] == {"answers done": 8, "sentences with 2 answers": 4}
    settings = adjudicate.Settings()
    assert "Run `agree` first" in adjudicate.waits(work, settings)
    manifest = agree.run(work, agree.Settings())
    assert manifest["counts"]["notes"] == {"sentences: agreed": 3, "sentences: conflict": 1}
    assert "settles the 1 conflicts" in adjudicate.waits(work, settings)

    path = work.place("agree") / "inspector" / "inspector.jsonl"
    (asked,) = map(json.loads, path.read_text("utf-8").splitlines())
    assert asked["uid"] == "es/0" and asked["spans"] == [{"start": 0, "end": 2, "type": "PER"}]
    assert [len(found) for found in asked["others"].values()] == [2, 1]
    said = answer(path, work.folder / "inspector.jsonl", {"es/0": [{"start": 3, "end": 4, "type": "MISC"}]})
    counts = adjudicate.run(work, adjudicate.Settings(answers=(said,)))["counts"]
    assert counts["notes"] == {"agreed": 3, "answers done": 1, "settled by the inspector": 1}
    first, second, *_ = work.records("release")
    assert first.gold == (Span(3, 4, "MISC", by="inspector", status="human"),)
    assert [span.by for span in second.gold] == ["ana+ben"] * 2 and second.labels == second.gold
    assert first.annotations[-1]["role"] == "inspector" and len(first.spans) == 2


def test_all_stops_where_people_are_needed(work, capsys):
    (work.folder / "construct.yaml").write_text(
        "tasks: {annotators: [ana, ben]}\ncollect:\nagree:\nadjudicate:\n", "utf-8"
    )
    main(["all", str(work.folder)])
    assert "collect: waits. People annotate the tasks in" in capsys.readouterr().out
    answered(work)
    (work.folder / "construct.yaml").write_text("tasks: {annotators: [ana, ben]}\nagree:\nadjudicate:\n", "utf-8")
    main(["all", str(work.folder)])
    assert "adjudicate: waits. An inspector settles the 1 conflicts" in capsys.readouterr().out


def test_what_a_release_tells_of_the_stages_names_no_people_and_places(work, tmp_path):
    hand_out(work, annotators=("zoe", "ben"), images=tmp_path)
    place, answers = work.place("tasks"), work.folder / "answers"
    for name in ("zoe", "ben"):
        answer(place / f"{name}.jsonl", answers / f"{name}.jsonl", entities_of(work))
    collect.run(work, collect.Settings(answers=(answers,)))
    agree.run(work, agree.Settings())
    for stage in ("tasks", "collect", "agree"):
        manifest = work.manifest(stage)
        told = json.dumps([manifest[name] for name in ("tool", "settings", "counts")])
        assert "zoe" not in told and str(tmp_path) not in told
    assert "zoe" not in (work.place("agree") / "agreement.md").read_text("utf-8")


def test_conflicts_may_be_left_open(work):
    hand_out(work)
    answered(work)
    assert adjudicate.waits(work, adjudicate.Settings(leave_open=True)) is None
    counts = adjudicate.run(work, adjudicate.Settings(leave_open=True))["counts"]
    assert counts["notes"] == {"agreed": 3, "left open: conflict": 1}
    assert next(work.records("release")).gold is None


def test_answers_that_are_open_refused_or_skipped_settle_nothing(work, tmp_path):
    hand_out(work)
    lines = [json.loads(line) for line in (work.place("tasks") / "ana.jsonl").read_text("utf-8").splitlines()]
    change = [
        {"status": "skipped"},
        {"status": "open"},
        {"spans": [{"start": 0, "end": 1, "type": "CITY"}], "status": "done"},
    ]
    for name in ("ana", "ben"):
        said = ({**line, **values, "annotator": name} for line, values in zip(lines, change, strict=False))
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in said), "utf-8")
    counts = collect.run(work, collect.Settings(answers=(tmp_path / "ana.jsonl", tmp_path / "ben.jsonl")))["counts"]
    notes = {
        "answers skipped": 2,
        "answers open": 2,
        "answers refused: unknown type 'CITY'": 2,
        "sentences with 2 answers": 3,
    }
    assert counts["notes"] == notes
    counts = adjudicate.run(work, adjudicate.Settings(leave_open=True))["counts"]
    assert counts["notes"] == {"skipped": 1, "left open: too few answers": 3}
    assert next(work.records("release")).flags == ("skipped",)


def test_the_last_answer_of_a_person_counts_and_an_open_one_replaces_none(work):
    hand_out(work)
    answers = work.folder / "answers"
    found = {uid: [] for uid in entities_of(work)}
    answer(work.place("tasks") / "ana.jsonl", answers / "1.jsonl", entities_of(work))
    answer(work.place("tasks") / "ana.jsonl", answers / "2.jsonl", found)
    (answers / "3.jsonl").write_bytes((work.place("tasks") / "ana.jsonl").read_bytes())
    collect.run(work, collect.Settings(answers=(answers,)))
    assert [record.annotations[0]["spans"] for record in work.records("agree")] == [[]] * 4


def test_a_whole_folder_of_tasks_may_be_copied_and_answered_there(work):
    hand_out(work)
    copied = work.folder.parent / "copied"
    shutil.copytree(work.place("tasks"), copied)
    answer(copied / "ana.jsonl", copied / "ana.jsonl", entities_of(work))
    counts = collect.run(work, collect.Settings(answers=(copied,)))["counts"]
    assert counts["notes"] == {"answers done": 4, "answers open": 4, "sentences with 2 answers": 4}
    hand_out(work, format="label_studio")
    shutil.copytree(work.place("tasks"), work.folder.parent / "imported")
    counts = collect.run(work, collect.Settings(answers=(copied, work.folder.parent / "imported")))["counts"]
    assert counts["notes"]["answers done"] == 4


def test_an_answer_of_nobody_is_an_error(work, tmp_path):
    hand_out(work)
    line = {"uid": "es/0", "tokens": ["Ana"], "spans": []}
    (tmp_path / "a.jsonl").write_text(json.dumps(line), "utf-8")
    with pytest.raises(ValueError, match=r"a\.jsonl:1: an answer without `uid` or `annotator`; say who answered what"):
        collect.run(work, collect.Settings(answers=(tmp_path / "a.jsonl",)))


def test_every_two_of_three_annotators_are_compared(work):
    hand_out(work, annotators=("ana", "ben", "eva"), answers=3)
    place, answers, found = work.place("tasks"), work.folder / "answers", entities_of(work)
    for name, said in (("ana", found), ("ben", found), ("eva", {**found, "es/0": []})):
        answer(place / f"{name}.jsonl", answers / f"{name}.jsonl", said)
    collect.run(work, collect.Settings(answers=(answers,)))
    agree.run(work, agree.Settings())
    pairs = {name: figures["span F1"] for name, figures in agreement(work)["people"].items()}
    assert pairs == {"ana and ben": 1.0, "ana and eva": 12 / 14, "ben and eva": 12 / 14}


def test_each_round_of_training_has_other_sentences_and_its_own_scores(work, tmp_path):
    found, gold = entities_of(work), tmp_path / "gold.jsonl"
    words = f"Ana Ruiz en {HOSTILE}".split()
    lines = [{"uid": uid, "annotator": "gold", "tokens": words, "spans": spans} for uid, spans in found.items()]
    gold.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    for number, said in enumerate([{uid: spans[:1] for uid, spans in found.items()}, found]):
        counts = hand_out(work, no_proposals=True, skip=2 * number, limit=2)["counts"]
        assert counts["removed"] == ({"passed over": 2} if number else {"over the limit": 2})
        for name in ("ana", "ben"):
            path = work.folder / "answers" / f"round-{number}" / f"{name}.jsonl"
            answer(work.place("tasks") / f"{name}.jsonl", path, said)
    collect.run(work, collect.Settings(answers=(work.folder / "answers",)))
    agree.run(work, agree.Settings(gold=(gold,)))
    rows = [(row["annotator"], row["round"], row["right"], row["gold"]) for row in agreement(work)["annotators"]]
    assert rows == [(name, f"round-{n}", right, 4) for name in ("ana", "ben") for n, right in enumerate((2, 4))]


def test_answers_to_other_sentences_are_an_error(work, tmp_path):
    hand_out(work)
    other = given(tmp_path / "other", [sentence("else")])
    hand_out(other)
    path = answer(other.place("tasks") / "ana.jsonl", tmp_path / "ana.jsonl", {"es/else": []})
    with pytest.raises(ValueError, match=r"has 1 sentences that .* does not have, the first is es/else"):
        collect.run(work, collect.Settings(answers=(path,)))
    with pytest.raises(ValueError, match="is no file that ends with"):
        collect.run(work, collect.Settings(answers=(tmp_path / "none.jsonl",)))
    (tmp_path / "users.json").write_text("[7]", "utf-8")
    with pytest.raises(ValueError, match=r"`users` .* is no JSON such as"):
        collect.run(work, collect.Settings(answers=(path,), users=tmp_path / "users.json"))
    assert "People annotate the tasks" in collect.waits(work, collect.Settings())


def test_low_agreement_exits_with_1_and_says_where_to_look(work):
    hand_out(work)
    answered(work)
    main(["agree", str(work.folder), "--minimum_f1", "0.9"])
    with pytest.raises(
        SystemExit, match=r"error: span F1 between annotators is 0.933, below `minimum_f1` 0.95; see .*html"
    ) as ended:
        main(["agree", str(work.folder), "--minimum_f1", "0.95"])
    assert isinstance(ended.value.code, str)  # which Python turns into the exit status 1


def test_the_report_has_groups_people_and_strings(work):
    hand_out(work)
    answered(work)
    agree.run(work, agree.Settings())
    found = agreement(work)
    assert found["overall"]["span F1"] == 14 / 15 == found["people"]["ana and ben"]["span F1"]
    assert found["type"]["LOC"] == {"entities of both": 7, "span F1": 6 / 7} and found["type"]["PER"]["span F1"] == 1.0
    assert set(found["language"]) == {"es"} and set(found["source"]) == {"other"}
    assert found["strings"] == [{"text": HOSTILE, "sentences": 1, "types": {"LOC": 1}}]
    ana, ben = found["annotators"]
    assert (ana["left"], ana["proposed"], ana["unchanged"], ben["left"], ben["unchanged"]) == (8, 8, 4, 7, 3)
    assert "By language:" in (work.place("agree") / "agreement.md").read_text("utf-8")


def test_annotators_in_training_are_scored_against_gold(work, tmp_path):
    hand_out(work, no_proposals=True)
    assert json.loads((work.place("tasks") / "ana.jsonl").read_text("utf-8").splitlines()[0])["spans"] == []
    answered(work)
    some = {uid: spans for uid, spans in entities_of(work).items() if uid in ("es/0", "es/1")}
    lines = (
        {"uid": uid, "annotator": "gold", "tokens": f"Ana Ruiz en {HOSTILE}".split(), "spans": spans}
        for uid, spans in some.items()
    )
    (tmp_path / "gold.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    agree.run(work, agree.Settings(gold=(tmp_path / "gold.jsonl",)))
    ana, ben = agreement(work)["annotators"]
    assert (ana["gold"], ana["right"], ana["scored"]) == (4, 4, 4)
    assert (ben["gold"], ben["right"], ben["scored"], ben["round"]) == (4, 3, 3, "round-1")


def test_the_page_shows_disputed_sentences_with_pictures_and_escapes_their_words(work):
    images = work.folder / "pictures" / "images"  # where `fetch` puts them
    images.mkdir(parents=True)
    Image.new("RGB", (400, 300), "teal").save(images / "0.jpg")
    hand_out(work)
    answered(work)
    agree.run(work, agree.Settings())
    page = (work.place("agree") / "agreement.html").read_text("utf-8")
    assert page.count("<article") == 1 and "data:image/webp;base64," in page
    assert "<script" not in page and "&lt;script&gt;" in page
    assert page.count('class="wrong"') == 1 + 1  # Ana's place, and the legend


@pytest.mark.parametrize("form", ["jsonl", "conll", "label_studio"])
def test_each_form_hands_the_conflicts_to_the_inspector(work, form):
    hand_out(work)
    answered(work)
    hand_out(work, format=form)
    agree.run(work, agree.Settings())
    names = sorted(path.name for path in (work.place("agree") / "inspector").iterdir())
    assert names == (["inspector-00000.json", "project.json"] if form == "label_studio" else [f"inspector.{form}"])
