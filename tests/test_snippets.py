"""What README.md and docs/recipes.md tell a reader to write runs as it stands, on a tiny data set and a tiny model.

Python is run, section by section; of the commands those that need nothing but the reader's folder. All others are read by
the program that they call, so that no option is misspelt.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import torch
import yaml

import train_hf
from dataset_scripts.parquet import write_dataset
from modeling_2mner.handler import EndpointHandler
from training_2mner.arguments import read_command_line

ROOT = Path(__file__).resolve().parents[1]
README, RECIPES = ROOT / "README.md", ROOT / "docs" / "recipes.md"
OTHER_PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path != RECIPES)
HEADING = re.compile(r"^#{2,3} (.*)$", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS = ["Everyone", "is", "talking", "about", "Santiago", "today", "."]
TAGS = ["O"] * 4 + ["B-LOC", "O", "O"]
TINY = {
    "text_config": {"num_hidden_layers": 1, "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 32},
    "vision_config": {"num_hidden_layers": 1, "image_size": 32, "patch_size": 16, "hidden_size": 16},
    "resnet_config": {"embedding_size": 8, "hidden_sizes": [8], "depths": [1]},
}


def sections(page: Path) -> dict[str, list[tuple[str, str]]]:
    """The fenced blocks below each heading: their language and content."""
    _, *parts = HEADING.split(page.read_text("utf-8"))
    return {title: FENCE.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def python(page: Path, title: str) -> list[str]:
    return [code for language, code in sections(page)[title] if language == "python"]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line in fenced blocks without Python, without variables and `&` around it."""
    for blocks in sections(page).values():
        for language, code in blocks:
            if language in ("", "bash"):
                for line in code.replace("\\\n", " ").splitlines():
                    for part in re.sub(r"^(\w+=\S+ )+|&$", "", line).split(" && "):
                        if words := shlex.split(part, comments=True):
                            yield words


def write_data_set(folder: Path, picture: bytes) -> None:
    rows = {}
    for split, count in {"train": 8, "validation": 4, "test": 4}.items():
        rows["en", split] = [
            {
                "id": f"en/{split}{number}",
                "tokens": WORDS if number % 2 else ["Maria", "sings"],
                "ner_tags": TAGS if number % 2 else ["B-PER", "O"],
                "image": {"bytes": picture, "path": f"{number}.jpg"} if number % 4 else None,
                "image_id": f"{split}{number}",
                "image_status": "ok" if number % 4 else "missing",
                "lang": "en",
                "source": "synthetic",
            }
            for number in range(count)
        ]
    files = [{"split": split, "path": f"data/en/{split}-*.parquet"} for _, split in rows]
    card = {"configs": [{"config_name": name, "data_files": files} for name in ("all", "en")]}
    write_dataset(folder, rows, f"---\n{yaml.safe_dump(card)}---\n")


def write_own_data(folder: Path, pictures: list) -> None:
    """`sentences.conll` and `photos`, as docs/dataset.md describes them."""
    (folder / "photos").mkdir()
    lines = []
    for number in range(20):
        pictures[number % 3].save(folder / "photos" / f"harbour_{number}.jpg")
        lines += [f"IMGID:harbour_{number}", "The O", f"Vespa{number} B-SHIP", "leaves O", "Genova B-PORT", ""]
    (folder / "sentences.conll").write_text("\n".join(lines), "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures, keep_caches_in) -> Iterator[Path]:
    """The working folder of a reader after `make demo`, with sentences and photos of their own."""
    folder = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        keep_caches_in(folder, patch)
        patch.chdir(folder)
        (folder / "configuration_2mner").symlink_to(ROOT / "configuration_2mner")
        buffer = BytesIO()
        pictures[0].save(buffer, "JPEG")
        write_data_set(folder / "mmnerd-mini", buffer.getvalue())
        shutil.copytree("mmnerd-mini", "mmnerd")
        write_own_data(folder, pictures)
        (folder / "sentences.jsonl").write_text(json.dumps({"text": " ".join(WORDS)}) + "\n", "utf-8")
        settings = ["--model", "2m-ner-demo", "--tokenizer", "new", "--vocabulary_size", "60", "--max_length", "64"]
        settings += ["--resnet_image_size", "32", "--config", json.dumps(TINY), "--learning_rate", "1e-2"]
        train("--dataset", "mmnerd-mini", "--output_dir", "runs/demo", "--num_train_epochs", "2", *settings)
        for number in (1, 2):
            pictures[number].save(folder / "runs" / "demo" / f"example-{number}.jpg")
        yield folder


@pytest.fixture
def here(folder, monkeypatch) -> Path:
    """Work in the reader's folder."""
    monkeypatch.chdir(folder)
    return folder


def train(*words: str) -> dict[str, float]:
    return train_hf.main(*read_command_line([*words, "--use_cpu", "True", "--disable_tqdm", "True"]))


def run_python(page: Path, *titles: str) -> dict:
    """Run the snippets of sections, one after the other; returns what they named."""
    names: dict = {}
    for title in titles:
        for code in python(page, title):
            exec(compile(code, f"{page.name}, {title}", "exec"), names)
    return names


def with_pictures(names: dict) -> None:
    assert names["one"].image_status == "ok" and names["several"].image_status == ["ok", "ok"]
    assert names["none"].image_status == "missing" and len(names["many"]) == 2


def uncertain(names: dict) -> None:
    assert all(entity["score"] >= 0.9 for entity in names["certain"]) and names["reading"]["score"] > 0


def likely(names: dict) -> None:
    assert all(entity["score"] > 0.4 for entity in names["likely"])
    assert names["likely"].image_status == "ok"


def bad_pictures(names: dict) -> None:
    assert names["found"].image_status == "unreadable"


def mapped(names: dict) -> None:
    one, batched = (names[name].remove_columns("image").to_list() for name in ("one_by_one", "in_batches"))
    assert len(one) == 4
    for row, other in zip(one, batched, strict=True):
        for entity in row["entities"] + other["entities"]:
            entity["score"] = round(entity["score"], 4)
        assert row == other


def in_pandas(names: dict) -> None:
    found = sum(map(len, names["frame"]["entities"]))
    assert len(names["table"]) == found and (not found or {"text", "entity_group", "start"} <= set(names["table"]))


def streamed(names: dict) -> None:
    assert all(any(each["entity_group"] == "PER" for each in found) for found in names["people"])


def halved(names: dict) -> None:
    model = names["half"].model
    assert {weight.dtype for weight in model.crf.parameters()} == {torch.float32}
    assert model.classifier.weight.dtype == torch.bfloat16


def drafted(names: dict) -> None:
    assert names["quick"].image_status == "ok" and names["pipe"].processor.draft_side is None


def in_eight_bits(names: dict) -> None:
    assert names["fast"].model is names["small"]
    assert [layer for layer in names["small"].modules() if "quantized" in type(layer).__module__]
    assert not [layer for layer in names["pipe"].model.modules() if "quantized" in type(layer).__module__]


def in_spacy(names: dict) -> None:
    assert names["doc"].text == "Everyone is talking about Santiago, today."
    spans = [(entity["entity_group"], entity["word"]) for entity in names["answer"]["entities"]]
    assert [(span.label_, span.text) for span in names["doc"].ents] == spans


def stepwise(names: dict) -> None:
    assert names["batch"]["image_status"] == ["ok"]


PREDICT = {
    "With one picture, several, or none": with_pictures,
    "Leave out uncertain entities, or see the alternatives": uncertain,
    "A higher F1 from the same model": likely,
    "Pictures that cannot be used": bad_pictures,
    "A `Dataset`, row by row or in batches": mapped,
    "pandas": in_pandas,
    "A stream": streamed,
    "Half precision": halved,
    "Large photographs": drafted,
    "Eight-bit weights on a CPU": in_eight_bits,
    "spaCy documents from word tags": in_spacy,
    "Step by step, without the pipeline": stepwise,
}


def reloads(place: str):
    def check(_: dict) -> None:
        from transformers import AutoModelForTokenClassification, AutoProcessor

        model = AutoModelForTokenClassification.from_pretrained(place)
        assert AutoProcessor.from_pretrained(place).labels == model.config.labels

    return check


def decoded(names: dict) -> None:
    told = names["plain"].predict(names["data"]["test"])
    assert told.predictions.shape == told.label_ids.shape
    assert ((told.predictions == -100) == (told.label_ids == -100)).all()
    reloads("runs/plain")(names)


def own_scores(names: dict) -> None:
    assert {"eval_f1", "eval_sentences_right"} <= set(names["scores"])


def contrasted(names: dict) -> None:
    assert {"crf_loss", "vit_contrastive_loss", "resnet_contrastive_loss"} <= set(names["parts"])
    reloads("runs/accelerate")(names)


TRAIN = {
    "transformers' own Trainer": decoded,
    "Scores of one's own": own_scores,
    "A loop with accelerate": contrasted,
    "LoRA": reloads("runs/lora"),
}


def test_every_recipe_in_python_is_run():
    known = {"Predict", "In Python", *PREDICT, *TRAIN}
    assert {title for title in sections(RECIPES) if python(RECIPES, title)} == known


@pytest.mark.parametrize("title", PREDICT)
def test_a_recipe_to_predict(here, title):
    if "spaCy" in title:
        pytest.importorskip("spacy", reason="no spaCy: pip install '2m-ner[spacy]'")
    PREDICT[title](run_python(RECIPES, "Predict", title))


@pytest.mark.parametrize("title", TRAIN)
def test_a_recipe_to_train(here, title):
    if title == "LoRA":
        pytest.importorskip("peft", reason="no PEFT: pip install '2m-ner[lora]'")
    TRAIN[title](run_python(RECIPES, "In Python", title))


def test_the_python_of_the_readme(here):
    for title in [title for title in sections(README) if python(README, title)]:
        names = run_python(README, title)
        assert names["pipe"].model.config.labels


def test_an_export_runs_in_python(here):
    pytest.importorskip("openvino", reason="no OpenVINO: pip install '2m-ner[openvino]'")
    names = run_python(ROOT / "docs" / "export.md", "Running it")
    assert names["outputs"].predictions.shape == (1, 6)


def test_the_released_network_is_built_as_its_page_says(make_model, tokenizer, tmp_path, monkeypatch):
    """On folders that are called what the encoders are called on the Hub."""
    monkeypatch.chdir(tmp_path)
    parts = make_model(vision_config={"hidden_size": 16}).model  # as wide as the text encoder, as the release needs it
    for part in (parts.text_model, tokenizer):
        part.save_pretrained("google-bert/bert-base-multilingual-cased")
    parts.vision_model.save_pretrained("openai/clip-vit-base-patch32")
    parts.resnet_model.save_pretrained("microsoft/resnet-152")
    run_python(ROOT / "docs" / "paper-vs-release.md", "Training the released network")
    reloads("released")({})


def test_no_page_has_python_that_no_test_runs():
    run = {
        "README.md": None,
        "recipes.md": None,
        "paper-vs-release.md": None,
        "export.md": None,
        "other-programs.md": "test_other_programs.py",
        "dataset.md": "dataset_scripts/test_loading.py",
    }
    pages = [README, RECIPES, *OTHER_PAGES]
    having = {page.name for page in pages if any(python(page, title) for title in sections(page))}
    assert having == set(run)
    for page, test in run.items():
        assert test is None or page in (ROOT / "tests" / test).read_text("utf-8")


def is_run(words: list[str]) -> bool:
    """Whether a command needs nothing but the reader's folder."""
    if words[:2] == ["python", "train_hf.py"]:
        return "runs/demo" in words
    runs = ("training_2mner.calibrate", "training_2mner.evaluate", "training_2mner.predict", "dataset_scripts.build")
    needs_more = {"MMNERD", "TWEETS", "runs/english-multilingual"} & set(
        words
    )  # the authors' files, and what is made of them
    return words[:2] == ["python", "-m"] and words[2] in runs and not needs_more


@pytest.mark.parametrize("page", [README, RECIPES], ids=["README", "recipes"])
def test_the_commands(here, page, monkeypatch, tmp_path):
    """In order, in a copy of the reader's folder."""
    for name in ("mmnerd-mini", "runs", "photos", "sentences.conll", "sentences.jsonl"):
        source, copy = here / name, tmp_path / name
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    (tmp_path / "configuration_2mner").symlink_to(ROOT / "configuration_2mner")
    monkeypatch.chdir(tmp_path)
    ran = 0
    for words in commands(page):
        if not is_run(words):
            read_words(words)
            continue
        ran += 1
        if words[1] == "train_hf.py":
            train(*words[2:], "--num_train_epochs", "1")
            assert (Path(words[words.index("--output_dir") + 1]) / "predictions_test.conll").is_file()
        else:
            importlib.import_module(f"{words[2]}.__main__").main(words[3:])
    assert ran >= 3


def read_words(words: list[str]) -> None:
    """Have the program of a command read its options, or see that the thing exists that the command names."""
    if words[0] == "torchrun":
        words = ["python", *words[words.index("train_hf.py") :]]
    if words[:2] == ["python", "train_hf.py"]:
        if "--help" not in words:
            read_command_line(words[2:])
    elif words[:2] == ["python", "-m"] and words[2] != "venv":
        package = importlib.import_module(words[2])
        module = importlib.import_module(f"{words[2]}.__main__") if hasattr(package, "__path__") else package
        module.read_command_line(words[3:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    elif words[0] == "curl":
        payload = json.loads(words[words.index("-d") + 1])
        answer = EndpointHandler("runs/demo")(payload)
        assert {"entities", "image_status"} <= set(answer)
    else:
        assert words[0] in ("pip", "source") or words[1:3] == ["-m", "venv"], words


@pytest.mark.parametrize("page", OTHER_PAGES, ids=lambda page: page.name)
def test_the_commands_of_another_page_are_understood(page, here, capsys):
    """What begins with one of the project's programs; a word that a shell would have to compute is left out."""
    for words in commands(page):
        starts_ours = words[:2] == ["python", "train_hf.py"] or words[:2] == ["python", "-m"] or words[0] == "torchrun"
        if starts_ours and not any("$(" in word for word in words):
            try:
                read_words(words)
            except SystemExit as ended:
                pytest.fail(f"{shlex.join(words)}: {capsys.readouterr().err}") if ended.code else None


@pytest.mark.parametrize("page", [README, RECIPES, *OTHER_PAGES], ids=lambda page: page.name)
def test_extras_that_texts_name_exist(page):
    project = (ROOT / "pyproject.toml").read_text("utf-8").split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = re.findall(r"^(\w+) = ", project, re.MULTILINE)
    named = re.findall(r"pip install [^`\n]*'(?:2m-ner|\.)\[([\w,]+)\]'", page.read_text("utf-8"))
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


def test_the_readme_is_short_and_begins_with_use_data_and_training():
    text = README.read_text("utf-8")
    titles = HEADING.findall(text)
    assert len(text.split()) < 1500
    first = [titles.index(title) for title in ("Use a model", "Your own data", "Train")]
    assert first == sorted(first) and first[-1] < titles.index("Reproduce the paper")
    for title in ("Use a model", "Your own data", "Train"):
        section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
        lines = [line for line in section.splitlines() if line.strip() and not line.startswith("```")]
        assert len(lines) <= 10, title
