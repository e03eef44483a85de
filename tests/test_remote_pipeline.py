"""Checkpoints answer by themselves: pipeline and handler work where this project does not exist, however saved."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from modeling_2mner import TwoMNERForTokenClassification, TwoMNERPipeline, TwoMNERProcessor, handler
from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.trainer import TwoMNERTrainer

CHILD = Path(__file__).with_name("load_remote_pipeline.py")
QUESTIONS = {
    "sentences": [
        {"text": "L'équipe de Köln, à Paris!", "image": ["0.png"]},
        {"words": ["Anna", "Meier", "wohnt", "in", "Köln"], "image": []},
        {"text": "Anna 😀 São Paulo, le Louvre", "image": ["0.png", "1.png"]},
    ],
    "parameters": [{"threshold": 0.3}, {"n_best": 3, "return_word_tags": True}],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, make_model, processor, sentences, tags, pictures) -> list[Path]:
    """A model saved in each way there is."""
    root = tmp_path_factory.mktemp("saved models")  # the blank is part of the test
    for part in (make_model(), processor):
        part.save_pretrained(root / "parts")
    no_pictures = make_model(use_vit=False, use_resnet=False, use_crf=False)
    TwoMNERPipeline(model=no_pictures, processor=processor, device="cpu").save_pretrained(root / "pipeline")
    rows = [{"tokens": words, "ner_tags": row, "image": None} for words, row in zip(sentences, tags, strict=True)]
    trainer = TwoMNERTrainer(
        model=make_model(),
        args=TwoMNERTrainingArguments(
            output_dir=str(root / "run"),
            max_steps=1,
            save_strategy="steps",
            save_steps=1,
            eval_strategy="no",
            load_best_model_at_end=False,
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        data_collator=TwoMNERDataCollator(processor),
        processing_class=processor,
    )
    trainer.train()
    folders = [root / "parts", root / "pipeline", root / "run" / "checkpoint-1"]
    for folder in folders:
        add_questions(folder, pictures)
    return folders


def add_questions(folder: Path, pictures: list) -> None:
    """Write questions into a folder, and what the project itself answers."""
    for number in (0, 1):
        pictures[number].save(folder / f"{number}.png")
    (folder / "questions.json").write_text(json.dumps(QUESTIONS), encoding="utf-8")
    model = TwoMNERForTokenClassification.from_pretrained(folder)
    pipe = TwoMNERPipeline(model=model, processor=TwoMNERProcessor.from_pretrained(folder), device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handler, "pipeline", lambda *_, **__: pipe)
        endpoint = handler.EndpointHandler(str(folder))
    paths, encoded = (
        [
            {**sentence, "image": [give(folder / name) for name in sentence["image"]]}
            for sentence in QUESTIONS["sentences"]
        ]
        for give in (str, lambda path: base64.b64encode(path.read_bytes()).decode())
    )
    answers = {
        "pipeline": [pipe(paths, **each) for each in QUESTIONS["parameters"]],
        "handler": [endpoint({"inputs": encoded, "parameters": each}) for each in QUESTIONS["parameters"]],
    }
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def run_without_project(folders: list[Path], cache: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", str(CHILD), *map(str, folders)]
    done = subprocess.run(
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def code_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.py")}


def test_every_saved_folder_has_the_code_of_pipeline_and_handler(folders):
    for folder in folders:
        assert {"pipeline_2mner.py", "posteriors.py", "image_sources.py", "handler.py"} <= set(code_of(folder))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert list(config["custom_pipelines"]) == ["multimodal-ner"]


def test_saved_folders_answer_without_this_project(folders, tmp_path):
    run_without_project(folders, tmp_path / "first")
    again = [folder / kind for folder in folders for kind in ("again-parts", "again-pipeline")]
    assert all(code_of(copy) == code_of(copy.parent) for copy in again)
    run_without_project(again, tmp_path / "second")
