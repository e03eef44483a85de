"""The Trainer of 2M-NER: the complete objective, learning rates by part of the network, batches of similar length."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from huggingface_hub import CommitInfo
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    ProcessorMixin,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_callback import ProgressCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput, TrainOutput

from modeling_2mner import TwoMNERProcessor
from modeling_2mner.encoders import ENCODERS
from modeling_2mner.outputs import TaggerOutput
from modeling_2mner.tagging import WordTagger
from reports_2mner.files import write_json
from reports_2mner.push import connect, open_repository
from training_2mner.arguments import DataArguments, TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.data import has_pictures
from training_2mner.divergence import DivergenceCallback, check_loss
from training_2mner.features.cache import FeatureCache
from training_2mner.features.towers import check_same_towers
from training_2mner.folding import folded_in_training
from training_2mner.gather import gather_with_gradient
from training_2mner.hub.release import COMMIT_MESSAGE, release
from training_2mner.lengths import SentenceLengths
from training_2mner.lora import ADAPTER, TrainedShare, add_adapters, forget_adapter, merged_weights, write_adapter
from training_2mner.metrics import entity_scores, to_tag_names
from training_2mner.onednn import OneDNNLinear
from training_2mner.parts import part_of
from training_2mner.pictures import picture_keys
from training_2mner.portable_state import BestCheckpointCallback, drop_path
from training_2mner.progress import ReadableProgressCallback
from training_2mner.sampler import LengthGroupedSampler
from training_2mner.used_rows import UsedRowsOfEncoder
from training_2mner.word_dropout import WordDropout

logger = logging.getLogger(__name__)

RUN_SETTINGS = "run_settings.json"


class EpochCallback(TrainerCallback):
    """Set the sampler's epoch, which nothing else does when several processes finish a resumed epoch."""

    sampler: LengthGroupedSampler | None = None

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer before it takes the first batch."""
        if self.sampler is not None:
            self.sampler.set_epoch(int(state.epoch or 0))


class TwoMNERTrainer(Trainer):
    """Train a model of this project on rows with `tokens`, `ner_tags` and `image`.

    It extends the transformers Trainer: `compute_loss` is the objective of Eq. 18, whose components are logged;
    encoders, new layers and CRF have their own learning rates; encoders can be frozen; scores are entity-level.
    Use it with [`TwoMNERTrainingArguments`]. Batches are made by a [`TwoMNERDataCollator`] of the processor,
    `processing_class`, unless another `data_collator` is given.

    Raises:
        ValueError: if neither `data_collator` nor a processor is given, and for a frozen ResNet whose batch norm would continue to learn.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import TwoMNERConfig, TwoMNERForTokenClassification, TwoMNERProcessor
    >>> from training_2mner import TwoMNERDataCollator, TwoMNERTrainer, TwoMNERTrainingArguments

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = TwoMNERConfig(
    ...     text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes},
    ...     use_vit=False,
    ...     use_resnet=False,
    ... )
    >>> model = TwoMNERForTokenClassification(config)  # with new weights
    >>> rows = Dataset.from_dict({"tokens": [["Anna", "in", "Paris"], ["Paris"]], "ner_tags": [[1, 0, 3], [3]]})
    >>> trainer = TwoMNERTrainer(
    ...     model=model,
    ...     args=TwoMNERTrainingArguments(num_train_epochs=1, report_to="none", use_cpu=True, disable_tqdm=False),
    ...     data_collator=TwoMNERDataCollator(TwoMNERProcessor.for_model(model, tokenizer)),
    ...     train_dataset=rows,
    ...     eval_dataset=rows,
    ... )
    >>> trainer.train().global_step  # one batch
    epoch 1.00: ...
    1
    ```
    """

    # The objective is a mean over the sentences of a batch, so the Trainer must divide it by the accumulation steps.
    loss_is_scaled_for_ga = False

    args: TwoMNERTrainingArguments
    model: WordTagger
    processing_class: TwoMNERProcessor
    run_settings: dict[str, Any] | None = None  # what checkpoints tell of their run
    _merges = False  # whether the weights are saved with their adapters merged

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.data_collator in (default_data_collator, None) or isinstance(
            self.data_collator, DataCollatorWithPadding
        ):
            self.data_collator = cast(Any, self._own_collator())
        self.compute_metrics = self.compute_metrics or self.compute_entity_scores
        self._part_sums: dict[str, torch.Tensor] = {}
        self._part_count = 0
        self._lengths = SentenceLengths(getattr(self.data_collator, "processor", None), self.args.length_unit)
        self._used_rows = UsedRowsOfEncoder()
        processor = getattr(self.data_collator, "processor", self.processing_class)
        tokenizer = getattr(processor, "tokenizer", None)
        self._word_dropout = WordDropout(self.args.word_dropout, tokenizer) if self.args.word_dropout else None
        self._epochs = EpochCallback()
        self.add_callback(self._epochs)
        self.add_callback(DivergenceCallback)
        self.add_callback(BestCheckpointCallback)
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(ReadableProgressCallback)
        self._prepare(self.model)
        self._check_against_data()
        if self.args.patience is not None:
            self.add_callback(EarlyStoppingCallback(self.args.patience))

    def _own_collator(self) -> TwoMNERDataCollator:
        """What makes batches if none was given; those of transformers cannot."""
        if not isinstance(self.processing_class, ProcessorMixin):
            raise ValueError(
                "`data_collator` is missing; write `processing_class=processor` or "
                "`data_collator=TwoMNERDataCollator(processor)`, with the processor of the model."
            )
        return TwoMNERDataCollator(self.processing_class)

    def call_model_init(self, trial: Any = None) -> WordTagger:
        """Build the model of a hyper-parameter search and freeze and adapt its encoders as the run says."""
        model = cast(WordTagger, super().call_model_init(trial))
        self._prepare(model)
        features = getattr(getattr(self, "data_collator", None), "features", None)
        if isinstance(features, FeatureCache):
            check_same_towers(features, model, self.processing_class)
        return model

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, TaggerOutput]:
        """L = alpha L_CRF + (1 - alpha)(L'_CL + L''_CL) (Eq. 18), the mean over the sentences of the batch.

        A comparison model's objective is the `loss` that it returns.
        """
        hide = self._word_dropout if model.training else None
        outputs = model(**(inputs if hide is None else hide(inputs)))
        unwrapped = self.accelerator.unwrap_model(model)
        embeds = [outputs.get(f"{name}_embeds") for name in ("text", "vit", "resnet")]
        image_ids = inputs.get("image_index")
        if embeds[0] is not None and self.args.gather_negatives and model.training:
            image_ids = picture_checksums(inputs)
            *embeds, image_ids = (gather_with_gradient(part) for part in (*embeds, image_ids))
        parts = unwrapped.objective(outputs.loss, *embeds, image_ids)
        if model.training:
            self._remember(parts)
        return (parts["loss"], outputs) if return_outputs else parts["loss"]

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> TrainOutput:
        # `model_init` has been called by now, and there is no optimizer yet.
        with ExitStack() as stack:
            if not self.args.fsdp:  # which gives each process a part of the weights
                stack.enter_context(folded_in_training(self.model))
            if self.args.train_used_rows:
                dataset = cast(Dataset, self.train_dataset)
                also = () if self._word_dropout is None else (self._word_dropout.mask,)
                stack.enter_context(self._used_rows.trained(self.model, dataset, self.data_collator, also))
            return super()._inner_training_loop(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Learn from one batch, and stop if its loss is no finite number."""
        with OneDNNLinear() if self._uses_onednn else nullcontext():
            loss = super().training_step(*args, **kwargs)
        check_loss(loss, self.state.global_step + 1)
        return loss

    @property
    def _uses_onednn(self) -> bool:
        return self.args.onednn_linear and self.args.device.type == "cpu"

    def compute_entity_scores(self, prediction: EvalPrediction) -> dict[str, float]:
        """Score the tags that the model itself decoded, see [`entity_scores`]."""
        labels = self.model.config.labels
        predictions = to_tag_names(prediction.predictions, prediction.label_ids, labels)
        return entity_scores(predictions, to_tag_names(prediction.label_ids, prediction.label_ids, labels))

    def create_optimizer(self, model: WordTagger | None = None) -> torch.optim.Optimizer:
        """Plain Adam (Table 4) or the optimizer `optim`, with a learning rate for each part of the network."""
        if self.optimizer is None:
            model = self.model if model is None else model
            optimizer_class, settings = self.get_optimizer_cls_and_kwargs(self.args, model)
            if self.args.plain_adam:
                betas = (self.args.adam_beta1, self.args.adam_beta2)
                optimizer_class = torch.optim.Adam
                settings = {
                    "lr": self.args.learning_rate,
                    "betas": betas,
                    "eps": self.args.adam_epsilon,
                    "fused": True,
                }
            self.optimizer = optimizer_class(self.parameter_groups(model), **settings)
        return self.optimizer

    def parameter_groups(self, model: nn.Module) -> list[dict]:
        """Group the trainable parameters by learning rate and weight decay; norms, biases and the CRF never decay."""
        rates = {"new": self.args.learning_rate}
        for part in ("encoder", "head", "crf"):
            rate = getattr(self.args, f"{part}_learning_rate")
            rates[part] = self.args.learning_rate if rate is None else rate
        decaying = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                part = part_of(name)
                decays = name in decaying and part != "crf" and "normalization" not in name
                groups.setdefault((part, decays), []).append(parameter)
        return [
            {"params": parameters, "lr": rates[part], "weight_decay": self.args.weight_decay if decays else 0.0}
            for (part, decays), parameters in groups.items()
        ]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the loss components since the last log."""
        if "loss" in logs and self._part_count:
            for name, total in self._part_sums.items():
                logs[name] = self.accelerator.gather(total / self._part_count).mean().item()
            self._part_sums, self._part_count = {}, 0
        super().log(logs, start_time)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Open the repository before training, so that a run that could not be pushed does not start."""
        if self.is_world_process_zero():
            name = cast(str, self.args.hub_model_id)  # checked by the arguments
            self.hub_model_id = name  # type: ignore[assignment]  # transformers infers None from its first value
            open_repository(connect(token or self.args.hub_token), name, self._is_private())

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model without pushing it, since its scores and its card do not exist yet.

        Adapters (`lora`) are merged into the weights, except in checkpoints, from which a training is resumed.
        """
        self._merges = self.args.lora and not _internal_call
        super().save_model(output_dir, _internal_call=True)
        self._merges = False
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            if self.args.lora_keep_adapter and not _internal_call:
                write_adapter(self.model, folder / ADAPTER)
            elif not _internal_call:
                forget_adapter(folder / ADAPTER)
            (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle with every token and path of the run
            if _internal_call and self.run_settings is not None:
                write_json(folder / RUN_SETTINGS, self.run_settings, indent=2)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        super()._save(output_dir, merged_weights(self.model) if self._merges else state_dict)

    def save_state(self) -> None:
        """Save the state of the run, without paths."""
        super().save_state()
        if self.args.should_save:
            drop_path(Path(str(self.args.output_dir)))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        super()._save_checkpoint(model, trial)
        if self.args.should_save and folder.is_dir():  # it may be one too many
            drop_path(folder)

    def push_to_hub(  # type: ignore[override]  # no pushing in parts, to branches or in the background
        self, commit_message: str = COMMIT_MESSAGE
    ) -> CommitInfo | None:
        """Check and publish the run folder, see [`release`]; returns `None` in all processes but the first."""
        if not self.is_world_process_zero():
            return None
        folder, name, token = self.args.output_dir, cast(str, self.args.hub_model_id), self.args.hub_token
        return release(folder, name, self._is_private(), message=commit_message, token=token)

    def evaluation_loop(self, dataloader: DataLoader, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Read a split in batches of similar length; metrics and predictions are in the order of the split."""
        order = self._evaluation_order(cast(Dataset, dataloader.dataset))
        compute_metrics = self.compute_metrics
        if order is None:
            return super().evaluation_loop(dataloader, *args, **kwargs)
        if compute_metrics is not None:
            self.compute_metrics = lambda prediction: compute_metrics(_as_given(prediction, order))
        try:
            output = super().evaluation_loop(dataloader, *args, **kwargs)
        finally:
            self.compute_metrics = compute_metrics
        return output._replace(
            predictions=restore_order(output.predictions, order), label_ids=restore_order(output.label_ids, order)
        )

    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler[int] | None:
        order = self._evaluation_order(eval_dataset)
        return super()._get_eval_sampler(eval_dataset) if order is None else cast(Sampler[int], order)

    def _evaluation_order(self, dataset: Dataset) -> list[int] | None:
        """The rows of a split, long ones first, so that there is little to pad; `None` if it is read as it is."""
        if not self.args.group_by_length or "tokens" not in getattr(dataset, "column_names", ()):
            return None
        lengths = self._lengths.of(dataset)
        return sorted(range(len(lengths)), key=lambda row: -lengths[row])

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        """Batches of all sentences: `dataloader_drop_last` is for training."""
        with self._keeping_the_last_batch():
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader:
        """Batches of all sentences: `dataloader_drop_last` is for training."""
        with self._keeping_the_last_batch():
            return super().get_test_dataloader(test_dataset)

    @contextmanager
    def _keeping_the_last_batch(self) -> Iterator[None]:
        drops = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = False
        try:
            yield
        finally:
            self.args.dataloader_drop_last = drops

    def _check_against_data(self) -> None:
        """Refuse what the data cannot be trained with, or what would fail after the first epoch alone."""
        train = cast(Dataset | None, self.train_dataset)
        size = self.args.train_batch_size * self.args.world_size
        if self.args.dataloader_drop_last and train is not None and len(train) < size:
            raise ValueError(
                f"`dataloader_drop_last` leaves nothing of {len(train)} training sentences, which do not fill a batch of "
                f"{size}; leave it out, or lower `per_device_train_batch_size`."
            )
        if self.args.group_by_picture and not getattr(self.model.config, "mask_duplicate_images", True):
            raise ValueError(
                "`group_by_picture` brings the sentences of a picture into a batch, where the contrastive losses would take "
                "each other's picture for a wrong one; also write `config: {mask_duplicate_images: true}`."
            )
        metric = (self.args.metric_for_best_model or "loss").removeprefix("eval_")
        scored, dataset = self.compute_metrics == self.compute_entity_scores, self.eval_dataset
        if scored and isinstance(dataset, Dataset) and "ner_tags" in dataset.column_names:
            known = ["loss", *self._score_names(dataset)]
            if metric not in [*known, "runtime", "samples_per_second", "steps_per_second"]:
                raise ValueError(f"`metric_for_best_model` is {metric!r}; write one of {', '.join(known)}.")

    def _score_names(self, dataset: Dataset) -> Iterable[str]:
        labels = self.model.config.labels
        gold = [[tag if isinstance(tag, str) else labels[tag] for tag in tags] for tags in dataset["ner_tags"]]
        return entity_scores(gold, gold)

    def _is_private(self) -> bool:
        return bool(self.args.hub_private_repo)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        train_dataset = cast(Dataset, self.train_dataset if train_dataset is None else train_dataset)
        if not self.args.group_by_length and not self.args.group_by_picture:
            return super()._get_train_sampler(train_dataset)
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        lengths = self._lengths.of(train_dataset) if self.args.group_by_length else [0] * len(train_dataset)
        pictures = picture_keys(train_dataset) if self.args.group_by_picture else None
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        own = self.args.train_batch_size
        sampler = LengthGroupedSampler(lengths, batch_size, seed, pictures=pictures, picture_batch=own)
        self._epochs.sampler = sampler
        return sampler

    def _remember(self, parts: dict[str, torch.Tensor]) -> None:
        for name, value in parts.items():
            if name != "loss":
                self._part_sums[name] = self._part_sums.get(name, 0) + value.detach()
        self._part_count += 1

    def _prepare(self, model: WordTagger) -> None:
        self._freeze(model)
        if self.args.lora:
            add_adapters(model, self.args, self.args.freeze)
            logger.info("`lora`: %s.", TrainedShare.of(model))

    def _freeze(self, model: WordTagger) -> None:
        for name in self.args.freeze:
            if name != "text" and not model.config.uses_image:
                continue  # a text-only variant of a run whose file freezes an image encoder
            encoder = getattr(model.base_model, ENCODERS[name].module, None)
            if encoder is None:
                raise ValueError(f"`freeze` names {name!r}, but the model has no such encoder; leave it out.")
            if name == "resnet" and model.config.resnet_batch_norm != "fixed":
                raise ValueError(
                    "`freeze` names 'resnet', which needs fixed batch norm statistics; "
                    'write `resnet_batch_norm="fixed"`.'
                )
            encoder.requires_grad_(False)


def make_trainer(
    model: WordTagger | Callable[..., WordTagger],
    processor: TwoMNERProcessor,
    data_arguments: DataArguments,
    arguments: TwoMNERTrainingArguments,
    train_dataset: Dataset,
    eval_dataset: Dataset,
) -> TwoMNERTrainer:
    """Assemble the Trainer of a run, and warn if a model with image branches would be trained without pictures.

    Args:
        model: the network or, for a hyper-parameter search, a function that builds it (the Trainer's `model_init`).
        processor: the network's.
        data_arguments: name the columns with object boxes.
        arguments: everything else.
        train_dataset, eval_dataset: splits with undecoded pictures, see `load_splits`.
    """
    trainer = TwoMNERTrainer(
        model=model if isinstance(model, nn.Module) else None,
        model_init=None if isinstance(model, nn.Module) else model,
        args=arguments,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        data_collator=TwoMNERDataCollator(processor, data_arguments.boxes_column, data_arguments.small_boxes_column),
        processing_class=processor,
    )
    if trainer.model.config.uses_image and not has_pictures(train_dataset):
        logger.warning(
            "the model has image branches, but `dataset` %r has no training pictures, so it learns from the words "
            "only; build the data set with `--images`, or train a text-only model, such as bert-crf.",
            data_arguments.dataset,
        )
    return trainer


def _as_given(prediction: EvalPrediction, order: list[int]) -> EvalPrediction:
    """What is scored, in the order of the split."""
    parts = (prediction.predictions, prediction.label_ids, prediction.inputs, prediction.losses)
    return EvalPrediction(*(restore_order(part, order) for part in parts))


def restore_order(values: Any, order: list[int]) -> Any:
    """Put what belongs to the rows `order` into the order of the rows: an array, or tuples, lists and dicts of some."""
    if isinstance(values, (tuple, list)):
        return type(values)(restore_order(part, order) for part in values)
    if isinstance(values, dict):
        return {name: restore_order(part, order) for name, part in values.items()}
    if not isinstance(values, np.ndarray) or values.ndim == 0 or len(values) != len(order):
        return values  # such as a loss for each batch
    restored = np.empty_like(values)
    restored[order] = values
    return restored


def picture_checksums(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """A number for each sentence's picture that is the same in all processes, `(batch,)`, -1 without a picture.

    `image_index` starts from zero in each process, so it cannot distinguish the pictures of different processes.
    """
    index = inputs["image_index"]
    if "image_hashes" in inputs:
        return torch.where(index >= 0, inputs["image_hashes"][index.clamp(min=0)], -1)
    pixels = inputs.get("pixel_values")
    if pixels is None:
        return index
    bits = pixels.float().contiguous().view(torch.int32).flatten(1).long()
    weights = torch.arange(1, bits.shape[1] + 1, device=bits.device)  # so that permuted pixels give another number
    checksums = (bits * weights).sum(dim=1).abs() % (2**62)
    return torch.where(index >= 0, checksums[index.clamp(min=0)], -1)
