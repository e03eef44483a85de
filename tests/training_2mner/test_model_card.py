from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from datasets import DatasetDict
from huggingface_hub import ModelCard

from modeling_2mner import LABELS
from reports_2mner.language_table import LANGUAGE_TABLE, Language
from training_2mner.arguments import DataArguments, ModelArguments
from training_2mner.evaluation import results_table
from training_2mner.model_card import changed_settings, write_model_card

RESULTS = {
    "train_runtime": 12.3,
    "eval_precision": 0.6,
    "eval_f1": 0.71239,
    "test_precision": 0.5,
    "test_recall": 0.25,
    "test_f1": 1 / 3,
    "test_f1_PER": 0.125,
    "test_lenient_precision": 0.6,
    "test_lenient_f1": 0.40004,
    "test_lang_en_precision": 0.75,
    "test_lang_en_f1": 0.61239,
    "test_source_cc12m_precision": 1.0,
    "test_source_cc12m_lenient_precision": 1.0,
}


@pytest.fixture
def write_card(make_trainer, splits, tmp_path):
    """Save `all_results.json` and write the card of a run; returns the card and the results."""

    def write(
        model=None, data=None, sets=splits, network=None, results=RESULTS, state=None, at="run", **settings
    ) -> tuple[ModelCard, dict]:
        trainer = make_trainer(network, **settings)
        vars(trainer.state).update(state or {})
        trainer.save_metrics("all", results)
        data = data or DataArguments(dataset="mmnerd")
        write_model_card(trainer, model or ModelArguments(), data, sets, results)
        folder = tmp_path / at
        return ModelCard.load(folder / "README.md"), json.loads((folder / "all_results.json").read_text("utf-8"))

    return write


@pytest.fixture
def data_folder_with_record(tmp_path):
    """A data set folder's card and record as the builder writes them, without its data."""
    folder = tmp_path / "mmnerd"
    folder.mkdir()
    configs = [{"config_name": name, "description": f"Files {name}0123456789"} for name in ("all", "en")]
    card = {"license": "other", "license_name": "mixed-see-license", "configs": configs}
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n", encoding="utf-8")
    leaks = [{"config": "all", "split": "test", "rows": 4291, "pictures": 3900, "texts": 12}]
    leaks += [{"config": "en", "split": "test", "rows": 2533, "pictures": 7, "texts": 0}]
    record = {"settings": {"split": "paper", "seed": 19}, "leaks": leaks, "files": {}}
    (folder / "build.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_model_index_holds_the_numbers_of_the_results(write_card):
    card, results = write_card()
    entries = {entry.metric_name: entry for entry in card.data.eval_results}

    assert entries["F1 (strict)"].metric_value == pytest.approx(100 * results["test_f1"], abs=0.006)
    assert entries["F1 (lenient)"].metric_value == pytest.approx(100 * results["test_lenient_f1"], abs=0.006)
    assert set(entries) == {"F1 (strict)", "F1 (lenient)", "Precision (strict)", "Recall (strict)"}
    assert {entry.metric_type for entry in entries.values()} == {"f1", "precision", "recall"}
    assert {entry.dataset_split for entry in entries.values()} == {"test"}
    assert {entry.dataset_config for entry in entries.values()} == {"all"}


def test_metadata(write_card):
    card, _ = write_card()

    assert card.data.language == ["en", "fr"]  # those of the training sentences, not all of the schema
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "token-classification")
    assert card.data.model_name == "run"
    assert [set(example) for example in card.data.widget] == [{"text", "example_title"}] * 2
    assert [example["example_title"] for example in card.data.widget] == ["English", "French"]
    assert card.data.datasets is None and card.data.license is None  # neither a Hub id nor a licence was told


def test_the_licence_is_that_of_the_arguments(write_card):
    card, _ = write_card(ModelArguments(license="cc-by-nc-4.0"))

    assert card.data.license == "cc-by-nc-4.0"
    assert "The weights: `cc-by-nc-4.0`." in card.text and "None is stated" not in card.text


def test_text_tells_data_results_and_training(write_card, make_trainer):
    card, _ = write_card(learning_rate=3e-4, freeze=["vit"], seed=0, encoder_learning_rate=0.0)

    assert "24 train, 7 validation, 9 test sentences (12 cc12m in train, 12 twitter2017 in train)" in card.text
    assert results_table(RESULTS, LABELS) in card.text
    assert f"Validation:\n\n{results_table(RESULTS, LABELS, 'eval')}\n" in card.text
    assert "- training time: 12 s\n" in card.text and "- hardware: cpu (" in card.text
    for line in ("- learning_rate: 0.0003", "- freeze: ['vision']", "- seed: 0", "- encoder_learning_rate: 0.0"):
        assert line in card.text
    assert (
        card.text.index("- learning_rate")
        < card.text.index("Some at their defaults")
        < card.text.index("- plain_adam")
    )
    assert "a ViT and a ResNet for the picture, a CRF" in card.text
    assert "strict: the tags must be valid IOB2" in card.text and "Lenient F1" in card.text
    assert "{{" not in card.text and "{%" not in card.text and ": None" not in card.text


def test_a_missing_figure_is_left_out(write_card):
    card, _ = write_card(results={"test_precision": 0.5, "test_f1": 0.5})

    assert "training time" not in card.text and "sentences a second" not in card.text
    assert "Validation:" not in card.text and "epoch" not in card.text.split("## Training")[0]
    assert [entry.metric_name for entry in card.data.eval_results] == ["F1 (strict)", "Precision (strict)"]


def test_the_chosen_epoch(write_card):
    history = [{"step": 3, "epoch": 1.0, "eval_f1": 0.5}, {"step": 6, "epoch": 2.0, "eval_f1": 0.4}]
    state = {"log_history": history, "best_global_step": 3}
    settings = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    card, _ = write_card(state=state, num_train_epochs=2, **settings)

    assert "The weights are those of epoch 1 of 2, the best on validation by `f1`." in card.text


def test_names_of_sources_cannot_leave_their_cell(make_trainer):
    results = {f"test_source_my|own_{score}": 0.5 for score in ("precision", "recall", "f1", "lenient_f1")}
    line = results_table(results, LABELS).splitlines()[-1]
    assert line.startswith(r"| source my\|own | 50.00 | 50.00 | 50.00 | ")


def test_results_table():
    assert results_table(RESULTS, LABELS).splitlines() == [
        "| Sentences | Precision | Recall | F1 | PER | LOC | ORG | MISC | lenient F1 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| all | 50.00 | 25.00 | 33.33 | 12.50 | - | - | - | 40.00 |",
        "| lang en | 75.00 | - | 61.24 | - | - | - | - | - |",
        "| source cc12m | 100.00 | - | - | - | - | - | - | - |",
    ]
    assert results_table(RESULTS, LABELS, "eval").splitlines()[2:] == [
        "| all | 60.00 | - | 71.24 | - | - | - | - | - |"
    ]


def test_labels_come_with_their_most_frequent_names(write_card, make_dataset, make_row):
    rows = [make_row(["Köln", "und", "Paris"], ["B-LOC", "O", "B-LOC"])] + [make_row(["Paris"], ["B-LOC"])] * 2
    rows += [make_row(["Rom"], ["B-LOC"]), make_row(["Bonn"], ["B-LOC"])]
    rows += [make_row(["Anna", "|"], ["B-PER", "I-PER"])] * 3 + [make_row(["Anna", "Meier"], ["B-PER", "I-PER"])]
    split = make_dataset(rows)
    card, _ = write_card(sets=DatasetDict(train=split, validation=split, test=split))

    assert "| LOC (locations) | Paris, Köln, Rom |" in card.text
    assert "| PER (persons) | Anna Meier |" in card.text  # the other would break the table
    assert "| MISC (other names) | none |" in card.text
    assert "`O`, `B-PER`, `I-PER`" in card.text


def test_the_record_of_the_data_set(write_card, data_folder_with_record):
    card, _ = write_card(data=DataArguments(dataset=str(data_folder_with_record), dataset_config="en"))

    assert "`mmnerd`, configuration `en`, files `en0123456789` (the fingerprint" in card.text
    assert "pooled and split 8:1:1, as the authors did (seed 19)." in card.text
    assert "| test | 2,533 | 7 | 0 |" in card.text and "4,291" not in card.text
    assert "Its card states the licence `mixed-see-license`." in card.text


@pytest.mark.parametrize("text", ["{", "[1]", '{"settings": "mine"}'])
def test_a_foreign_record_is_passed_over(write_card, data_folder_with_record, text):
    (data_folder_with_record / "build.json").write_text(text, encoding="utf-8")
    (data_folder_with_record / "README.md").write_text("---\na: ]\n---\n", encoding="utf-8")
    card, _ = write_card(data=DataArguments(dataset=str(data_folder_with_record)))

    assert "`mmnerd`, configuration `all`: 24 train" in card.text
    assert "share with its train split" not in card.text


def test_no_machine_path_in_the_text(write_card, tmp_path, monkeypatch):
    names = ("bert", "vit", "resnet.pth", "data", "start", "preset.json")
    folders = {name: tmp_path / "secret" / name for name in names}
    for path in folders.values():
        path.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    encoders = ("bert", "vit", "resnet.pth")
    arguments = ModelArguments("2m-ner", *(str(folders[name]) for name in encoders))
    settings = {"hub_token": "hf_secret", "run_name": "secret run", "resume_from_checkpoint": "secret/checkpoint-1"}
    card, _ = write_card(arguments, DataArguments(dataset=str(folders["data"])), **settings)

    assert "started from bert, vit, resnet.pth" in card.text
    for model in (str(folders["start"]), "secret/preset.json"):
        other, _ = write_card(ModelArguments(model), DataArguments(dataset=f"{folders['data']}/"))
        assert Path(model).name in other.text
        for text in (str(card), str(other)):
            assert "secret" not in text and str(tmp_path) not in text


def test_names_of_the_hub_are_kept_whole(write_card):
    arguments = ModelArguments("2m-ner", "google-bert/bert-base-multilingual-cased")
    card, _ = write_card(arguments, DataArguments(dataset="someone/mmnerd", dataset_revision="v1"))

    assert "started from google-bert/bert-base-multilingual-cased" in card.text
    assert card.data.eval_results[0].dataset_type == "someone/mmnerd"
    assert card.data.eval_results[0].dataset_revision == "v1"
    assert card.data.datasets == ["someone/mmnerd"]
    assert "revision `v1`" in card.text


def test_languages_given_as_text(write_card, splits):
    def with_text(split):
        return split.remove_columns("lang").add_column("lang", ["es"] * len(split))

    card, _ = write_card(sets=DatasetDict({name: with_text(split) for name, split in splits.items()}))

    assert card.data.language == ["es"]
    assert "Marie Curie trabajó" in card.text
    assert "multilingual" not in card.data.tags


def test_a_language_that_is_appended_to_the_table(write_card, splits, monkeypatch):
    italian = Language("it", "Italian", "Marie Curie lavorava a Parigi.")
    monkeypatch.setattr("training_2mner.model_card.LANGUAGE_TABLE", (*LANGUAGE_TABLE, italian))
    monkeypatch.setattr("reports_2mner.language_table.LANGUAGE_TABLE", (*LANGUAGE_TABLE, italian))

    def in_italian(split):
        return split.remove_columns("lang").add_column("lang", ["it"] * len(split))

    card, _ = write_card(sets=DatasetDict({name: in_italian(split) for name, split in splits.items()}))

    assert "and its picture, in Italian:" in card.text and "lavorava a Parigi" in card.text
    assert card.data.widget == [{"text": "Marie Curie lavorava a Parigi.", "example_title": "Italian"}]


def test_data_without_languages(write_card, splits):
    card, _ = write_card(sets=splits.remove_columns(["lang", "source"]))

    assert card.data.language is None and "widget" not in card.data.to_dict()
    assert "in the language of its training data" in card.text


def test_limits_depend_on_the_data(write_card, splits):
    def synthetic(split):
        return split.remove_columns("source").add_column("source", ["synthetic"] * len(split))

    real, _ = write_card()
    generated, _ = write_card(sets=DatasetDict({name: synthetic(split) for name, split in splits.items()}))

    assert "labels of MMNERD are noisy" in real.text and "their photographs show them" in real.text
    assert "training data are synthetic" not in real.text
    assert "training data are synthetic" in generated.text
    assert "MMNERD are noisy" not in generated.text and "photographs show them" not in generated.text
    assert "at most 64 sub-words" in real.text


def test_a_text_only_model_says_so(write_card, make_model, text_only):
    card, _ = write_card(network=make_model(**text_only))

    assert "no image branch (text only)" in card.text and "no image branch and ignores pictures" in card.text
    assert "photo.jpg" not in card.text and "image_status` tells" not in card.text


def test_settings_that_differ_from_the_defaults(make_trainer):
    trainer = make_trainer(seed=7, optim="adafactor", plain_adam=False, activation_checkpointing=True)
    changed = changed_settings(trainer.args, ModelArguments(max_length=99), DataArguments(max_words=30))

    assert {"seed": 7, "optim": "adafactor", "plain_adam": False, "max_length": 99, "max_words": 30}.items() <= (
        changed.items()
    )
    assert changed["activation_checkpointing"] is True
    assert not {"output_dir", "use_cpu", "disable_tqdm", "accelerator_config", "greater_is_better"} & set(changed)


HOSTILE = '<img src=x onerror=alert(1)> [a](javascript:b) `c` *d* "e\\\n# f'


def test_a_folders_name_is_shown_and_nothing_else(write_card, tmp_path, make_trainer, data_folder_with_record):
    """Neither markup, nor a line or a string of the example code ends with it."""
    data = data_folder_with_record.rename(tmp_path / HOSTILE)
    card, _ = write_card(
        ModelArguments(text_encoder=str(tmp_path / "enc" / HOSTILE), license="<b>x</b>"),
        DataArguments(dataset=str(data)),
        folder=HOSTILE,
        at=HOSTILE,
    )

    blocks = re.findall(r"^```python\n(.*?)^```$", card.text, flags=re.MULTILINE | re.DOTALL)
    names = [
        node.value
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Constant) and "onerror" in str(node.value)
    ]
    assert names == [HOSTILE] * 4
    shown = (
        pytest.importorskip("markdown_it")
        .MarkdownIt()
        .enable("table")
        .parse(re.sub(r"^```python.*?^```$", "", card.text, flags=re.M | re.S))
    )
    inline = [child for token in shown for child in token.children or []]
    assert not {"html_inline", "image", "link_open"} & {token.type for token in inline if "onerror" in token.content}
    assert "html_block" not in {token.type for token in shown}
    assert not [token for token in inline if token.type == "link_open" and "javascript" in str(token.attrs)]
    heading = shown[[token.type for token in shown].index("heading_open") + 1]
    assert "".join(child.content for child in heading.children) == HOSTILE.replace("\n", " ")


def test_what_was_kept_of_a_model_with_other_labels(write_card):
    card, _ = write_card(ModelArguments("someone/2m-ner", new_labels=True))
    assert (
        "started from someone/2m-ner, which has other labels: its encoders, alignment and fusion were kept, the"
        in card.text
    )


def test_the_share_of_the_weights_that_adapters_train(write_card, make_model, model):
    pytest.importorskip("peft")
    card, _ = write_card(network=make_model(), lora=True, lora_rank=2)
    size = sum(weight.numel() for weight in model.parameters())
    assert f"; {size:,} parameters; " in card.text  # of the published network, without adapters
    assert re.search(
        r"- LoRA: [\d,]+ of [\d,]+ parameters are trained \(\d+\.\d\d %\), 640 of them in adapters", card.text
    )
    assert "- lora_rank: 2" in card.text


def test_languages_that_were_not_trained_are_shown_and_named_as_such(write_card, make_model, text_only):
    arguments = ModelArguments(zero_shot_languages=["es", "de", "fr"])  # French is in the training data
    card, _ = write_card(arguments, network=make_model(**text_only))

    assert [example["example_title"] for example in card.data.widget] == ["English", "French", "Spanish", "German"]
    assert card.data.language == ["en", "fr"]
    assert (
        "The training data are in English and French only. Where its text encoder was pretrained on Spanish and German, too, the model may"
        in card.text
    )
    rows = re.findall(r"^\| (\w+) \| Marie Curie .* \| (.+) \|$", card.text, flags=re.MULTILINE)
    assert [name for name, _ in rows] == ["English", "French", "Spanish", "German"]
    assert all(answer == "none" or re.search(r" \((PER|LOC|ORG|MISC)\)", answer) for _, answer in rows)
    assert "No sentence in Spanish and German was trained on." in card.text
    assert "No score in these languages was measured." in card.text


def test_without_such_languages_the_card_has_no_such_part(write_card):
    card, _ = write_card()
    assert "Other languages" not in card.text and "No score in these languages" not in card.text


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="`zero_shot_languages` names 'klingon'; write any of en, fr"):
        ModelArguments(zero_shot_languages=["klingon"])


def test_a_new_card_forgets_scores_of_former_weights(write_card, tmp_path):
    write_card()
    (tmp_path / "run" / "other_data.json").write_text("[]", encoding="utf-8")
    write_card()
    assert not (tmp_path / "run" / "other_data.json").exists()
