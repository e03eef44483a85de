from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import TrainingArguments

from training_2mner.arguments import TwoMNERTrainingArguments, read_command_line

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def parse(tmp_path):
    """Parse a run file with this text, followed by flags."""

    def read(text: str, *flags: str):
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return read_command_line([str(path), *flags, "--use_cpu", "--output_dir", str(tmp_path / "run")])

    return read


def test_defaults_are_the_papers(parse):
    model, data, training = parse("")

    assert (model.model, data.dataset, data.dataset_config) == ("2m-ner", "mmnerd", "all")
    assert (training.learning_rate, training.per_device_train_batch_size, training.warmup_steps) == (5e-5, 16, 0)
    assert training.plain_adam and training.weight_decay == 0.0 and training.lr_scheduler_type == "linear"
    assert training.load_best_model_at_end and training.metric_for_best_model == "f1" and training.greater_is_better
    assert training.freeze == [] and training.patience is None and training.label_names == ["labels"]
    assert not training.remove_unused_columns


def test_the_command_line_wins_over_the_file(parse):
    model, data, training = parse(
        "model: 2m-ner-demo\ndataset: mine\nseed: 3\nnum_train_epochs: 2\nplain_adam: false\n",
        *("--seed", "7", "--dataset", "theirs", "--plain_adam", "true"),
    )

    assert (model.model, data.dataset) == ("2m-ner-demo", "theirs")
    assert (training.seed, training.num_train_epochs) == (7, 2)
    assert training.plain_adam is True


def test_a_false_in_the_file_is_false(parse):
    training = parse("plain_adam: false\ngroup_by_length: no\nbf16: true\n")[2]

    assert (training.plain_adam, training.group_by_length, training.bf16) == (False, False, True)


def test_numbers_that_yaml_reads_as_text(parse):
    training = parse("learning_rate: 5e-5\nencoder_learning_rate: 1e-5\nweight_decay: 1e-2\n")[2]

    assert (training.learning_rate, training.encoder_learning_rate, training.weight_decay) == (5e-5, 1e-5, 1e-2)


def test_a_text_that_is_no_number_is_refused(parse, capsys):
    with pytest.raises(SystemExit):
        parse("learning_rate: fast\n")

    assert "learning_rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("learning_rat: 1.0e-4", "`learning_rat` is not a field of a run; did you mean `learning_rate`"),
        ("data_set: mmnerd", "did you mean `dataset`"),
        ("zzz: 1", "--help"),
        ("config_changes: {}", "`config_changes` is not a field"),
    ],
)
def test_an_unknown_field_of_the_file_is_an_error(parse, line, message):
    with pytest.raises(ValueError, match=message):
        parse(line)


def test_a_file_that_is_not_a_mapping_is_an_error(parse):
    with pytest.raises(ValueError, match=r"run\.yaml: a run file holds"):
        parse("- seed\n- 3\n")


def test_an_unknown_flag_is_an_error(parse):
    with pytest.raises(ValueError, match="--learning_rte"):
        parse("", "--learning_rte", "1")


def test_config_as_a_mapping_in_the_file_and_as_json_in_flags(parse):
    assert parse("config: {use_vit: false, alpha: 0.5}\n")[0].config_changes == {"use_vit": False, "alpha": 0.5}
    assert parse("", "--config", '{"use_vit": false}')[0].config_changes == {"use_vit": False}
    assert parse("config: {alpha: 0.5}\n", "--config", '{"alpha": 0.9}')[0].config_changes == {"alpha": 0.9}
    assert parse("")[0].config_changes == {}


@pytest.mark.parametrize("config", ["{use_vit: false}", "[1]", "null", "3"])
def test_a_config_that_is_no_json_object_is_an_error(parse, config):
    with pytest.raises(ValueError, match="`config`"):
        parse("", "--config", config)


def test_freeze_takes_names_of_encoders(parse):
    assert parse("freeze: [vit, resnet]\n")[2].freeze == ["vision", "resnet"]
    assert parse("freeze: resnet\n")[2].freeze == ["resnet"]
    assert parse("", "--freeze", "text", "vision")[2].freeze == ["text", "vision"]
    assert parse("freeze: [vit, vision]\n")[2].freeze == ["vision"]  # two names of one encoder
    with pytest.raises(ValueError, match="`freeze` names 'bert'; write any of text, vision, resnet"):
        parse("freeze: [vit, bert]\n")


def test_run_files_of_the_project_can_be_read(tmp_path):
    files = sorted((ROOT / "configuration_2mner" / "runs").glob("*.yaml"))

    assert files
    for path in files:
        model, _, _ = read_command_line([str(path), "--use_cpu", "--output_dir", str(tmp_path)])
        assert model.model


def test_training_arguments_can_be_made_in_python(tmp_path):
    arguments = TwoMNERTrainingArguments(output_dir=str(tmp_path), use_cpu=True, freeze=["vit"])

    assert arguments.eval_strategy == arguments.save_strategy == "epoch"


def test_an_optimizer_beside_plain_adam_is_a_contradiction(parse):
    assert parse("optim: adafactor\nplain_adam: false\n")[2].optim == "adafactor"
    with pytest.raises(ValueError, match="`optim` is 'adafactor', but `plain_adam` is true"):
        parse("optim: adafactor\n")


def test_help_formats_every_field(capsys):
    """A stray per cent sign in one of them would break it."""
    with pytest.raises(SystemExit) as exit_:
        read_command_line(["--help"])

    text = capsys.readouterr().out
    assert exit_.value.code == 0
    for field in ("--text_encoder", "--dataset_config", "--freeze", "--gather_negatives", "--num_train_epochs"):
        assert field in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "`hub_model_id` must be a user or an organisation, a slash and a name, got ''"),
        (["--hub_model_id", "tiny"], "`hub_model_id` must be .* got 'tiny'"),
        (
            ["--hub_model_id", "user/tiny", "--hub_strategy", "every_save"],
            "`hub_strategy` is .*every_save.*pushed once",
        ),
        (["--hub_model_id", "user/tiny", "--hub_revision", "dev"], "`hub_revision` is 'dev', but .* the main branch"),
    ],
)
def test_pushes_that_are_not_made(parse, flags, message):
    with pytest.raises(ValueError, match=message):
        parse("push_to_hub: true\n", *flags)
    assert not parse("", *flags)[2].push_to_hub  # nothing is said where nothing is pushed


def test_one_process_uses_one_gpu(monkeypatch, caplog, tmp_path):
    """The Trainer would wrap the model in `DataParallel`, which cuts all tensors of a batch at the same places."""

    def two_gpus(self):
        self._n_gpu = 2
        return torch.device("cpu")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(two_gpus))
    arguments = TwoMNERTrainingArguments(output_dir=str(tmp_path))
    assert arguments.n_gpu == 1 and arguments.train_batch_size == 16
    assert "torchrun --nproc_per_node 2" in caplog.text
