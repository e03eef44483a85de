"""Annotated data of any form, scheme, types and language become a data set."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import PIL.Image
import pytest

from dataset_scripts.build.__main__ import main, own_of, read_command_line, settings_of
from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.own import OwnSettings
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.reading import read_rows, read_schema
from modeling_2mner.spans import entity_spans
from modeling_2mner.windows import split_text
from tests.dataset_scripts.build.own_builds import ITALIAN, build, write_lines
from tests.dataset_scripts.distribution import encode

FAMILY = "👨‍👩‍👧"
SENTENCES = [
    ("foto_0", "Anna Rossi sees the Santa Maria", "B-PER I-PER O O B-SHIP I-SHIP"),
    ("foto_1", "The Vespa in Roma", "O B-GOOD O B-CITY"),
    ("foto_2", "Dante in New York", "B-PER O B-CITY I-CITY"),
    ("foto_3", "Nothing here", "O O"),
]
# The same tags, written by hand in other schemes.
SCHEMES = {
    "iob2": [tags for _, _, tags in SENTENCES],
    "iob1": ["I-PER I-PER O O I-SHIP I-SHIP", "O I-GOOD O I-CITY", "I-PER O I-CITY I-CITY", "O O"],
    "bare": ["PER PER O O SHIP SHIP", "O GOOD O CITY", "PER O CITY CITY", "O O"],
    "bioes": ["B-PER E-PER O O B-SHIP E-SHIP", "O S-GOOD O S-CITY", "S-PER O B-CITY E-CITY", "O O"],
    "bilou": ["B-PER L-PER O O B-SHIP L-SHIP", "O U-GOOD O U-CITY", "U-PER O B-CITY L-CITY", "O O"],
    "bmes": ["B-PER E-PER O O B-SHIP E-SHIP", "O S-GOOD O S-CITY", "S-PER O B-CITY M-CITY", "O O"],
}


def conll(tags, separator="\t"):
    lines = []
    for (image_id, words, _), column in zip(SENTENCES, tags, strict=True):
        lines += [f"IMGID:{image_id}", *map(separator.join, zip(words.split(), column.split(), strict=True)), ""]
    return "\n".join(lines)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("foto_0.jpg", "foto_1.png", "more/foto_2.JPG", "foto_3.jpeg")):
        kind = "PNG" if name.endswith("png") else "JPEG"
        (folder / name).write_bytes(encode(PIL.Image.new("RGB", (70, 60), (40 * number, 9, 200)), kind))
    return folder


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_sentences_in_any_scheme_give_equal_rows(tmp_path, scheme, photos):
    (tmp_path / "text").mkdir()
    source = tmp_path / "text" / "train.conll"
    source.write_text(conll(SCHEMES[scheme]), encoding="utf-8")
    rows, report = build(source, tmp_path / "set", images=photos)
    found = [(i, " ".join(row["tokens"]), " ".join(row["ner_tags"])) for i, row in rows.items()]
    assert found == SENTENCES
    assert [row["image_status"] for row in rows.values()] == ["ok", "ok", "missing", "ok"]
    name = {"bare": "io", "iob1": "io"}.get(scheme, scheme)
    record = json.loads((tmp_path / "set" / "build.json").read_text("utf-8"))
    assert record["own"]["scheme"] == name
    before, after = (" ".join(SCHEMES[name]).split() for name in (scheme, "iob2"))
    changed = sum(old != new for old, new in zip(before, after, strict=True))
    told = {what: number for what, number in report.changes.items() if number and what.startswith("tags converted")}
    assert told == ({} if scheme == "iob2" else {f"tags converted from {name.upper()} to IOB2": changed})


def test_all_forms_of_files_give_the_same_sentences(tmp_path):
    tokens = [{"tokens": w.split(), "ner_tags": t.split(), "image": f"{i}.jpg"} for i, w, t in SENTENCES]
    texts = []
    for image_id, words, tags in SENTENCES:
        _, offsets = split_text(words)
        spans = entity_spans(tags.split(), strict=True)
        entities = [{"start": offsets[a][0], "end": offsets[b - 1][1], "label": kind} for kind, a, b in spans]
        texts.append({"text": words, "entities": entities, "image": f"{image_id}.jpg"})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.txt").write_bytes(
        b"\xef\xbb\xbf" + conll(SCHEMES["iob2"], " ").replace("\n", "\r\n").encode()
    )
    write_lines(tmp_path / "b" / "train.jsonl", tokens)
    write_lines(tmp_path / "c" / "train.jsonl", texts)
    renamed = [{("file_name" if name == "image" else name): value for name, value in row.items()} for row in tokens]
    write_lines(tmp_path / "d" / "train" / "metadata.jsonl", renamed)
    for place in "abcd":
        rows, report = build(tmp_path / place, tmp_path / f"set-{place}")
        prefix = "train/" if place == "d" and "train/foto_0" in rows else ""
        assert [(" ".join(row["tokens"]), " ".join(row["ner_tags"])) for row in rows.values()] == [
            sentence[1:] for sentence in SENTENCES
        ], place
        assert list(rows) == [prefix + image_id for image_id, _, _ in SENTENCES]
        assert report.types == ("PER", "CITY", "GOOD", "SHIP")  # the paper's first, then by frequency and name


def test_pictures_are_found_beside_the_text(tmp_path, photos):
    rows = [
        {"tokens": ["Hi"], "ner_tags": ["O"], "image": name} for name in ("foto_1.png", "more/foto_2.JPG", "no.jpg")
    ]
    rows += [
        {"tokens": ["Hi"], "ner_tags": ["O"], "image": str(photos / "foto_3.jpeg")},
        {"tokens": ["Hi"], "ner_tags": ["O"]},
    ]
    rows += [{"tokens": ["Hi"], "ner_tags": ["O"], "image": "../secret.jpg"}]
    (tmp_path / "secret.jpg").write_bytes((photos / "foto_0.jpg").read_bytes())
    found, _ = build(write_lines(photos / "train.jsonl", rows), tmp_path / "set")
    assert {name: row["image_status"] for name, row in found.items()} == {
        "foto_1.png": "ok",
        "more/foto_2.JPG": "ok",
        "no": "missing",
        "foto_3.jpeg": "ok",
        "train.jsonl:5": "missing",
        "../secret": "unreadable",
    }
    assert str(tmp_path) not in (tmp_path / "set" / "build.json").read_text("utf-8")


def test_entities_in_text_keep_their_places_and_those_inside_words_are_listed(tmp_path, capsys):
    text = f"{FAMILY} Anna 🎉Roma, Münchenreise"
    places = {word: (text.index(word), text.index(word) + len(word)) for word in (FAMILY, "Anna", "Roma", "München")}
    types = {FAMILY: "EMO", "Anna": "PER", "Roma": "LOC", "München": "LOC"}
    entities = [{"start": a, "end": b, "label": types[word]} for word, (a, b) in places.items()]
    source = write_lines(tmp_path / "train.jsonl", [{"text": text, "entities": entities}])
    main(["--source", str(source), "--output", str(tmp_path / "set"), "--language", "de"])
    (row,) = read_rows(tmp_path / "set")
    _, offsets = split_text(text)
    found = {
        (offsets[start][0], offsets[end - 1][1], kind)
        for kind, start, end in entity_spans(row["ner_tags"], strict=True)
    }
    whole = (text.index("München"), len(text), "LOC")
    assert found == {(*places[word], types[word]) for word in (FAMILY, "Anna", "Roma")} | {whole}
    assert "train.jsonl:1: 'München' (LOC) became 'Münchenreise'" in capsys.readouterr().out
    (widened,) = json.loads((tmp_path / "set" / "build.json").read_text("utf-8"))["own"]["widened"]
    assert (widened["start"], widened["end"], widened["text"]) == (*places["München"], "München")


@pytest.mark.parametrize(
    "entities",
    [
        [{"start": 0, "end": 99, "label": "PER"}],
        [{"start": 2, "end": 2, "label": "PER"}],
        [{"start": 0, "end": 4, "label": "PER"}, {"start": 2, "end": 9, "label": "ORG"}],
        [{"start": 4, "end": 5, "label": "PER"}],
        [{"start": "0", "end": 4, "label": "PER"}],
        [{"start": 0, "end": 4}],
    ],
)
def test_entities_that_no_row_can_hold_are_refused(tmp_path, entities):
    source = write_lines(tmp_path / "train.jsonl", [{"text": "Anna Rossi", "entities": entities}])
    with pytest.raises(ValueError, match=r"train.jsonl:1: .*; .*\."):
        build(source, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_types_are_renamed_merged_and_left_out(tmp_path, caplog):
    source = tmp_path / "train.conll"
    source.write_text(conll(SCHEMES["bioes"]), encoding="utf-8")
    own = OwnSettings(language="it", rename=("SHIP=MISC", "GOOD=MISC", "CITY=", "PERSON=PER"))
    rows, report = build(source, tmp_path / "set", own)
    assert [" ".join(row["ner_tags"]) for row in rows.values()] == [
        "B-PER I-PER O O B-MISC I-MISC",
        "O B-MISC O O",
        "B-PER O O O",
        "O O",
    ]
    assert report.types == ("PER", "LOC", "ORG", "MISC")
    assert {what: number for what, number in report.changes.items() if "entities" in what and number} == {
        "entities renamed from SHIP to MISC": 1,
        "entities renamed from GOOD to MISC": 1,
        "entities of CITY, left out": 2,
    }
    assert "`rename` names types that do not occur: PERSON" in caplog.text
    assert "entities of CITY, left out 2" in (tmp_path / "set" / "README.md").read_text("utf-8")


def test_all_faulty_lines_are_counted_and_ten_are_shown(tmp_path):
    lines = ["Hi\tO", "", *["word", ""] * 20, *["a\tB-PER", "b\tO", "c\tI-PER", ""] * 5, "d\tB-1", ""]
    (tmp_path / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        build(tmp_path / "train.txt", tmp_path / "set")
    head, *shown = str(caught.value).splitlines()
    assert head.startswith("26 lines or sentences cannot be read; the first 10 are")
    assert len(shown) == 10 and shown[0].startswith(
        f"{tmp_path / 'train.txt'}:3: no tag beside the word: 'word'; write"
    )


def test_a_tag_that_continues_nothing_is_refused_with_its_line_or_repaired(tmp_path):
    (tmp_path / "train.txt").write_text("# head\na\tB-PER\nb\tO\nc\tI-LOC\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"train.txt:4: the tag 'I-LOC' of 'c' continues no entity \(IOB2\); .*--repair_tags"
    ):
        build(tmp_path / "train.txt", tmp_path / "set")
    rows, report = build(tmp_path / "train.txt", tmp_path / "set", repair_tags=True)
    (row,) = rows.values()
    assert (row["ner_tags"], row["quality"]) == (["B-PER", "O", "B-LOC"], ["repaired_tags"])
    assert report.changes["tags repaired"] == 1
    with pytest.raises(
        ValueError, match=r"train.txt:4: unknown type 'LOC'; known are O, B-PER, I-PER; add it to `--types`"
    ):
        build(tmp_path / "train.txt", tmp_path / "two", types=("PER",), repair_tags=True)


def test_languages_are_stated_or_told_from_the_words(tmp_path):
    rows = [
        {"tokens": text.split(), "ner_tags": ["O"] * len(text.split())}
        for text in (
            "Oggi il presidente della Repubblica ha parlato agli studenti dell'università",
            "La squadra ha vinto la partita contro gli avversari nella città di Milano",
            "Domani il museo sarà chiuso perché i lavoratori sono in sciopero",
        )
    ]
    rows.append({"tokens": ["Hello"], "ner_tags": ["O"], "lang": "en-US"})
    source = write_lines(tmp_path / "train.jsonl", rows)
    found, _ = build(source, tmp_path / "set", OwnSettings())
    assert [(row["lang"], row["quality"]) for row in found.values()] == [("en", [])] + [
        ("it", ["inferred_language"])
    ] * 3
    found, _ = build(source, tmp_path / "sc", OwnSettings(language="sc"))
    assert [(row["lang"], row["quality"]) for row in found.values()] == [("en", []), *[("sc", [])] * 3]
    with pytest.raises(ValueError, match=r"train.jsonl:1: `lang` must be a code such as en"):
        build(write_lines(source, [{**rows[0], "lang": "Italiano!"}]), tmp_path / "bad")


def test_splits_are_those_of_names_columns_or_made(tmp_path, caplog):
    row = {"tokens": ["Hi"], "ner_tags": ["O"]}
    for name in ("train", "my-dev", "test"):
        write_lines(tmp_path / "three" / f"{name}.jsonl", [row])
    write_lines(tmp_path / "three" / "extra.jsonl", [row])
    build(tmp_path / "three", tmp_path / "a")
    assert [found["split"] for found in read_rows(tmp_path / "a")] == ["train", "validation", "test"]
    assert "Left out, since their names state no split" in caplog.text and "no validation" not in caplog.text
    build(tmp_path / "three" / "train.jsonl", tmp_path / "one")
    assert (
        "The data set has no validation and no test; training needs all three splits: `--split grouped` or"
        in caplog.text
    )
    stated = write_lines(tmp_path / "all.jsonl", [{**row, "split": name} for name in ("test", "val", "Training")])
    build(stated, tmp_path / "b")
    assert [found["split"] for found in read_rows(tmp_path / "b")] == ["train", "validation", "test"]
    many = write_lines(tmp_path / "many.jsonl", [{"tokens": [f"w{n}"], "ner_tags": ["O"]} for n in range(100)])
    build(many, tmp_path / "c", OwnSettings(language="it", sizes=(50, 30, 20)), split="paper")
    splits = [found["split"] for found in read_rows(tmp_path / "c")]
    assert [splits.count(name) for name in ("train", "validation", "test")] == [50, 30, 20]
    assert "split 50:30:20 (seed 19)" in (tmp_path / "c" / "README.md").read_text("utf-8")
    build(many, tmp_path / "d")  # no split is stated
    assert "8:1:1 in expectation" in (tmp_path / "d" / "README.md").read_text("utf-8")
    few = write_lines(tmp_path / "few.jsonl", [{"tokens": [f"w{n}"], "ner_tags": ["O"]} for n in range(5)])
    for seed in range(10):  # no split is empty, however few the sentences are
        build(few, tmp_path / f"few-{seed}", seed=seed)
        assert {found["split"] for found in read_rows(tmp_path / f"few-{seed}")} == {"train", "validation", "test"}
    with pytest.raises(ValueError, match=r"all.jsonl:1: `split` must be one of train, .*got 'fold'"):
        build(write_lines(stated, [{**row, "split": "fold"}]), tmp_path / "e")
    same = write_lines(tmp_path / "same.jsonl", [row] * 3)
    build(same, tmp_path / "f")
    assert "add sentences, or keep fewer of them together with `--group_by`." in caplog.text


def test_options_that_are_given_twice_are_added(tmp_path):
    options = read_command_line(
        [
            f"--source={tmp_path}",
            *["--rename", "A=B", "--rename", "C=", "D=E", "--columns", "tokens=1", "--columns", "ner_tags=2"],
        ]
    )
    own = own_of(options)
    assert (own.rename, own.columns) == (("A=B", "C=", "D=E"), ("tokens=1", "ner_tags=2"))
    assert own_of(read_command_line([f"--source={tmp_path}", "--sizes", *["7", "1", "2"]])).sizes == (7, 1, 2)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A saved data set with columns of other names, numbered tags and embedded pictures."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    names = ["O", "S-SHIP", "B-PER", "E-PER"]
    columns = datasets.Features(
        {
            "words": datasets.List(datasets.Value("string")),
            "labels": datasets.List(datasets.ClassLabel(names=names)),
            "photo": datasets.Image(),
            "tokens": datasets.Value("int64"),
        }
    )
    picture = PIL.Image.new("RGB", (70, 60), (9, 80, 200))
    rows = [
        {"words": ["Anna", "Rossi"], "labels": [2, 3], "photo": picture, "tokens": 2},
        {"words": ["Maria"], "labels": [1], "photo": None, "tokens": 1},
    ]
    parts = {name: datasets.Dataset.from_list(rows, features=columns) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "stored"))
    return tmp_path / "stored"


def test_a_saved_data_set_with_other_columns(stored, tmp_path):
    own = OwnSettings(columns=("tokens=words", "ner_tags=labels", "image=photo"), language="it")
    build(stored, tmp_path / "set", own)
    rows = list(read_rows(tmp_path / "set"))
    assert [(row["split"], row["ner_tags"], row["image_status"]) for row in rows] == [
        ("train", ["B-PER", "I-PER"], "ok"),
        ("train", ["B-SHIP"], "missing"),
        ("test", ["B-PER", "I-PER"], "ok"),
        ("test", ["B-SHIP"], "missing"),
    ]
    assert [row["image_id"] for row in rows][1::2] == ["train, row 1", "test, row 1"]
    assert read_schema(next((tmp_path / "set").rglob("*.parquet"))).types == ("PER", "SHIP")
    with pytest.raises(
        ValueError, match=r"`columns` names 'nothing', but `source` .* has the columns words, labels, photo"
    ):
        build(stored, tmp_path / "two", OwnSettings(columns=("tokens=nothing",)))
    with pytest.raises(
        ValueError, match="say which hold the words and tags with `--columns tokens=NAME ner_tags=NAME`"
    ):
        build(stored, tmp_path / "two", OwnSettings())


def test_a_data_set_with_paths_of_pictures(tmp_path, photos):
    rows = {"text": ["Anna Rossi", "Roma"], "image": ["foto_0.jpg", str(photos / "more" / "foto_2.JPG")]}
    entities = [{"start": [0], "end": [4], "label": ["PER"]}, {"start": [], "end": [], "label": []}]
    datasets.Dataset.from_dict({**rows, "entities": entities}).save_to_disk(str(tmp_path / "stored"))
    found, _ = build(tmp_path / "stored", tmp_path / "set", images=photos)
    assert [(row["image_status"], row["ner_tags"]) for row in found.values()] == [
        ("ok", ["B-PER", "O"]),
        ("ok", ["O"]),
    ]


def label_studio(text, *annotations, image="/data/local-files/?d=root/photos/more/foto_2.JPG"):
    said = [
        {
            "id": number,
            "completed_by": number,
            "was_cancelled": result is None,
            "ground_truth": settled,
            "result": [
                {"type": "labels", "value": {"start": a, "end": b, "text": text[a:b], "labels": [kind]}}
                for a, b, kind in result or ()
            ],
        }
        for number, (result, settled) in enumerate(annotations)
    ]
    return {"id": 1, "data": {"caption": text, "image": image}, "annotations": said}


def test_an_export_of_label_studio_with_emoji(tmp_path, photos):
    text = f"🎉 Fiesta {FAMILY} en París con Ana Ruiz"
    place = text.index("París")
    right, wrong = [(place, place + 5, "LOC")], [(place, place + 5, "ORG")]
    tasks = [
        label_studio(text, (right, True), (wrong, False)),
        label_studio(text, (wrong, False), (right, False), image="/data/upload/3/1234abcd-foto_1.png"),
        label_studio(text, (None, False)),
        label_studio(text),
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    own = OwnSettings(columns=("text=caption",), language="es")
    rows, report = build(tmp_path / "export.json", tmp_path / "set", own, photos)
    assert {name: row["image_status"] for name, row in rows.items()} == {"more/foto_2.JPG": "ok", "foto_1.png": "ok"}
    for row in rows.values():
        (span,) = entity_spans(row["ner_tags"], strict=True)
        assert (span.type, row["tokens"][span.start : span.end]) == ("LOC", ["París"])
    assert report.changes["sentences without annotation, left out"] == 2
    assert report.changes["further annotations of the same sentence, left out"] == 2


def test_the_card_states_what_its_builder_states_and_nothing_of_ours(tmp_path):
    source = tmp_path / "train.conll"
    source.write_text(conll(SCHEMES["iob2"]), encoding="utf-8")
    own = OwnSettings(
        title="Ships & {goods}", license="CC-BY-4.0", homepage="https://example.org/ships", language="it"
    )
    build(source, tmp_path / "my-set", own)
    card = (tmp_path / "my-set" / "README.md").read_text("utf-8")
    licence = (tmp_path / "my-set" / "LICENSE.md").read_text("utf-8")
    assert "\nlicense: cc-by-4.0\n" in card and "\n# Ships & {goods}\n" in card
    assert (
        "@misc{my-set,\n  title        = {Ships & goods},\n  howpublished = {\\url{https://example.org/ships}}\n}"
        in card
    )
    assert "**CC-BY-4.0** (<https://example.org/ships>)" in licence
    assert not any(word in card + licence for word in ("wang2024", "MMNERD", "Twitter"))
    build(source, tmp_path / "other", OwnSettings(license="Ask Anna", language="it"))
    card = (tmp_path / "other" / "README.md").read_text("utf-8")
    assert "@misc" not in card
    for line in ("license: other", "license_name: Ask Anna", "license_link: LICENSE.md"):
        assert f"\n{line}\n" in card


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(ValueError, match="is not there; check the path, or add `--form data_set`"):
        build(tmp_path / "user/name", tmp_path / "set")
    (tmp_path / "notes.txt").write_text("Only some notes.\nNothing else.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds nothing that was recognised"):
        build(tmp_path, tmp_path / "set")
    (tmp_path / "a.txt").write_text("Hi O\n", encoding="utf-8")
    write_lines(tmp_path / "b.jsonl", [{"tokens": ["Hi"], "ner_tags": ["O"]}])
    with pytest.raises(ValueError, match=r"holds several forms: conll \(.*a.txt\), jsonl"):
        build(tmp_path, tmp_path / "set")
    rows, _ = build(tmp_path, tmp_path / "set", OwnSettings(form="jsonl", language="it"))
    assert list(rows) == ["b.jsonl:1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "xml"}, "`form` must be one of"),
        ({"scheme": "BIO"}, "`scheme` must be one of"),
        ({"columns": ("words=tokens",)}, "`columns` must be some of"),
        ({"columns": ("tokens",)}, "`columns` must have the form NAME=OTHER"),
        ({"columns": ("tokens=first",), "form": "conll"}, "are numbers from 1"),
        ({"rename": ("A=1",)}, "`rename` must name types"),
        ({"language": "italiano"}, "`language` must be a code"),
        ({"sizes": (0, 1, 1)}, "`sizes` must be three shares"),
        ({"homepage": "example.org"}, "`homepage` must be an address"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        OwnSettings(**change)


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ("folders/train_valid_test_en", [], ("mmnerd", False)),
        ("folders", [], ("mmnerd", False)),
        ("others/train_valid_test_sc", [], ("other", False)),
        ("others", ["--collection", "other"], ("other", False)),
        ("others", ["--scheme", "iob1"], ("other", True)),
        ("three", [], ("other", True)),
        ("three", ["--collection", "other"], ("other", False)),
        ("three", ["--collection", "twitter2015"], ("twitter2015", False)),
        ("three/train.txt", ["--collection", "other"], ("other", True)),
        ("user/name", ["--form", "data_set"], ("other", True)),
    ],
)
def test_what_is_a_collection_and_what_is_ones_own(tmp_path, write_files, monkeypatch, source, options, expected):
    monkeypatch.chdir(tmp_path)
    for folder in ("folders/train_valid_test_en", "others/train_valid_test_sc"):
        write_files(tmp_path / folder, [], [], [])
    write_files(tmp_path / "three", [], [], [], ("train.txt", "valid.txt", "test.txt"))
    read = read_command_line(["--source", source, "--no_images", *options])
    assert (settings_of(read).collection, own_of(read) is not None) == expected


def test_a_collection_takes_no_option_of_own_data(capsys):
    with pytest.raises(SystemExit):
        main(["--source", "x", "--collection", "mmnerd", "--rename", "A=B"])
    assert "--rename is for data of one's own; leave out --collection mmnerd" in capsys.readouterr().err


def test_an_interrupted_build_goes_on(tmp_path, photos, monkeypatch):
    source = tmp_path / "train.conll"
    source.write_text(conll(SCHEMES["bioes"]), encoding="utf-8")
    straight, _ = build(source, tmp_path / "straight", images=photos, rows_per_shard=2)
    calls = []

    def stop(function, tasks):
        for number, task in enumerate(tasks):
            if number == 1:
                raise KeyboardInterrupt
            calls.append(task)
            yield function(task)

    settings = BuildSettings("other", rows_per_shard=2)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(source, photos, tmp_path / "set", settings=settings, engine=stop, own=ITALIAN)
    kept = next((tmp_path / ".set.partial").rglob("*.parquet"))
    made = kept.stat().st_mtime_ns
    build_dataset(source, photos, tmp_path / "set", settings=settings, own=ITALIAN)
    files = {path.relative_to(tmp_path / "set"): path for path in (tmp_path / "set").rglob("*.parquet")}
    assert files[Path("data/it") / kept.name].stat().st_mtime_ns == made
    assert {row["image_id"]: row for row in read_rows(tmp_path / "set")} == straight


def test_the_example_of_the_documentation(tmp_path, monkeypatch, photos):
    page = (Path(__file__).resolve().parents[3] / "docs" / "dataset.md").read_text("utf-8")
    section = page.split("\n## Your own data\n")[1].split("\n## ")[0]
    sentences, commands = (
        block.split("```")[0] for block in (section.split("```text\n")[1], section.split("\n```\n")[2])
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sentences.conll").write_text(sentences, encoding="utf-8")
    for old, new in (("foto_0.jpg", "harbour_01.jpg"), ("foto_1.png", "harbour_02.png")):
        (photos / old).rename(photos / new)
    command = next(line for line in commands.splitlines() if line.startswith("python -m dataset_scripts.build "))
    main(command.split()[3:])
    rows = {row["image_id"]: row for row in read_rows("ships")}
    assert {name: row["image_status"] for name, row in rows.items()} == {"harbour_01": "ok", "harbour_02": "ok"}
    assert rows["harbour_01"]["ner_tags"] == ["O", "B-SHIP", "I-SHIP", "O", "B-PORT"]
