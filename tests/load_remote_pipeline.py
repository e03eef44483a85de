"""Answer by pipelines and handlers from saved folders alone; `test_remote_pipeline.py` runs this in processes of its own.

Arguments: folders, each with a checkpoint, `questions.json`, `answers.json` and the pictures that the questions name. Each
pipeline is saved again in two ways, into `again-parts` and `again-pipeline` in its folder, if it is no such copy itself.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path
from runpy import run_path

from datasets.fingerprint import Hasher
from transformers import Pipeline, pipeline

COMPANIONS = ("questions.json", "answers.json", "0.png", "1.png")


Blocked = run_path(str(Path(__file__).with_name("load_remote_code.py")))["Blocked"]


def refuses_code_that_is_not_trusted(folder: Path) -> None:
    for task in ("multimodal-ner", None):
        for trust in ({}, {"trust_remote_code": False}):
            try:
                pipeline(task, model=str(folder), **trust)
            except ValueError as error:
                assert "trust_remote_code" in str(error), error
            else:
                raise AssertionError(f"the pipeline {task} of {folder} ran code that was not trusted")


def read_questions(folder: Path, give_picture) -> tuple[list[dict], list[dict]]:
    questions = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    for sentence in questions["sentences"]:
        pictures = [give_picture(folder / name) for name in sentence["image"]]
        sentence["image"] = pictures if len(pictures) != 1 else pictures[0]
    return questions["sentences"], questions["parameters"]


def ask_pipeline(pipe: Pipeline, folder: Path) -> list:
    sentences, parameters = read_questions(folder, str)
    assert pipe(sentences, num_workers=1) == [pipe(sentence) for sentence in sentences]
    return [pipe(sentences, **each) for each in parameters]


def ask_handler(module, folder: Path) -> list:
    sentences, parameters = read_questions(folder, lambda path: base64.b64encode(path.read_bytes()).decode())
    handler = module.EndpointHandler(str(folder))
    return [handler({"inputs": sentences, "parameters": each}) for each in parameters]


def import_handler(folder: Path):
    """Import `handler.py` by its path, as Inference Endpoints do."""
    spec = importlib.util.spec_from_file_location("handler", folder / "handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def can_be_hashed(pipe: Pipeline) -> None:
    """As `Dataset.map` does with a function that uses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Hasher.hash(pipe) == Hasher.hash(pipe)


def load_and_compare(folder: Path, *tasks: str | None) -> Pipeline:
    """Compare bit by bit with what the project itself answered."""
    expected = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    for task in tasks:
        pipe = pipeline(task, model=str(folder), trust_remote_code=True, device="cpu")
        for part in (pipe, pipe.model, pipe.processor):
            assert type(part).__module__.startswith("transformers_modules."), type(part)
        assert pipe.task == "multimodal-ner"
        can_be_hashed(pipe)
        assert ask_pipeline(pipe, folder) == expected["pipeline"], folder
    assert ask_handler(import_handler(folder), folder) == expected["handler"], folder
    return pipe


def save_again(pipe: Pipeline, folder: Path) -> None:
    for part in (pipe.model, pipe.processor):
        part.save_pretrained(folder / "again-parts")
    pipe.save_pretrained(folder / "again-pipeline")
    for again in ("again-parts", "again-pipeline"):
        for name in COMPANIONS:
            shutil.copy(folder / name, folder / again / name)


def main() -> None:
    """Check every folder, and save what it holds again."""
    sys.meta_path.insert(0, Blocked)
    for folder in map(Path, sys.argv[1:]):
        if folder.name.startswith("again-"):
            load_and_compare(folder, "multimodal-ner")
        else:
            refuses_code_that_is_not_trusted(folder)
            save_again(load_and_compare(folder, "multimodal-ner", None), folder)


if __name__ == "__main__":
    main()
