"""Write the model card of a run from the run alone: nothing is guessed or looked up."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from datasets import DatasetDict
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from modeling_2mner.configuration_tagging import TaggingConfig
from modeling_2mner.encoders import ENCODERS
from reports_2mner.files import write_lines
from reports_2mner.language_table import LANGUAGE_TABLE, language_name
from reports_2mner.markdown import code, plain, quoted
from reports_2mner.push import HUB_ID
from reports_2mner.tables import Table
from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments
from training_2mner.building import is_checkpoint
from training_2mner.calibrate.calibration import Calibration
from training_2mner.calibrate.card import scores_part
from training_2mner.data import text_values
from training_2mner.data_record import frequent_entities, read_data_record
from training_2mner.evaluate import other_data
from training_2mner.evaluation import results_table
from training_2mner.hub.staging import STRICT, WIDGET_NOTE, requirements
from training_2mner.lora import TrainedShare
from training_2mner.model_names import MODEL_PAPERS, TWO_MNER, model_name
from training_2mner.pictures import describe_pictures
from training_2mner.trainer import TwoMNERTrainer

MODEL_CARD_TEMPLATE = Path(__file__).resolve().parents[1] / "model_cards" / "model_card_template.md"
SETTINGS = (
    *("learning_rate", "plain_adam", "lr_scheduler_type", "num_train_epochs", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "max_grad_norm", "seed"),
)
NO_SETTINGS = ("disable_tqdm", "do_train", "do_eval", "do_predict", "greater_is_better", "push_to_hub", "use_cpu")
TAGS = ("named-entity-recognition", "multimodal", "arxiv:2404.17122")
MEANINGS = {"PER": "persons", "LOC": "locations", "ORG": "organisations", "MISC": "other names"}
SPLIT_DESCRIPTIONS = {
    "given": "The splits are those of its source files.",
    "paper": "The sentences of all languages were pooled and split 8:1:1, as the authors did (seed {seed}).",
    "grouped": "Sentences that share a picture or anything else that its card lists are in the same split, 8:1:1 "
    "(seed {seed}).",
}
DEFAULTS = "the paper's Table 4, and the authors' code where the paper is silent"
SOURCES_WITH_PEOPLE = {"twitter2015", "twitter2017", "cc12m"}
METRICS = {STRICT: "f1", "Precision (strict)": "precision", "Recall (strict)": "recall", "F1 (lenient)": "lenient_f1"}


def write_model_card(
    trainer: TwoMNERTrainer,
    model_arguments: ModelArguments,
    data_arguments: DataArguments,
    splits: DatasetDict,
    results: dict[str, float],
    calibration: Calibration | None = None,
) -> None:
    """Write `README.md` into the run folder."""
    folder, config = Path(trainer.args.output_dir).resolve(), trainer.model.config
    languages = _values(splits, "lang")
    untrained = [code for code in model_arguments.zero_shot_languages if code not in languages]
    other_data.forget(folder)  # scores of former weights
    sources = set(_values(splits, "source"))
    card = ModelCard.from_template(
        card_data=_metadata(
            folder.name, languages, untrained, config.model_type, model_arguments, data_arguments, results
        ),
        template_path=str(MODEL_CARD_TEMPLATE),
        title=plain(folder.name),
        name=quoted(folder.name),
        sentence=next(iter(_examples(languages).values()), LANGUAGE_TABLE[0].example),
        languages=_languages(languages) or "the language of its training data",
        untrained=_languages(untrained),
        answers=_answers(trainer, [*languages, *untrained]) if untrained else "",
        other_data=other_data.part([]),
        model=_model(config),
        network=_network(trainer, model_arguments),
        has_pictures=config.uses_image,
        saw_pictures=config.uses_image and results.get("train_pictures_ok") != 0,
        pictures=describe_pictures(results),
        reads_words=config.reads_words,
        requirements=", ".join(f"`{requirement}`" for requirement in requirements()),
        widget_note=WIDGET_NOTE,
        tags=", ".join(f"`{code(label)}`" for label in config.id2label.values()),
        entities={plain(kind): names for kind, names in frequent_entities(splits["train"]).items()},
        meanings=MEANINGS,
        data=_data(data_arguments, splits),
        splits=SPLIT_DESCRIPTIONS,
        results={
            title: results_table(results, config.labels, prefix)
            for title, prefix in (("Test", "test"), ("Validation", "eval"))
            if f"{prefix}_precision" in results
        },
        selection=_selection(trainer),
        scores=scores_part(calibration),
        training=_training(trainer, model_arguments, data_arguments, results),
        max_length=trainer.processing_class.max_length,
        shows_people=bool(sources & SOURCES_WITH_PEOPLE),
        is_mmnerd="cc12m" in sources,
        is_synthetic=sources == {"synthetic"},
        is_released=config.model_type == "2m-ner-released",
        license=model_arguments.license and code(model_arguments.license),
    )
    write_lines(folder / "README.md", str(card).rstrip().splitlines())


def changed_settings(*arguments: Any) -> dict[str, Any]:
    """The fields of dataclasses that differ from their defaults.

    Free text is left out because it may contain paths and secrets of this machine; choices, numbers and switches stay.
    """
    changed = {}
    for group in arguments:
        for entry in fields(group):
            value, default = getattr(group, entry.name), _default(entry)
            is_telling = isinstance(value, bool | int | float | Enum) or (
                value and entry.name in ("freeze", "lora_targets")
            )
            is_derived = default is None and value is False  # filled in by transformers
            if value != default and is_telling and not is_derived and entry.name not in NO_SETTINGS:
                changed[entry.name] = value.value if isinstance(value, Enum) else value
    return changed


def _metadata(
    name: str,
    languages: list[str],
    untrained: list[str],
    model_type: str,
    model: ModelArguments,
    data: DataArguments,
    results: dict[str, float],
) -> ModelCardData:
    dataset = _public_name(data.dataset)
    return ModelCardData(
        language=languages or None,
        license=model.license,
        library_name="transformers",
        pipeline_tag="token-classification",
        tags=list(dict.fromkeys(("2m-ner", model_type, *TAGS, *["multilingual"] * (len(languages) > 1)))),
        datasets=[dataset] if HUB_ID.fullmatch(dataset) else None,
        metrics=["f1", "precision", "recall"],
        widget=[{"text": text, "example_title": name} for name, text in _examples([*languages, *untrained]).items()]
        or None,
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="token-classification",
                task_name="Named entity recognition",
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_config=data.dataset_config,
                dataset_split="test",
                dataset_revision=data.dataset_revision,
                metric_type=key.removeprefix("lenient_"),
                metric_name=metric,
                metric_value=round(100 * results[f"test_{key}"], 2),
            )
            for metric, key in METRICS.items()
            if f"test_{key}" in results
        ],
    )


def _model(config: TaggingConfig) -> str:
    name = model_name(config)
    own = f"{TWO_MNER} ({MODEL_PAPERS[TWO_MNER]})"
    if name not in MODEL_PAPERS:
        return f"{name}, a model alongside {own},"
    return own if name == TWO_MNER else f"{name} ({MODEL_PAPERS[name]}), one of the models compared with {own},"


def _network(trainer: TwoMNERTrainer, arguments: ModelArguments) -> str:
    config = trainer.model.config
    parts = dict(trainer.model.base_model.named_children())
    towers = [encoder.title for name, encoder in ENCODERS.items() if name != "text" and encoder.module in parts]
    pictures = " and ".join(towers) + " for the picture" if towers else "no image branch (text only)"
    decoder = "a CRF to decode" if config.use_crf else "no CRF"
    names = [getattr(arguments, f"{name}_encoder") for name in ENCODERS]
    sources = [plain(_public_name(name)) for name in (*names, arguments.word_vectors) if name]
    if arguments.new_labels:
        origin = (
            f"started from {plain(_public_name(arguments.model))}, which has other labels: its encoders, alignment and "
            "fusion were kept, the linear layer before the tags and the CRF are new"
        )
    elif is_checkpoint(arguments.model):
        origin = f"trained further from {plain(_public_name(arguments.model))}"
    else:
        origin = (
            f"preset {plain(_public_name(arguments.model))}, started from {', '.join(sources) or 'random weights'}"
        )
    count = TrainedShare.of(trainer.model).published
    text = "Word vectors" if config.reads_words else config.text_config.model_type.upper()
    return f"{text} for the words, {pictures}, {decoder}; {count:,} parameters; {origin}."


def _data(arguments: DataArguments, splits: DatasetDict) -> dict[str, Any]:
    """What the card says about the data: the record of their folder and the splits as they were read."""
    record = read_data_record(arguments.dataset, arguments.dataset_config)
    sources = Counter(text_values(splits["train"], "source") if "source" in splits["train"].column_names else [])
    return {
        **vars(record),
        "fingerprint": record.fingerprint and code(record.fingerprint),
        "license": record.license and code(record.license),
        "name": code(_public_name(arguments.dataset)),
        "config": code(arguments.dataset_config),
        "revision": arguments.dataset_revision and code(arguments.dataset_revision),
        "sizes": ", ".join(f"{len(split):,} {name}" for name, split in splits.items()),
        "sources": ", ".join(f"{count:,} {plain(source)} in train" for source, count in sorted(sources.items())),
    }


def _selection(trainer: TwoMNERTrainer) -> str:
    state, args = trainer.state, trainer.args
    best = [entry for entry in state.log_history if entry.get("step") == state.best_global_step and "eval_f1" in entry]
    if not args.load_best_model_at_end or not best:
        return ""
    return (
        f"The weights are those of epoch {best[0]['epoch']:g} of {args.num_train_epochs:g}, the best on validation by "
        f"`{args.metric_for_best_model}`."
    )


def _training(trainer: TwoMNERTrainer, model: ModelArguments, data: DataArguments, results: dict[str, float]) -> str:
    """Settings, the changed ones first, and measurements."""
    changed = changed_settings(trainer.args, model, data)
    if model.config_changes:
        changed["config"] = model.config_changes
    usual = {name: getattr(trainer.args, name) for name in SETTINGS if name not in changed}
    usual = {name: value.value if isinstance(value, Enum) else value for name, value in usual.items()}
    lines = [f"Settings that differ from the defaults ({DEFAULTS}):", ""]
    lines += [f"- {name}: {_shown(value)}" for name, value in changed.items()] or ["- none"]
    lines += ["", "Some at their defaults:", "", *(f"- {name}: {value}" for name, value in usual.items()), ""]
    return "\n".join([*lines, "Measured:", "", *_measured(trainer, results)])


def _measured(trainer: TwoMNERTrainer, results: dict[str, float]) -> list[str]:
    args = trainer.args
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}, datasets {datasets.__version__}"
    lines = [f"- hardware: {_hardware(args)}", f"- versions: {versions}, Python {platform.python_version()}"]
    if "train_runtime" in results:
        part = ", the last session of a run that was resumed" if args.resume_from_checkpoint else ""
        lines.append(f"- training time: {results['train_runtime']:.0f} s{part}")
    if args.lora:
        lines.append(f"- LoRA: {TrainedShare.of(trainer.model)}")
    if "test_samples_per_second" in results:
        lines.append(f"- test: {results['test_samples_per_second']:.0f} sentences a second")
    return lines


def _hardware(args: TwoMNERTrainingArguments) -> str:
    processes = f", {args.world_size} processes" if args.world_size > 1 else ""
    if args.device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(args.device) / 2**30
        return f"{torch.cuda.get_device_name(args.device)}{processes}, peak memory {memory:.1f} GiB"
    return f"{args.device.type} ({platform.machine()}, {os.cpu_count()} cores){processes}"


def _values(splits: DatasetDict, column: str) -> list[str]:
    train = splits["train"]
    return sorted(set(text_values(train, column))) if column in train.column_names else []


def _public_name(name: str) -> str:
    """A Hub id or preset unchanged; for a folder or file its bare name, without its path on this machine."""
    path = Path(name)
    return path.resolve().name if path.exists() or path.is_absolute() else name


def _examples(languages: list[str]) -> dict[str, str]:
    """An invented sentence for each language that has one, by the language's name."""
    return {entry.name: entry.example for entry in LANGUAGE_TABLE if entry.code in languages and entry.example}


def _answers(trainer: TwoMNERTrainer, languages: list[str]) -> str:
    """What the model finds in the sentence of each language, without a picture, as a table."""
    examples = _examples(languages)
    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    batch = trainer.processing_class(list(examples.values()), images=[None] * len(examples))
    with torch.no_grad():
        predictions = model(**batch.to(model.device)).predictions
    found = trainer.processing_class.post_process_entities(predictions, batch, model.config.labels)
    answers = [", ".join(f"{entity['word']} ({entity['entity_group']})" for entity in one) or "none" for one in found]
    rows = [(*example, answer) for example, answer in zip(examples.items(), answers, strict=True)]
    return Table(["Language", "Sentence", "Names found"], rows).markdown()


def _languages(codes: list[str]) -> str:
    return _listed([plain(language_name(code)) for code in codes])


def _shown(value: Any) -> Any:
    """Escape text and changes of a config, which are the user's own; numbers and switches are shown as they are."""
    return plain(value) if isinstance(value, str | dict) else value


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _default(entry: Field) -> Any:
    return entry.default_factory() if entry.default_factory is not MISSING else entry.default
