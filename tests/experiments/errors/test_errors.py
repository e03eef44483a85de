from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from dataset_scripts.parquet import write_dataset
from dataset_scripts.thumbnails import make_thumbnail
from experiments.errors import __main__ as errors
from experiments.errors.analysis import evenly_spaced
from reports_2mner.html import TEMPLATES
from training_2mner.arguments import DataArguments
from training_2mner.data import load_splits
from training_2mner.evaluation import write_predictions

HOSTILE = "<script>alert(1)</script>\"'><img/src=x>&amp;\u202e"
# Language, source, words, gold, predicted.
TEST = [
    ("en", "cc12m", "Jeep tour in Rome", "B-MISC O O B-LOC", "B-ORG O O B-LOC"),
    ("en", "cc12m", "New York City wins", "B-LOC I-LOC I-LOC O", "B-LOC I-LOC O O"),
    ("en", "twitter2017", f"{HOSTILE} wins", "B-PER O", "O O"),
    ("en", "twitter2017", "nothing here", "O O", "I-ORG O"),
    ("de", "cc12m", "Anna Meier lacht", "B-PER I-PER O", "B-ORG O O"),
    ("de", "twitter2017", "Anna lacht", "B-PER O", "B-PER O"),
    ("de", "twitter2017", "Kein Wort", "O O", "O B-LOC"),
]
TRAIN = [("en", "cc12m", "Jeep drives", "B-ORG O", ""), ("de", "cc12m", "Rome", "B-LOC", "")]
CARD = """---
configs:
- config_name: all
  default: true
  data_files:
  - {split: train, path: data/*/train-*.parquet}
  - {split: validation, path: data/*/validation-*.parquet}
  - {split: test, path: [data/en/test-*.parquet, data/de/test-*.parquet]}
---
"""
ERROR_KINDS = ["wrong_type", "wrong_boundary", "missed", "boundary_and_type", "invented"]


class Elements(HTMLParser):
    """What a page consists of."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name: str, **attributes) -> list[dict]:
        return [found for tag, found in self.tags if tag == name and attributes.items() <= found.items()]


def png() -> bytes:
    content = BytesIO()
    Image.new("RGB", (400, 200), "teal").save(content, "PNG")
    return content.getvalue()


def make_rows(sentences, split: str) -> dict:
    """Rows by language and split: the first with a picture, the second with a broken one, the others with none."""
    rows = {("en", split): [], ("de", split): []}
    pictures = [{"bytes": png(), "path": "a.png"}, {"bytes": b"no picture", "path": "b.png"}]
    for number, (lang, source, words, gold, _) in enumerate(sentences):
        image = pictures[number] if number < 2 else None
        status = "ok" if image else "missing"
        row = {"id": f"{lang}/{split}-{number}", "tokens": words.split(), "ner_tags": gold.split(), "image": image}
        row |= {"image_id": f"{split}-{number}", "image_status": status, "lang": lang, "source": source}
        rows[lang, split].append(row)
    return rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    rows = make_rows(TRAIN, "train") | make_rows(TRAIN, "validation") | make_rows(TEST, "test")
    write_dataset(folder, rows, CARD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder.parent / "cache")
        yield str(folder)


@pytest.fixture(scope="module")
def rows_of_test(dataset):
    return load_splits(DataArguments(dataset=dataset, dataset_config="all"))["test"]


@pytest.fixture
def run(tmp_path, rows_of_test):
    """A run folder with the predictions above."""
    return write_run(tmp_path / "umt.all.seed-19", rows_of_test)


def write_run(folder, test, predictions=None, rows=TEST):
    folder.mkdir()
    gold = [row[3].split() for row in rows]
    predictions = [row[4].split() for row in rows] if predictions is None else predictions
    write_predictions(folder / "predictions_test.conll", test.select(range(len(rows))), gold, predictions)
    return folder


def make_page(run, dataset, output, *options):
    errors.main([str(run), "--dataset", dataset, "--output", str(output), *options])
    content = json.loads((output / "errors.json").read_text(encoding="utf-8"))
    return (output / "errors.html").read_text(encoding="utf-8"), content


@pytest.fixture
def made(run, dataset, tmp_path):
    return make_page(run, dataset, tmp_path / "page")


def test_the_counts_are_those_of_the_predictions(made):
    _, content = made
    overall = content["kinds"]["overall"]["all"]
    assert (content["sentences"], content["sentences_with_errors"]) == (7, 5)
    assert (overall["gold"], overall["right"]) == (6, 2) and all(overall[kind] == 1 for kind in ERROR_KINDS)
    assert content["scores"]["strict"]["f1"] == pytest.approx(2 * 2 / (6 + 6)) == overall["f1"]
    assert content["scores"]["lenient"]["f1"] == pytest.approx(2 * 2 / (6 + 7))
    assert content["entities_that_begin_with_I"] == {"gold": 0, "predicted": 1}
    by = content["kinds"]
    assert by["lang"]["en"]["missed"] == 1 and by["lang"]["de"]["missed"] == 0
    assert by["source"]["twitter2017"]["invented"] == 1 == by["type"]["LOC"]["invented"]
    assert (
        content["confusion"]["MISC"]["ORG"]
        == content["confusion"]["PER"]["O"]
        == content["confusion"]["O"]["LOC"]
        == 1
    )


def test_lenient_counting_finds_the_stray_entity(run, dataset, tmp_path):
    page, content = make_page(run, dataset, tmp_path / "page", "--scheme", "lenient")
    assert content["kinds"]["overall"]["all"]["invented"] == 2 and content["sentences_with_errors"] == 6
    assert not Elements(page).all("mark", **{"class": "stray"})


def test_every_sentence_with_errors_can_be_filtered(made):
    elements = Elements(made[0])
    assert len(elements.all("article")) == 5
    assert sorted(item["data-kind"] for item in elements.all("li") if "data-kind" in item) == sorted(ERROR_KINDS)
    (boundary,) = elements.all("li", **{"data-kind": "boundary_and_type"})
    assert (boundary["data-gold"], boundary["data-predicted"], boundary["data-suspect"]) == ("PER", "ORG", "no")
    assert {item["data-lang"] for item in elements.all("article")} == {"en", "de"}
    assert {item["name"] for item in elements.all("select")} >= {"kind", "type", "lang", "source", "suspect"}
    used = set(re.findall(r'chosen\("(\w+)"\)', (TEMPLATES / "errors.js").read_text(encoding="utf-8")))
    assert used <= {item["name"] for tag in ("select", "input") for item in elements.all(tag)}


def test_gold_and_predicted_entities_are_marked(made):
    marks = [(item["class"], item["data-type"]) for item in Elements(made[0]).all("mark")]
    assert marks.count(("right", "LOC")) == 2 and ("wrong", "MISC") in marks and ("wrong", "ORG") in marks
    assert '<mark class="wrong" data-type="LOC">New York City</mark> wins' in made[0]
    assert '<mark class="wrong" data-type="LOC">New York</mark> City wins' in made[0]


def test_pictures_are_small_and_bad_ones_are_named(made):
    page, _ = made
    (image,) = Elements(page).all("img")
    head, data = image["src"].split(",")
    with Image.open(BytesIO(b64decode(data))) as picture:
        assert head == "data:image/webp;base64" and picture.size == (160, 80) and picture.format == "WEBP"
    assert "no picture: unreadable (UnidentifiedImageError" in page and "no picture: missing" in page
    assert "0x" not in page and "4 of them have no picture" in page


def test_a_text_only_copy_is_no_broken_picture():
    assert make_thumbnail(None, "ok", 100).note == "not in this copy of the data set"
    assert make_thumbnail(None, "degenerate", 100).note == "degenerate"
    assert make_thumbnail({"bytes": png(), "path": "a"}, "default", 100).note.startswith("stand-in")


def test_hostile_words_are_text(made):
    page, _ = made
    elements = Elements(page)
    assert len(elements.all("script")) == 1 and len(elements.all("img")) == 1
    assert not any(name.startswith("on") for _, found in elements.tags for name in found)
    assert "".join(elements.text).count(HOSTILE.replace("\u202e", "<U+202E>")) >= 3


def test_one_known_script_runs_and_nothing_is_loaded(made):
    page, _ = made
    (policy,) = (item["content"] for item in Elements(page).all("meta") if "http-equiv" in item)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy and not re.search(r"https?:|url\(|@import", page)
    assert all(item["href"].startswith("#") for item in Elements(page).all("a"))


def test_a_string_with_two_types_is_a_suspect(made):
    page, content = made
    noise = content["label_noise"]
    assert [suspect["text"] for suspect in noise["suspects"]] == ["Jeep"] and noise["strings"] == 1
    assert noise["suspects"][0]["mentions"] == {"MISC": {"train": 0, "test": 1}, "ORG": {"train": 1, "test": 0}}
    assert noise["of_these_a_type_the_string_has_elsewhere"] == noise["wrong_types"] == 1
    (item,) = Elements(page).all("li", **{"data-kind": "wrong_type"})
    assert item["data-suspect"] == "yes" and "en/train-0" in page


def test_what_is_left_out_is_stated(run, dataset, tmp_path, capsys):
    page, content = make_page(run, dataset, tmp_path / "page", "--limit", "2", "--suspects", "0", "--thumbnails", "0")
    assert content["page"]["sentences_shown"] == 2 and content["page"]["sentences_left_out"] == 3
    assert content["page"]["suspects_left_out"] == 1 and "1 more are in the JSON file" in page
    assert "2 of 5 sentences with errors are shown" in page and "3 are left out" in page
    assert len(Elements(page).all("article")) == 2 and not Elements(page).all("img")
    offered = [kind for kind in ERROR_KINDS if Elements(page).all("option", value=kind)]
    assert sorted(offered) == sorted(item["data-kind"] for item in Elements(page).all("li") if "data-kind" in item)
    assert content["kinds"]["overall"]["all"]["missed"] == 1  # the counts are of all
    assert content["page"]["bytes"] == (tmp_path / "page" / "errors.html").stat().st_size
    assert "2 of 5 sentences" in capsys.readouterr().out and "This page has 0.0 MB" in page


def test_sentences_are_taken_from_all_of_the_split():
    assert evenly_spaced(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert evenly_spaced([1, 2], 5) == [1, 2] and evenly_spaced([1, 2], 0) == []


def test_a_run_without_errors_has_a_page(dataset, rows_of_test, tmp_path):
    run = write_run(tmp_path / "perfect", rows_of_test, [row[3].split() for row in TEST])
    page, content = make_page(run, dataset, tmp_path / "page")
    assert content["sentences_with_errors"] == 0 and "There are none." in page and "<script" not in page


def test_a_run_that_was_tested_on_the_first_sentences_has_a_page(dataset, rows_of_test, tmp_path):
    run = write_run(tmp_path / "short", rows_of_test, rows=TEST[:3])
    page, content = make_page(run, dataset, tmp_path / "page", "--max_eval_samples", "3")
    assert content["sentences"] == 3 and content["dataset"]["max_eval_samples"] == 3
    assert content["kinds"]["overall"]["all"]["gold"] == 4 and len(Elements(page).all("article")) == 3
    assert "tested only on the first 3 sentences" in page
    with pytest.raises(SystemExit, match=r"predictions for 3 sentences, but test has 7.*`--max_eval_samples`"):
        make_page(run, dataset, tmp_path / "other")


def test_a_whole_run_does_not_speak_of_a_limit(made):
    assert made[1]["dataset"]["max_eval_samples"] is None and "max_eval_samples" not in made[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Jeep\t", "Jeeps\t", "differ in the words of test sentence 1: the predictions are for 'Jeeps tour in Rome'"),
        ("B-MISC\tB-ORG", "B-PER\tB-ORG", "differ in the gold tags of test sentence 1"),
        ("IMGID:test-0", "IMGID:test-9", "differ in the picture of test sentence 1: .* 'test-9', .* 'test-0'"),
        ("tour\tO\tO", "tour\tO", "lines that are not word, gold and predicted tag"),
        ("IMGID:test-0", "x\tO\tO\n\nIMGID:test-0", "predictions for 8 sentences, but test has 7"),
    ],
)
def test_predictions_of_other_sentences_are_an_error(run, dataset, tmp_path, old, new, message):
    path = run / "predictions_test.conll"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SystemExit, match=message):
        make_page(run, dataset, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_what_cannot_be_done_is_an_error(run, dataset, tmp_path):
    with pytest.raises(SystemExit, match=r"no predictions_test\.conll"):
        make_page(tmp_path, dataset, tmp_path / "page")
    with pytest.raises(SystemExit):
        make_page(run, dataset, tmp_path / "page", "--limit", "-1")
    with pytest.raises(SystemExit):
        make_page(run, dataset, tmp_path / "page", "--max_eval_samples", "0")
