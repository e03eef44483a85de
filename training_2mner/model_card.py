"""Write the card of a run from what the run knows; nothing is guessed and nothing is looked up."""

from __future__ import annotations

import os
from pathlib import Path

import datasets
import torch
import transformers
from datasets import DatasetDict
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from training_2mner.arguments import DataArguments, ModelArguments
from training_2mner.data import text_values
from training_2mner.trainer import TwoMNERTrainer

TEMPLATE = Path(__file__).resolve().parents[1] / "model_cards" / "model_card_template.md"
SETTINGS = ("learning_rate", "encoder_learning_rate", "crf_learning_rate", "plain_adam", "freeze", "num_train_epochs")
SETTINGS += ("per_device_train_batch_size", "gradient_accumulation_steps", "world_size", "seed", "bf16", "patience")


def write_model_card(
    trainer: TwoMNERTrainer,
    model_arguments: ModelArguments,
    data_arguments: DataArguments,
    splits: DatasetDict,
    results: dict[str, float],
) -> None:
    """Write `README.md` into the run folder."""
    folder = Path(trainer.args.output_dir).resolve()
    card = ModelCard.from_template(
        card_data=_metadata(folder.name, data_arguments, splits, results),
        template_path=str(TEMPLATE),
        title=folder.name,
        name=folder.name,
        network=_network(trainer, model_arguments),
        data=_data(data_arguments, splits),
        results=results_table(results, trainer),
        training=_training(trainer, results),
    )
    temporary = folder / ".README.md.writing"
    card.save(temporary)
    os.replace(temporary, folder / "README.md")


def results_table(results: dict[str, float], trainer: TwoMNERTrainer) -> str:
    """The test scores as Markdown: all sentences, then each language and source."""
    labels = trainer.model.config.id2label.values()
    types = list(dict.fromkeys(label[2:] for label in labels if label != "O"))
    prefixes = [name.removesuffix("_precision") for name in results if name.endswith("_precision")]
    rows = [prefix for prefix in prefixes if prefix.startswith("test") and not prefix.endswith("_lenient")]
    header = ["Sentences", "Precision", "Recall", "F1", *types, "lenient F1"]
    columns = ["precision", "recall", "f1", *(f"f1_{kind}" for kind in types), "lenient_f1"]
    table = [header, ["---"] * len(header)]
    for prefix in rows:
        name = prefix.removeprefix("test").removeprefix("_").replace("_", " ", 1) or "all"
        table.append([name, *(_percent(results.get(f"{prefix}_{column}")) for column in columns)])
    return "\n".join("| " + " | ".join(row) + " |" for row in table)


def _metadata(name: str, data: DataArguments, splits: DatasetDict, results: dict[str, float]) -> ModelCardData:
    train, dataset = splits["train"], _public_name(data.dataset)
    languages = sorted(set(text_values(train, "lang"))) if "lang" in train.column_names else None
    scores = [("F1 (strict)", "test_f1"), ("F1 (lenient)", "test_lenient_f1")]
    return ModelCardData(
        language=languages,
        library_name="transformers",
        pipeline_tag="token-classification",
        tags=["named-entity-recognition", "multimodal", "multilingual"],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="token-classification",
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_config=data.dataset_config,
                dataset_split="test",
                metric_type="f1",
                metric_name=metric,
                metric_value=round(100 * results[key], 2),
            )
            for metric, key in scores
        ],
    )


def _network(trainer: TwoMNERTrainer, arguments: ModelArguments) -> str:
    config = trainer.model.config
    branches = [name for name, used in (("a ViT", config.use_vit), ("a ResNet", config.use_resnet)) if used]
    pictures = " and ".join(branches) + " for the picture" if branches else "no image branch (text only)"
    names = (arguments.text_encoder, arguments.vision_encoder, arguments.resnet_encoder)
    encoders = [_public_name(name) for name in names if name]
    origin = f"started from {', '.join(encoders) or _public_name(arguments.model)}"
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    return f"{config.text_config.model_type.upper()} for the words, {pictures}; {count:,} parameters, {origin}."


def _data(arguments: DataArguments, splits: DatasetDict) -> str:
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    revision = f", revision {arguments.dataset_revision}" if arguments.dataset_revision else ""
    name = _public_name(arguments.dataset)
    return f"`{name}`, configuration `{arguments.dataset_config}`{revision}: {sizes} sentences."


def _training(trainer: TwoMNERTrainer, results: dict[str, float]) -> str:
    settings = {name: getattr(trainer.args, name) for name in SETTINGS}
    lines = [
        f"- {name}: {value}" for name, value in settings.items() if value not in (None, []) and value is not False
    ]
    lines.append(f"- validation F1 (strict): {_percent(results.get('eval_f1'))}")
    lines.append(f"- training time: {results.get('train_runtime', 0):.0f} s on {trainer.args.device.type}")
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}, datasets {datasets.__version__}"
    return "\n".join([*lines, f"- {versions}"])


def _public_name(name: str) -> str:
    """A Hub id or a preset as it is; of a folder or a file its own name, not where it lies on this machine."""
    path = Path(name)
    return path.resolve().name if path.exists() or path.is_absolute() else name


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
