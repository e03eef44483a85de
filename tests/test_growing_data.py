"""A data set in a language, and with a type, that the paper does not have goes through every program as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForTokenClassification

import train_hf
from dataset_scripts.audit.auditing import audit_dataset, has_severity
from dataset_scripts.build.__main__ import main
from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.publish.check_folder import check_folder
from dataset_scripts.reading import read_rows
from dataset_scripts.statistics.__main__ import write_statistics
from dataset_scripts.statistics.counts import count_statistics
from dataset_scripts.to_conll import to_conll
from demo import highlight
from experiments.errors import __main__ as errors
from experiments.image_audit import __main__ as image_audit
from experiments.plan import Run, plan_runs
from experiments.records import describe_data, describe_scores, describe_sentences, read_predictions, write_record
from experiments.tables import __main__ as tables
from training_2mner.arguments import DataArguments, read_command_line
from training_2mner.data import load_splits

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
LABELS = ["O", "B-PER", "I-PER", "B-PROD", "I-PROD"]
PEOPLE = ("Anna Rossi", "Dante", "Elena Conti")
GOODS = ("Vespa", "Fiat Panda", "Nutella")
NETWORK = {
    "text_config": {"num_hidden_layers": 1, "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 32},
    "vision_config": {"num_hidden_layers": 1, "image_size": 32, "patch_size": 16, "hidden_size": 16},
    "resnet_config": {"embedding_size": 8, "hidden_sizes": [8], "depths": [1]},
}
# A new language in the table, before anything is derived from it.
APPEND = """
from reports_2mner import language_table as table
table.LANGUAGE_TABLE += (table.Language("sc", "Sardinian"),)
assert table.language_name("sc") == "Sardinian"
"""
MAKE_AND_TABULATE = """
import sys
from pathlib import Path
from dataset_scripts.mini.generator import write_mini
from experiments.tables import __main__ as tables
output, *results = map(Path, sys.argv[1:])
write_mini(output / "mini", sizes=(32, 16, 16))
for folder in results:
    tables.main([str(folder)])
"""


def sentence(number: int) -> str:
    """A sentence in the form of CoNLL files, with a person and a product."""
    lines = [f"IMGID:foto_{number}"]
    for name, kind in ((PEOPLE[number % 3], "PER"), (GOODS[number % 2 + number % 3 // 2], "PROD")):
        lines += [f"{word}\t{'I' if place else 'B'}-{kind}" for place, word in enumerate(name.split())]
        lines += [f"{word}\tO" for word in f"mostra {number}".split()]
    return "\n".join(lines) + "\n\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory, make_picture) -> Path:
    folder = tmp_path_factory.mktemp("italiano")
    text = folder / "text" / "train_valid_test_sc"
    for place in (text, folder / "images"):
        place.mkdir(parents=True)
    parts = {"train": range(8), "valid": range(8, 12), "test": range(12, 18)}
    for name, numbers in parts.items():
        conll = "".join(map(sentence, numbers))
        (text / f"{name}_conll_format.txt").write_text(conll, encoding="utf-8", newline="\n")
    for number in range(18):
        content = BytesIO()
        make_picture(number, 80, 80).save(content, "PNG")
        (folder / "images" / f"foto_{number}.jpg").write_bytes(content.getvalue())
    return folder


@pytest.fixture(scope="module")
def dataset(source) -> str:
    """The data set that the command line makes, without a word about its language or its types."""
    output = source / "mmner-sc"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", source / "cache")
        places = ["--source", str(source / "text"), "--images", str(source / "images"), "--output", str(output)]
        main([*places, "--collection", "other"])
        yield str(output)


@pytest.fixture(scope="module")
def run(dataset, source) -> Path:
    """The folder of a model that has had one epoch."""
    folder = source / "runs" / "2m-ner.sc.seed-19"
    settings = {"tokenizer": "new", "vocabulary_size": 60, "max_length": 64, "resnet_image_size": 32}
    settings |= {"model": "2m-ner-demo", "config": NETWORK, "dataset": dataset, "dataset_config": "sc"}
    settings |= {"output_dir": str(folder), "num_train_epochs": 1, "use_cpu": True, "disable_tqdm": True}
    (source / "run.yaml").write_text(json.dumps(settings), encoding="utf-8")
    train_hf.main(*read_command_line([str(source / "run.yaml")]))
    return folder


@pytest.fixture(scope="module")
def records(dataset, run, source) -> Path:
    """Records of that run, of one from another seed, and of a model that the paper does not have."""
    arguments, folder = DataArguments(dataset, "sc"), source / "records"
    test = load_splits(arguments)["test"]
    scored = {**describe_sentences(test), "dev": describe_scores(*read_predictions(run / "predictions_test.conll"))}
    for made in (Run("2m-ner", "", "sc"), Run("2m-ner", "", "sc", 20), Run("rossi-net", "", "sc")):
        write_record(folder / f"{made.name}.json", made, data=describe_data(arguments, test), test=scored)
    return folder


def test_a_build_stores_the_languages_and_types_of_its_files(dataset):
    splits = load_splits(DataArguments(dataset, "sc"))
    features = splits["train"].features
    record = json.loads(Path(dataset, "build.json").read_text(encoding="utf-8"))
    card = Path(dataset, "README.md").read_text(encoding="utf-8")
    assert (features["ner_tags"].feature.names, features["lang"].names) == (LABELS, ["sc"])
    assert (record["settings"]["languages"], record["settings"]["types"]) == (["sc"], ["PER", "PROD"])
    assert len(load_splits(DataArguments(dataset, "all"))["train"]) == 8
    assert "| language | split | sentences | words | entities | PER | PROD |" in card
    assert "Sentences in sc with one picture each and their named entities: person, PROD." in card
    assert check_folder(dataset)


def test_its_text_comes_back_byte_for_byte(dataset, source, tmp_path):
    for path in to_conll(dataset, tmp_path):
        original = source / "text" / path.relative_to(tmp_path)
        assert path.read_bytes() == original.read_bytes()


def test_languages_stand_beside_those_of_the_paper(dataset, source, tmp_path):
    copytree(source / "text" / "train_valid_test_sc", tmp_path / "text" / "train_valid_test_sc")
    copytree(source / "text" / "train_valid_test_sc", tmp_path / "text" / "train_valid_test_en")
    build_dataset(tmp_path / "text", None, tmp_path / "two", settings=BuildSettings("other"))
    rows = list(read_rows(tmp_path / "two", ["lang", "ner_tags"]))
    assert [row["lang"] for row in rows] == ["en"] * 18 + ["sc"] * 18
    assert {tag for row in rows for tag in row["ner_tags"]} == set(LABELS)
    assert pq.read_metadata(tmp_path / "two/data/sc/test-00000-of-00001.parquet").num_rows == 6
    assert "config_name: en_sc" in (tmp_path / "two" / "README.md").read_text(encoding="utf-8")


def test_data_of_no_other_types_keep_the_numbers_of_the_paper(source, tmp_path):
    text = tmp_path / "text" / "train_valid_test_sc"
    copytree(source / "text" / "train_valid_test_sc", text)
    for path in text.iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace("PROD", "ORG"), encoding="utf-8", newline="\n")
    build_dataset(tmp_path / "text", None, tmp_path / "set", settings=BuildSettings("other"))
    names = load_splits(DataArguments(str(tmp_path / "set"), "sc"))["train"].features["ner_tags"].feature.names
    assert names == ["O", *(f"{part}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for part in "BI")]


@pytest.mark.parametrize("settings", [BuildSettings("other", types=("PER", "LOC")), BuildSettings("mmnerd")])
def test_named_types_refuse_all_others(source, tmp_path, settings):
    copytree(source / "text" / "train_valid_test_sc", tmp_path / "text" / "train_valid_test_en")
    with pytest.raises(ValueError, match=r":6: unknown tag: 'B-PROD'; known are O, B-PER, "):
        build_dataset(tmp_path / "text", None, tmp_path / "set", settings=settings)


@pytest.mark.parametrize("languages", [("italiano",), ("all",), ()])
def test_languages_must_look_like_codes(languages):
    with pytest.raises(ValueError, match="`languages` must be codes such as en and it"):
        BuildSettings("other", languages)


def test_the_audit_knows_its_tags(dataset):
    report = audit_dataset(dataset)
    assert not has_severity(report.findings, "error")
    assert report.counts["sc"]["test"] == {"rows": 6, "words": report.counts["sc"]["test"]["words"], "entities": 12}


def test_statistics_have_no_figures_of_the_paper(dataset, tmp_path):
    statistics = count_statistics(dataset)
    paths = write_statistics(statistics, tmp_path)
    content = json.loads((tmp_path / "statistics.json").read_text(encoding="utf-8"))
    markdown = (tmp_path / "statistics.md").read_text(encoding="utf-8")
    assert all(path.stat().st_size for path in paths)
    assert {comparison["paper"] is None for comparison in content["table_2"]} == {True}
    assert content["table_2"][2]["spans"] == {"PER": 6, "PROD": 6, "total": 12, "sentences": 6}
    assert "Table 2: sc" in markdown and "The types (PER, PROD) are not the paper's" in markdown


def test_a_model_learns_its_tags(run):
    config = AutoModelForTokenClassification.from_pretrained(run).config
    results = json.loads((run / "all_results.json").read_text(encoding="utf-8"))
    assert config.labels == LABELS
    assert {"test_f1_PER", "test_f1_PROD"} <= set(results) and "test_f1_LOC" not in results
    assert "language: sc" in (run / "README.md").read_text(encoding="utf-8").replace("language:\n- sc", "language: sc")


def test_runs_of_it_can_be_planned():
    runs = plan_runs(["table5"], only=["bert"], languages=["sc", "all"])
    assert [run.languages for run in runs] == ["all", "sc"]
    assert [run.languages for run in plan_runs(["table6"], languages=["sc", "en_sc"])] == ["sc", "en_sc"]
    with pytest.raises(ValueError, match="`languages` names 'it_en'"):
        plan_runs(["table6"], languages=["it_en"])


def test_its_runs_stand_in_the_tables(records, capsys):
    tables.main([str(records)])
    text = capsys.readouterr().out
    assert "| Model | Figures | PER | PROD | P | R | F1 |" in text and "**Training and test: sc**" in text
    assert "2M-NER | ours (2 runs)" in text and "rossi-net | ours (1 run)" in text
    assert "The paper's figures are left out" in text and "English" not in text
    assert (records / "table5.png").is_file() and "PROD" in (records / "tables.tex").read_text(encoding="utf-8")


def test_its_errors_have_a_page(dataset, run, tmp_path):
    errors.main([str(run), "--dataset", dataset, "--dataset_config", "sc", "--output", str(tmp_path)])
    content = json.loads((tmp_path / "errors.json").read_text(encoding="utf-8"))
    assert list(content["confusion"]) == ["PER", "PROD", "O"]
    assert "PROD" in (tmp_path / "errors.html").read_text(encoding="utf-8")


def test_its_pictures_are_audited(dataset, run, tmp_path):
    image_audit.main([str(run), "--dataset", dataset, "--dataset_config", "sc", "--output", str(tmp_path)])
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert list(content["groups"]["type"]) == ["PER", "PROD"]


def test_the_demo_shows_its_types_in_colours_of_their_own(run):
    config = AutoModelForTokenClassification.from_pretrained(run).config
    types = list(dict.fromkeys(label[2:] for label in config.labels[1:]))
    entity = {"entity_group": "PROD", "score": 1.0, "word": "Vespa", "start": 0, "end": 5}
    html = highlight.show("The words alone", "Vespa", [entity], types)
    assert f'<mark style="background: {highlight.MORE_COLOURS[0]}">Vespa<small> PROD</small></mark>' in html


def test_a_model_without_figures_in_the_paper_has_none_beside_it(tmp_path, capsys):
    """Also where the data are the paper's, and those of other models stand there."""
    for name in ("bert.en.seed-19", "bilstm-crf.en.seed-19"):
        content = (RESULTS / "mmnerd_en" / f"{name}.json").read_text(encoding="utf-8")
        (tmp_path / f"{name}.json").write_text(content, encoding="utf-8")
    content = json.loads((tmp_path / "bert.en.seed-19.json").read_text(encoding="utf-8"))
    content["run"]["model"] = "tenth"
    (tmp_path / "tenth.en.seed-19.json").write_text(json.dumps(content), encoding="utf-8")
    tables.main([str(tmp_path)])
    text = capsys.readouterr().out
    assert f"| tenth | paper |{' - |' * 7}\n|  | ours (1 run) |" in text
    assert "| BiLSTM-CRF | paper | 86.23 | 50.15 | 56.63 | 64.18 | 64.73 | 60.76 | 62.68† |" in text
    assert "\n† computed from the paper's precision and recall" in text
    assert r"62.68$^\dagger$" in (tmp_path / "tables.tex").read_text(encoding="utf-8")


def test_a_new_language_of_the_project_leaves_all_that_is_there_as_it_is(tmp_path):
    made = {}
    for name, change in (("without", ""), ("with", APPEND)):
        folder = tmp_path / name
        shipped = copytree(RESULTS / "mini_improvements", folder / "results")
        command = [sys.executable, "-c", change + MAKE_AND_TABULATE, str(folder), str(shipped)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        made[name] = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    assert made["with"] == made["without"]
    assert {Path("mini/README.md"), Path("results/tables.md"), Path("results/table5.png")} <= set(made["with"])
    for path in (RESULTS / "mini_improvements").iterdir():
        assert made["with"][Path("results", path.name)] == path.read_bytes(), path.name
