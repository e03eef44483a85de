"""Score a trained model on dev and, once, on test, and keep the test predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from reports_2mner.conll_format import format_sentence
from reports_2mner.files import write_file
from reports_2mner.tables import Table
from training_2mner.data import text_values
from training_2mner.metrics import grouped_entity_scores, to_tag_names
from training_2mner.trainer import TwoMNERTrainer

GROUP_COLUMNS = ("lang", "source")
PREDICTIONS = "predictions_test.conll"


def evaluate_on_dev(trainer: TwoMNERTrainer, dataset: Dataset) -> dict[str, float]:
    """Score the validation split as `evaluate_on_test` scores test, under `eval_f1`, `eval_lang_en_f1` and so on."""
    return _score(trainer, dataset, "eval")[0]


def evaluate_on_test(trainer: TwoMNERTrainer, dataset: Dataset) -> dict[str, float]:
    """Predict the test split in its own order and score it overall, by type, by language and by source.

    Writes `predictions_test.conll` into the run folder.

    Returns:
        Scores under `test_f1`, `test_f1_PER`, `test_lang_en_f1`, `test_source_cc12m_lenient_f1` and so on.
    """
    scores, references, predictions = _score(trainer, dataset, "test")
    if trainer.is_world_process_zero():
        path = Path(trainer.args.output_dir) / PREDICTIONS
        write_predictions(path, dataset, references, predictions)
    return scores


def predict_tags(
    trainer: TwoMNERTrainer, dataset: Dataset, prefix: str = "test"
) -> tuple[dict[str, float], list[list[str]], list[list[str]]]:
    """Run the model on a split; returns the Trainer's metrics and the gold and predicted tags of each sentence."""
    output = trainer.predict(dataset, metric_key_prefix=prefix)
    labels = trainer.model.config.labels
    predictions = to_tag_names(output.predictions, output.label_ids, labels)
    return output.metrics or {}, to_tag_names(output.label_ids, output.label_ids, labels), predictions


def group_scores(
    dataset: Dataset, references: list[list[str]], predictions: list[list[str]], prefix: str
) -> dict[str, float]:
    """The scores of each language and of each source, under `test_lang_en_f1` and so on."""
    scores: dict[str, float] = {}
    for column in GROUP_COLUMNS:
        if column in dataset.column_names:
            for group, values in grouped_entity_scores(predictions, references, text_values(dataset, column)).items():
                scores |= {f"{prefix}_{column}_{group}_{name}": value for name, value in values.items()}
    return scores


def results_table(results: dict[str, float], labels: Sequence[str], prefix: str = "test") -> str:
    """The scores of a split as a Markdown table: all sentences, then each scored language and source.

    Args:
        results: under `test_precision`, `test_lang_en_f1_PER` and so on.
        labels: the tags, whose types are the columns.
        prefix: of the names.
    """
    types = list(dict.fromkeys(label[2:] for label in labels if label != "O"))
    groups = [name.removesuffix("_precision") for name in results if name.endswith("_precision")]
    groups = [group for group in groups if group.startswith(prefix) and not group.endswith("_lenient")]
    header = ["Sentences", "Precision", "Recall", "F1", *types, "lenient F1"]
    columns = ["precision", "recall", "f1", *(f"f1_{kind}" for kind in types), "lenient_f1"]
    rows = []
    for group in groups:
        name = group.removeprefix(prefix).removeprefix("_").replace("_", " ", 1) or "all"
        rows.append([name, *(_percent(results.get(f"{group}_{column}")) for column in columns)])
    return Table(header, rows).markdown()


def _score(
    trainer: TwoMNERTrainer, dataset: Dataset, prefix: str
) -> tuple[dict[str, float], list[list[str]], list[list[str]]]:
    """Return the scores and the gold and predicted tags they were computed from."""
    scores, references, predictions = predict_tags(trainer, dataset, prefix)  # the Trainer scores the entire split
    return scores | group_scores(dataset, references, predictions, prefix), references, predictions


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def write_predictions(path: Path, dataset: Dataset, references: list[list[str]], predictions: list[list[str]]) -> None:
    """Write an `IMGID:` line, `word TAB gold TAB predicted` lines and an empty line for each sentence."""
    image_ids = dataset["image_id"] if "image_id" in dataset.column_names else [""] * len(dataset)
    sentences = zip(image_ids, dataset["tokens"], references, predictions, strict=True)
    write_file(path, (format_sentence(*sentence) for sentence in sentences))
