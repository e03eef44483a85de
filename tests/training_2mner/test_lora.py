"""Adapters in the encoders: what trains, what is saved, and that nothing of them remains in the published weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification

from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.evaluation import evaluate_on_dev
from training_2mner.lora import TrainedShare, merged_weights
from training_2mner.parts import part_of
from training_2mner.run_settings import describe_run

peft = pytest.importorskip("peft", reason="PEFT is not installed (pip install '2m-ner[lora]')")
ROOT = Path(__file__).resolve().parents[2]
LORA = {"lora": True, "lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.0, "learning_rate": 5e-2}


@pytest.fixture
def trained(make_trainer, make_model):
    """A trainer after an epoch with adapters, and the weights before it."""
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = make_trainer(model, lora_keep_adapter=True, **LORA)
    trainer.train()
    trainer.model.eval()
    return trainer, before


def test_encoders_learn_through_their_adapters_only(trained):
    trainer, before = trained
    now = {name.replace(".base_layer", ""): value for name, value in trainer.model.state_dict().items()}
    moved = {name for name, value in now.items() if name in before and not value.equal(before[name])}

    assert {part_of(name) for name in moved} == {"crf", "head", "new"}
    adapters = {name for name, weight in trainer.model.named_parameters() if weight.requires_grad and ".lora_" in name}
    assert {name.split(".")[1] for name in adapters} == {"text_model", "vision_model"}
    assert all(now[name].any() for name in adapters)  # B begins with zeros
    assert all(weight.shape[0] == 4 for name, weight in now.items() if "lora_A" in name)


def test_the_saved_model_is_the_trained_one_and_needs_no_peft(trained, batch, predict, tmp_path):
    trainer, before = trained
    trainer.save_model(str(tmp_path / "saved"))
    weights = load_file(tmp_path / "saved" / "model.safetensors")
    assert weights.keys() == before.keys()

    expected = predict(trainer.model, batch)
    script = (
        "import sys; sys.modules['peft'] = None\n"
        "import torch, modeling_2mner\n"
        "from transformers import AutoModelForTokenClassification as Tagger\n"
        f"model, report = Tagger.from_pretrained({str(tmp_path / 'saved')!r}, output_loading_info=True)\n"
        "assert not any(report.values()), report\n"
        f"batch = torch.load({str(tmp_path / 'batch.pt')!r})\n"
        f"torch.save(model.eval()(**batch).logits.detach(), {str(tmp_path / 'logits.pt')!r})\n"
    )
    torch.save(dict(batch), tmp_path / "batch.pt")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.allclose(torch.load(tmp_path / "logits.pt"), expected.logits, atol=1e-5)
    untrained = AutoModelForTokenClassification.from_pretrained(tmp_path / "saved")
    untrained.load_state_dict({name: value for name, value in before.items() if "model." in name}, strict=False)
    assert not torch.allclose(predict(untrained.eval(), batch).logits, expected.logits, atol=1e-2)


def test_the_kept_adapter_is_one_for_peft(trained, make_model, batch, predict, tmp_path):
    trainer, _ = trained
    trainer.save_model(str(tmp_path / "saved"))
    base = make_model()  # with the weights from before
    adapted = peft.PeftModel.from_pretrained(base, str(tmp_path / "saved" / "adapter")).eval()

    assert torch.allclose(predict(adapted, batch).logits, predict(trainer.model, batch).logits, atol=1e-5)
    text = (tmp_path / "saved" / "adapter" / "adapter_config.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert {path.name for path in (tmp_path / "saved" / "adapter").iterdir()} >= {"adapter_model.safetensors"}


def test_a_resumed_training_ends_like_one_that_never_stopped(make_trainer, make_model, no_dropout):
    settings = {**LORA, "num_train_epochs": 2, "save_strategy": "epoch"}
    complete = make_trainer(make_model(**no_dropout), folder="complete", **settings)
    complete.train()
    resumed = make_trainer(make_model(**no_dropout), folder="resumed", **settings)
    resumed.train(resume_from_checkpoint=str(Path(complete.args.output_dir) / "checkpoint-6"))

    assert resumed.state.global_step == 12
    expected, found = merged_weights(complete.model), merged_weights(resumed.model)
    assert max((expected[name].double() - found[name].double()).abs().max() for name in expected) == 0


def test_the_best_epoch_is_loaded_with_its_adapters(make_trainer, make_model, splits):
    def score(prediction):
        score.calls += 1
        return {"f1": 1.0 if score.calls == 1 else 0.0}

    score.calls = 0
    settings = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    trainer = make_trainer(make_model(), compute_metrics=score, **LORA, **settings, num_train_epochs=2)
    trainer.train()
    first = load_file(Path(trainer.args.output_dir) / "checkpoint-6" / "model.safetensors")
    assert any(".lora_" in name for name in first)
    assert all(value.equal(first[name]) for name, value in trainer.model.state_dict().items())


@pytest.mark.parametrize("settings", [{"gradient_checkpointing": True}, {"bf16": True, "weight_decay": 0.1}])
def test_with_other_options(make_trainer, splits, settings):
    trainer = make_trainer(**LORA, **settings)
    trainer.train()
    adapters = [weight for name, weight in trainer.model.named_parameters() if "lora_B" in name]
    assert all(weight.any() for weight in adapters)
    assert 0 <= evaluate_on_dev(trainer, splits["validation"])["eval_f1"] <= 1


def test_the_share_is_counted_and_logged(make_trainer, model, make_model, caplog):
    with caplog.at_level("INFO"):
        trainer = make_trainer(make_model(), **LORA)
    share = TrainedShare.of(trainer.model)
    assert share.published == sum(weight.numel() for weight in model.parameters())
    assert share.total - share.published == sum(4 * 2 * size for size in [16] * 4 + [24] * 4)
    others = sum(weight.numel() for name, weight in model.named_parameters() if part_of(name) != "encoder")
    assert share.trained == others + share.total - share.published
    assert f"`lora`: {share.trained:,} of {share.total:,} parameters" in caplog.text


def test_a_frozen_encoder_has_no_adapter(make_trainer, make_model):
    trainer = make_trainer(make_model(), freeze=["vit"], **LORA)
    assert {name.split(".")[1] for name, _ in trainer.model.named_parameters() if ".lora_" in name} == {"text_model"}


def test_targets_are_chosen_by_name(make_trainer, make_model):
    trainer = make_trainer(make_model(), lora_targets=["intermediate.dense"], **LORA)
    found = {name.split(".lora_")[0] for name, _ in trainer.model.named_parameters() if ".lora_" in name}
    assert found == {f"model.text_model.encoder.layer.{layer}.intermediate.dense" for layer in (0, 1)}


def test_a_target_that_is_nowhere_is_an_error(make_trainer, make_model):
    with pytest.raises(ValueError, match=r"`lora_targets` names 'quarry', but .* write any of .*query, .*value"):
        make_trainer(make_model(), lora_targets=["query", "quarry"], **LORA)


def test_a_model_without_encoders_is_an_error(make_trainer, make_baseline):
    with pytest.raises(ValueError, match=r"`lora_targets` .* this model has none, or leave `lora` out"):
        make_trainer(make_baseline("bilstm-crf"), **LORA)


def test_running_statistics_must_not_learn(make_trainer, make_model):
    with pytest.raises(ValueError, match='write `resnet_batch_norm="fixed"`'):
        make_trainer(make_model(resnet_batch_norm="train"), **LORA)


@pytest.mark.parametrize("kind", ["bert-crf", "umt", "umgf", "mkgformer"])
def test_comparison_models_merge_too(make_trainer, make_baseline, kind):
    model = make_baseline(kind)
    names = set(model.state_dict())
    trainer = make_trainer(model, **LORA)
    assert set(merged_weights(trainer.model)) == names


def test_an_adapter_of_an_earlier_training_is_not_kept_beside_other_weights(make_trainer, tmp_path):
    make_trainer(lora_keep_adapter=True, **LORA).save_model(str(tmp_path / "run"))
    assert sorted(path.name for path in (tmp_path / "run" / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    make_trainer(**LORA).save_model(str(tmp_path / "run"))
    assert not (tmp_path / "run" / "adapter").exists()


def test_parts_that_peft_cannot_tell_apart_are_an_error_before_the_training(make_trainer, make_baseline):
    with pytest.raises(ValueError, match="several layers of the model are called 'classifier'"):
        make_trainer(make_baseline("umt"), lora_keep_adapter=True, **LORA)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_keep_adapter": True}, "`lora_keep_adapter` is true, but there are no adapters; write `lora: true`"),
        ({"lora": True, "lora_targets": []}, "`lora_targets` is empty"),
        ({"lora_rank": 0}, "`lora_rank` is 0; write a number of 1 or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TwoMNERTrainingArguments(use_cpu=True, **settings)


def test_without_peft_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"PEFT is not installed; run `pip install '2m-ner\[lora\]'`"):
        TwoMNERTrainingArguments(use_cpu=True, lora=True)


def test_checkpoints_without_adapters_keep_their_settings(make_trainer, splits):
    from training_2mner.arguments import DataArguments

    plain, adapted = make_trainer(), make_trainer(**LORA)
    assert not [name for name in describe_run(plain, DataArguments(), splits) if "lora" in name]
    assert describe_run(adapted, DataArguments(), splits)["lora_rank"] == 4
