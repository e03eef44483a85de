"""A tenth model is its own file, a preset and one row: the copy of the project that gets them trains, saves and tabulates it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from experiments.plan import Run
from experiments.records import describe_scores, read_predictions, write_record
from experiments.tables import __main__ as tables

ROOT = Path(__file__).resolve().parents[1]
NAME = "bert-bilstm-crf"
MODULE = '''"""BERT-BiLSTM-CRF: BERT-CRF with an LSTM over the words."""

from huggingface_hub.dataclasses import strict

from .configuration_subwords import BertCRFConfig
from .modeling_bert import BertCRFModel
from .tagging import WordTagger
from .word_layers import PackedBiLSTM


@strict
class BertBiLSTMCRFConfig(BertCRFConfig):
    model_type = "bert-bilstm-crf"
    default_auto_map = {
        "AutoConfig": "modeling_bert_bilstm_crf.BertBiLSTMCRFConfig",
        "AutoModel": "modeling_bert_bilstm_crf.BertBiLSTMCRFModel",
        "AutoModelForTokenClassification": "modeling_bert_bilstm_crf.BertBiLSTMCRFForTokenClassification",
    }

    lstm_hidden_size: int = 100

    @property
    def classifier_size(self) -> int:
        return 2 * self.lstm_hidden_size


class BertBiLSTMCRFModel(BertCRFModel):
    config: BertBiLSTMCRFConfig

    def __init__(self, config, text_model=None):
        super().__init__(config, text_model)
        self.lstm = PackedBiLSTM(config.text_config.hidden_size, config.lstm_hidden_size)
        self.post_init()

    def forward(self, input_ids, attention_mask, word_positions, word_mask=None, **inputs):
        outputs = super().forward(input_ids, attention_mask, word_positions, word_mask, **inputs)
        outputs.last_hidden_state, _ = self.lstm(outputs.last_hidden_state, word_mask.sum(dim=1))
        return outputs


class BertBiLSTMCRFForTokenClassification(WordTagger):
    config: BertBiLSTMCRFConfig
    base_model_class = BertBiLSTMCRFModel
'''
IMPORT = "from .modeling_bert_bilstm_crf import BertBiLSTMCRFConfig, BertBiLSTMCRFForTokenClassification, BertBiLSTMCRFModel\n"
ROW = "    (BertBiLSTMCRFConfig, BertBiLSTMCRFModel, BertBiLSTMCRFForTokenClassification, OneImageProcessor),\n"
TEXT = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
PRESET = {"model_type": NAME, "lstm_hidden_size": 6, "text_config": {**TEXT, "intermediate_size": 32}}
RUN = ["--model", f"{NAME}-demo", "--tokenizer", "new", "--dataset", "data", "--dataset_config", "default"]
RUN += ["--num_train_epochs", "1", "--freeze", "text", "--use_cpu", "--disable_tqdm", "true", "--output_dir", "run"]
SENTENCES = [(["Anna", "Meier", "lacht"], [1, 2, 0]), (["Paris", "!"], [0, 0]), (["Anna"], [1])]
RELOAD = """
import json, sys

for name in ("modeling_2mner", "configuration_2mner", "training_2mner", "reports_2mner", "train_hf"):
    sys.modules[name] = None  # not to be imported here
from transformers import AutoModelForTokenClassification, AutoProcessor

model = AutoModelForTokenClassification.from_pretrained(sys.argv[1], trust_remote_code=True)
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
assert all(type(part).__module__.startswith("transformers_modules.") for part in (model, processor))
tags = model(**processor(json.loads(sys.argv[2]))).predictions.tolist()
print(type(model).__name__, json.dumps([[processor.labels[tag] for tag in row if tag >= 0] for row in tags]))
"""


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Path:
    """A copy of the project with a tenth model, and a tiny data set."""
    folder = tmp_path_factory.mktemp("grown")
    for name in ("train_hf.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for package in [*(path.parent for path in ROOT.glob("*/__init__.py")), ROOT / "model_cards"]:
        if package.name != "tests":
            ignored = shutil.ignore_patterns("__pycache__", "results")
            shutil.copytree(package, folder / package.name, ignore=ignored)
    code = folder / "modeling_2mner"
    (code / "modeling_bert_bilstm_crf.py").write_text(MODULE, encoding="utf-8")
    registered = (code / "__init__.py").read_text(encoding="utf-8")
    begin, rows = "from .modeling_bilstm_crf import", "_MODELS = (\n"
    registered = registered.replace(begin, IMPORT + begin).replace(rows, rows + ROW)
    (code / "__init__.py").write_text(registered, encoding="utf-8")
    settings = folder / "configuration_2mner"
    for preset in (NAME, f"{NAME}-demo"):
        (settings / "models" / f"{preset}.json").write_text(json.dumps(PRESET), encoding="utf-8")
    (settings / "runs" / f"demo-{NAME}.yaml").write_text(f"model: {NAME}-demo\n", encoding="utf-8")
    features = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=["O", "B-PER", "I-PER"]))})
    rows = [{"tokens": tokens, "ner_tags": tags} for tokens, tags in SENTENCES]
    for split in ("train", "validation", "test"):
        Dataset.from_list(rows, features=features).to_parquet(folder / "data" / f"{split}.parquet")
    return folder


@pytest.fixture(scope="module")
def run(grown) -> Path:
    """The run folder of a training step."""
    call(grown, "train_hf.py", *RUN)
    return grown / "run"


def call(folder: Path, *command: str) -> str:
    """What a new Python process prints, in which this checkout is not on the path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {"HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_tenth_model_trains_and_its_card_names_it(run):
    assert json.loads((run / "trainer_state.json").read_text(encoding="utf-8"))["global_step"] == 1
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == NAME and config["id2label"] == {"0": "O", "1": "B-PER", "2": "I-PER"}
    card = (run / "README.md").read_text(encoding="utf-8")
    assert f"an implementation of {NAME}, a model alongside 2M-NER (Wang et al., 2024), for transformers" in card
    assert "BERT for the words, no image branch" in card


def test_a_tenth_model_carries_its_code_to_a_clean_process(run, tmp_path):
    assert {"modeling_bert_bilstm_crf.py", "word_layers.py", "modeling_bert.py"} <= {p.name for p in run.iterdir()}
    words = json.dumps([tokens for tokens, _ in SENTENCES])
    name, tags = call(tmp_path, "-I", "-c", RELOAD, str(run), words).split(maxsplit=1)
    assert name == "BertBiLSTMCRFForTokenClassification"
    assert json.loads(tags) == read_predictions(run / "predictions_test.conll")[1]


def test_a_tenth_model_is_run_where_it_is_named(grown):
    chosen = [
        "--only",
        f"umt,{NAME}",
        "--languages",
        "en",
        "--seeds",
        "1",
        "--settings",
        "demo",
        "--output",
        "results",
    ]
    planned = call(grown, "-m", "experiments.run", "table5", "table7", *chosen, "--dry_run").splitlines()
    names = [line.split()[1] for line in planned[:-1]]
    assert names == [f"{system}.en.seed-19" for system in ("umt", NAME, "umt-text")]


def test_a_tenth_model_stands_in_the_tables_without_the_papers_figure(tmp_path, capsys):
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG", "O", "O"]] * 4
    test = {"lang": ["en"] * 8, "source": ["twitter2017"] * 8, "picture": list(range(8))}
    data = {"name": "mmnerd", "config": "en", "revision": None, "fingerprint": "en", "split": None}
    for model, wrong in (("bert-crf", 1), (NAME, 2)):
        predicted = [["O"] * 4] * wrong + gold[wrong:]
        scores = {"dev": describe_scores(gold, predicted)}
        run = Run(model, languages="en")
        write_record(tmp_path / f"{run.name}.json", run, data=data, test=test | scores)
    tables.main([str(tmp_path)])
    table = capsys.readouterr().out.split("## Table 5.")[1].split("\n## ")[0]
    rows = [[cell.strip().lower() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line]
    paper = {row[0]: set(row[2:]) for row in rows if row[1] == "paper"}
    assert paper["bert-crf"] != {"-"}  # so the figures of the paper are those of this data set
    assert paper[NAME] == {"-"}
    ours = rows[[row[0] for row in rows].index(NAME) + 1]
    assert ours[1] == "ours (1 run)" and "-" not in ours
