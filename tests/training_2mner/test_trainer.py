from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from modeling_2mner.alignment import contrastive_loss
from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.parts import part_of
from training_2mner.trainer import TwoMNERTrainer, picture_checksums

SGD = {"plain_adam": False, "optim": "sgd", "max_grad_norm": 0.0}  # unlike Adam it shows a wrong scale of the loss
RESUMABLE = {
    "num_train_epochs": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "save_total_limit": None,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "seed": 11,
}
PARTS = ("loss", "crf_loss", "vit_contrastive_loss", "resnet_contrastive_loss")


def steps(trainer) -> list[dict]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def largest_difference(first: dict, second: dict) -> float:
    assert first.keys() == second.keys()
    return max((first[name].double() - second[name].double()).abs().max().item() for name in first)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_model, processor, splits, weights_of, quiet):
    """An uninterrupted run with dropout and both image branches: its folder, weights and log."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = TwoMNERTrainer(
        model=make_model(),
        args=TwoMNERTrainingArguments(output_dir=str(folder), **{**quiet, **RESUMABLE}),
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        data_collator=TwoMNERDataCollator(processor),
        processing_class=processor,
    )
    trainer.train()
    return folder, weights_of(trainer.model), trainer.state.log_history


class TestCollator:
    def test_without_one_the_processor_makes_the_batches(self, make_model, processor, splits, quiet, tmp_path):
        arguments = TwoMNERTrainingArguments(output_dir=str(tmp_path), **quiet)
        trainer = TwoMNERTrainer(
            make_model(), arguments, processing_class=processor, train_dataset=splits["train"].select(range(4))
        )
        trainer.train()
        assert math.isfinite(steps(trainer)[0]["crf_loss"])

    @pytest.mark.parametrize("given", [False, True], ids=["nothing", "a tokenizer"])
    def test_without_a_processor_either_it_is_asked_for(self, make_model, tokenizer, quiet, tmp_path, given):
        arguments = TwoMNERTrainingArguments(output_dir=str(tmp_path), **quiet)
        with pytest.raises(ValueError, match="`data_collator` is missing; write `processing_class=processor`"):
            TwoMNERTrainer(make_model(), arguments, processing_class=tokenizer if given else None)


class TestLoss:
    def test_one_step_is_equation_18_of_its_logged_parts(self, make_trainer, make_model):
        trainer = make_trainer(make_model(alpha=0.7), max_steps=1)
        trainer.train()
        logged = steps(trainer)[0]

        contrastive = logged["vit_contrastive_loss"] + logged["resnet_contrastive_loss"]
        assert logged["loss"] == pytest.approx(0.7 * logged["crf_loss"] + 0.3 * contrastive, abs=1e-4)
        assert min(logged[name] for name in PARTS) > 0.01

    def test_parts_are_those_of_the_paper(self, make_trainer, make_model, no_dropout, batch):
        model = make_model(**no_dropout, alpha=0.7, contrastive_temperature=0.3).train()
        loss, outputs = make_trainer(model).compute_loss(model, batch, return_outputs=True)

        nll = model.crf.neg_log_likelihood(outputs.logits, batch["labels"], batch["word_mask"])
        contrastive = [
            contrastive_loss(outputs.text_embeds, embeds, batch["image_index"], temperature=0.3)
            for embeds in (outputs.vit_embeds, outputs.resnet_embeds)
        ]
        assert loss.item() == pytest.approx((0.7 * nll.mean() + 0.3 * sum(contrastive)).item(), rel=1e-5)

    def test_a_text_only_model_has_the_crf_loss_alone(self, make_trainer, make_model, text_only):
        trainer = make_trainer(make_model(**text_only), max_steps=1)
        trainer.train()
        logged = steps(trainer)[0]

        assert logged["loss"] == pytest.approx(logged["crf_loss"], abs=1e-4)
        assert "vit_contrastive_loss" not in logged

    def test_logged_parts_are_means_since_the_last_log(self, make_trainer, make_model, no_dropout):
        every, second = make_trainer(make_model(**no_dropout)), make_trainer(make_model(**no_dropout), logging_steps=2)
        every.train()
        second.train()

        for name in PARTS:
            values = [entry[name] for entry in steps(every)]
            means = [(first + last) / 2 for first, last in zip(values[::2], values[1::2], strict=True)]
            assert [entry[name] for entry in steps(second)] == pytest.approx(means, abs=1e-4)

    def test_evaluation_leaves_the_logged_parts_alone(self, make_trainer, make_model, no_dropout):
        plain = make_trainer(make_model(**no_dropout), logging_steps=3)
        evaluating = make_trainer(make_model(**no_dropout), logging_steps=3, eval_strategy="steps", eval_steps=1)
        plain.train()
        evaluating.train()

        assert [entry["crf_loss"] for entry in steps(plain)] == [entry["crf_loss"] for entry in steps(evaluating)]

    def test_a_batch_without_pictures_trains(self, make_trainer, make_dataset, make_row):
        dataset = make_dataset([make_row(["Anna", "in"], ["B-PER", "O"]), make_row(["Köln"], ["B-LOC"])])
        trainer = make_trainer(train=dataset)
        trainer.train()

        assert math.isfinite(steps(trainer)[0]["loss"])
        assert steps(trainer)[0]["vit_contrastive_loss"] == 0.0

    def test_accumulated_batches_make_one_batch(self, make_trainer, make_model, no_dropout, text_only, weights_of):
        whole = make_trainer(make_model(**no_dropout, **text_only), **SGD)
        halves = make_trainer(
            make_model(**no_dropout, **text_only),
            **{**SGD, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        )
        before = weights_of(whole.model)
        whole.train()
        halves.train()

        for name in ("loss", "crf_loss", "grad_norm"):
            expected = [entry[name] for entry in steps(whole)]
            assert [entry[name] for entry in steps(halves)] == pytest.approx(expected, rel=1e-4)
        assert largest_difference(weights_of(whole.model), weights_of(halves.model)) < 1e-5
        assert largest_difference(weights_of(whole.model), before) > 1e-2

    def test_half_precision_on_the_cpu(self, make_trainer):
        trainer = make_trainer(bf16=True, max_steps=2, eval_strategy="steps", eval_steps=2)
        trainer.train()

        assert all(math.isfinite(entry[name]) for entry in steps(trainer) for name in PARTS)
        assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
        assert math.isfinite(trainer.state.log_history[-2]["eval_loss"])


class TestOptimizer:
    @pytest.fixture
    def groups_of(self, make_trainer, make_model):
        """The optimizer's group of each trainable parameter, by name."""

        def find(**settings) -> dict[str, dict]:
            trainer = make_trainer(make_model(), weight_decay=0.1, learning_rate=1e-3, **settings)
            groups = trainer.create_optimizer().param_groups
            names = {parameter: name for name, parameter in trainer.model.named_parameters()}
            found = [(names[parameter], group) for group in groups for parameter in group["params"]]
            assert len({name for name, _ in found}) == len(found)
            return dict(found)

        return find

    def test_every_trainable_parameter_has_its_rate(self, groups_of, make_model):
        groups = groups_of(encoder_learning_rate=1e-5, crf_learning_rate=1e-2)

        assert groups.keys() == dict(make_model().named_parameters()).keys()
        for name, group in groups.items():
            encoder = name.startswith(("model.text_model.", "model.vision_model.", "model.resnet_model."))
            assert group["lr"] == (1e-5 if encoder else 1e-2 if name.startswith("crf.") else 1e-3), name
        assert {"crf.transitions", "crf.start_transitions", "model.text_head.0.weight"} <= groups.keys()

    def test_norms_biases_and_the_crf_do_not_decay(self, groups_of, make_model):
        kinds = {
            f"{prefix}.{name}": type(module)
            for prefix, module in make_model().named_modules()
            for name, _ in module.named_parameters(recurse=False)
        }
        for name, group in groups_of().items():
            norm = issubclass(kinds[name], (nn.LayerNorm, nn.BatchNorm2d))
            exempt = norm or name.endswith("bias") or name.startswith("crf.")
            assert group["weight_decay"] == (0.0 if exempt else 0.1), name
        assert any(issubclass(kind, nn.BatchNorm2d) for kind in kinds.values())

    def test_one_rate_for_all_by_default(self, groups_of):
        assert {group["lr"] for group in groups_of().values()} == {1e-3}

    def test_a_rate_of_zero_is_a_rate(self, groups_of):
        groups = groups_of(encoder_learning_rate=0.0, crf_learning_rate=0.0)

        assert groups["crf.transitions"]["lr"] == groups["model.text_head.0.weight"]["lr"] - 1e-3 == 0.0
        assert groups["model.vision_model.embeddings.patch_embedding.weight"]["lr"] == 0.0

    def test_frozen_parameters_have_no_group(self, groups_of):
        groups = groups_of(freeze=["vit"])

        assert not any("vision_model" in name for name in groups)
        assert any("vit_collaboration" in name for name in groups)

    def test_plain_adam_or_what_optim_names(self, make_trainer):
        plain = make_trainer(adam_beta2=0.9).create_optimizer()

        assert type(plain) is torch.optim.Adam
        assert plain.param_groups[0]["betas"] == (0.9, 0.9)
        assert type(make_trainer(plain_adam=False).create_optimizer()) is torch.optim.AdamW
        assert type(make_trainer(**SGD).create_optimizer()) is torch.optim.SGD

    def test_rates_fall_together(self, make_trainer, make_model, text_only):
        trainer = make_trainer(make_model(**text_only), encoder_learning_rate=1e-3, max_steps=2)
        trainer.train()

        assert {round(group["lr"], 6) for group in trainer.optimizer.param_groups} == {0.0}
        assert {group["initial_lr"] for group in trainer.optimizer.param_groups} == {1e-2, 1e-3}

    @pytest.mark.parametrize(
        ("name", "part"),
        [
            ("model.text_model.embeddings.word_embeddings.weight", "encoder"),
            ("module.model.resnet_model.embedder.weight", "encoder"),
            ("crf.transitions", "crf"),
            ("module.crf.transitions", "crf"),
            ("model.text_head.0.weight", "new"),
            ("model.resnet_projection.weight", "new"),
            ("classifier.bias", "head"),
            ("span_head.classifier.weight", "head"),
            ("span_head.crf.transitions", "crf"),
            ("model.vgg_model.features.0.weight", "encoder"),
        ],
    )
    def test_part_of(self, name, part):
        assert part_of(name) == part


class TestFreezing:
    def test_an_image_encoder_that_a_text_only_variant_lacks_is_no_error(self, make_trainer, make_model, text_only):
        make_trainer(make_model(**text_only), freeze=["resnet", "vit"])

    @pytest.mark.parametrize("name", ["vit", "vision"])
    def test_the_vit_has_two_names(self, make_trainer, name):
        weights = dict(make_trainer(freeze=[name]).model.named_parameters())

        assert {name.split(".")[1] for name in weights if not weights[name].requires_grad} == {"vision_model"}

    def test_the_models_of_a_search_are_frozen_too(self, make_model, tmp_path, splits, processor):
        arguments = TwoMNERTrainingArguments(output_dir=str(tmp_path), use_cpu=True, freeze=["text"])
        parts = {"train_dataset": splits["train"], "eval_dataset": splits["validation"]}
        trainer = TwoMNERTrainer(
            model_init=lambda: make_model(), args=arguments, data_collator=TwoMNERDataCollator(processor), **parts
        )
        for model in (trainer.model, trainer.call_model_init()):
            trained = {name.split(".")[1] for name, weight in model.named_parameters() if weight.requires_grad}
            assert "vision_model" in trained and "text_model" not in trained

    def test_frozen_encoders_stay_bit_for_bit(self, make_trainer, weights_of):
        trainer = make_trainer(freeze=["text", "resnet"])
        before = weights_of(trainer.model)
        trainer.train()
        after = weights_of(trainer.model)

        frozen = [name for name in before if name.startswith(("model.text_model.", "model.resnet_model."))]
        assert any("running_mean" in name for name in frozen)
        assert all(before[name].equal(after[name]) for name in frozen)
        assert not before["crf.transitions"].equal(after["crf.transitions"])
        assert any(not before[name].equal(after[name]) for name in before if "vision_model" in name)

    def test_fixed_statistics_stay_while_the_weights_train(self, make_trainer, weights_of):
        trainer = make_trainer(max_steps=2)
        before = weights_of(trainer.model)
        trainer.train()
        after = weights_of(trainer.model)

        statistics = [name for name in before if "running_" in name]
        weights = [name for name in before if name.startswith("model.resnet_model.") and name not in statistics]
        assert statistics and all(before[name].equal(after[name]) for name in statistics)
        assert any(not before[name].equal(after[name]) for name in weights)

    def test_statistics_learn_if_they_are_told_to(self, make_trainer, make_model, weights_of):
        trainer = make_trainer(make_model(resnet_batch_norm="train"), max_steps=1)
        before = weights_of(trainer.model)
        trainer.train()

        assert any(
            not before[name].equal(value) for name, value in weights_of(trainer.model).items() if "_mean" in name
        )

    def test_a_frozen_resnet_with_learning_statistics_is_a_contradiction(self, make_trainer, make_model):
        with pytest.raises(ValueError, match="fixed"):
            make_trainer(make_model(resnet_batch_norm="train"), freeze=["resnet"])

    def test_an_encoder_that_is_not_there_cannot_be_frozen(self, make_trainer, make_model):
        with pytest.raises(ValueError, match="'vision', but the model has no such encoder"):
            make_trainer(make_model(use_vit=False), freeze=["vit"])


class TestEvaluation:
    def test_predictions_are_in_the_order_of_the_data_set(self, make_trainer, splits):
        """Sentences of similar length are trained together, but nobody may reorder what is evaluated."""
        test = splits["test"]
        output = make_trainer(group_by_length=True).predict(test)

        assert [[tag for tag in row if tag != -100] for row in output.label_ids.tolist()] == test["ner_tags"][:]
        assert ((output.predictions == -100) == (output.label_ids == -100)).all()
        assert [len(words) for words in test["tokens"]] != sorted(len(words) for words in test["tokens"])

    def test_predictions_are_the_models_own_decoding(self, make_trainer, splits, processor):
        trainer = make_trainer()
        predictions = trainer.predict(splits["test"]).predictions
        model = trainer.model.eval()
        for row, sentence in enumerate(splits["test"]):
            batch = processor([sentence["tokens"]], [sentence["image"]])
            words = len(sentence["tokens"])
            assert model(**batch).predictions[0].tolist() == predictions[row, :words].tolist()

    def test_scores_have_the_names_that_the_arguments_use(self, make_trainer):
        scores = make_trainer().evaluate()

        assert {"eval_loss", "eval_f1", "eval_lenient_f1", "eval_f1_PER"} <= set(scores)

    def test_rows_without_tags_can_be_predicted(self, make_trainer, splits):
        output = make_trainer().predict(splits["test"].remove_columns("ner_tags"))

        assert len(output.predictions) == 9
        assert output.label_ids is None


class TestSelection:
    @pytest.fixture
    def scripted(self):
        """Scores that rise and fall as told, whatever the model does."""

        def script(*values: float):
            remaining = iter(values)
            return lambda prediction: {"f1": next(remaining)}

        return script

    def test_the_best_epoch_is_loaded_in_the_end(self, make_trainer, make_model, scripted, text_only, weights_of):
        trainer = make_trainer(
            make_model(**text_only),
            compute_metrics=scripted(0.2, 0.9, 0.5, 0.7),
            num_train_epochs=4,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
        )
        trainer.train()
        run = Path(trainer.args.output_dir)

        assert trainer.state.best_metric == 0.9
        assert sorted(path.name for path in run.glob("checkpoint-*")) == ["checkpoint-12", "checkpoint-24"]
        best, last = (load_file(run / name / "model.safetensors") for name in ("checkpoint-12", "checkpoint-24"))
        assert largest_difference(weights_of(trainer.model), best) == 0.0
        assert largest_difference(best, last) > 0.0

    def test_patience_stops_the_run(self, make_trainer, make_model, scripted, text_only):
        trainer = make_trainer(
            make_model(**text_only),
            compute_metrics=scripted(0.5, 0.6, 0.6, 0.4, 0.9),
            num_train_epochs=5,
            patience=2,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
        )
        trainer.train()

        assert trainer.state.epoch == 4

    def test_patience_goes_on_counting_after_a_restart(self, make_trainer, make_model, scripted, text_only):
        settings = {
            "num_train_epochs": 6,
            "patience": 2,
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "load_best_model_at_end": True,
            "save_total_limit": None,
        }
        scores = (0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
        make_trainer(make_model(**text_only), compute_metrics=scripted(*scores), **settings).train()
        resumed = make_trainer(make_model(**text_only), compute_metrics=scripted(*scores[2:]), **settings)
        resumed.train(resume_from_checkpoint=str(Path(resumed.args.output_dir) / "checkpoint-12"))

        assert resumed.state.epoch == 3


class TestResume:
    @pytest.mark.parametrize("step", [6, 8])
    def test_continues_as_if_nothing_had_happened(self, whole, make_trainer, make_model, weights_of, step):
        """Interrupted after the first of two epochs of six steps, or in the middle of the second."""
        folder, weights, history = whole
        model = make_model()
        nn.init.zeros_(model.classifier.weight)  # what it starts from must not matter
        resumed = make_trainer(model, **RESUMABLE)
        resumed.train(resume_from_checkpoint=str(folder / f"checkpoint-{step}"))

        assert largest_difference(weights_of(resumed.model), weights) == 0.0
        names = (*PARTS, "learning_rate", "grad_norm", "eval_loss", "eval_f1", "step", "epoch")
        logs = [
            [{name: entry[name] for name in names if name in entry} for entry in log if "train_loss" not in entry]
            for log in (history, resumed.state.log_history)
        ]
        assert logs[0] == logs[1]
        assert len(logs[0]) == 12 + 6


class TestTwoProcesses:
    """Against one process with the double batch; the cases are in `two_processes.py`."""

    @pytest.fixture
    def reference(self, make_trainer, make_model, no_dropout, picture_gaps, weights_of):
        """The losses and the weights of one process."""

        def run(**changes):
            trainer = make_trainer(make_model(**no_dropout, **changes), train=picture_gaps, **SGD)
            trainer.train()
            return steps(trainer), weights_of(trainer.model)

        return run

    @pytest.mark.parametrize("case", ["text", "gathering"])
    def test_same_losses_and_weights(self, two_processes, reference, text_only, case):
        """With a text encoder alone, and with the pictures of both processes as negatives."""
        losses, weights = reference(**(text_only if case == "text" else {"mask_duplicate_images": True}))
        results = two_processes["results"][case]

        for name in ("loss", "crf_loss") if case == "text" else PARTS:
            expected = [entry[name] for entry in losses]
            assert [entry[name] for entry in results] == pytest.approx(expected, abs=2e-5), name
        assert len(losses) == 3
        assert largest_difference(two_processes["weights"][case], weights) < 2e-5

    def test_negatives_of_one_process_are_another_objective(self, two_processes, reference):
        """Unless they are gathered; a process whose sentences have no picture must not stop the others."""
        losses, _ = reference(mask_duplicate_images=True)
        results = two_processes["results"]["local"]

        assert results[0]["crf_loss"] == pytest.approx(losses[0]["crf_loss"], abs=2e-5)
        assert results[0]["vit_contrastive_loss"] != pytest.approx(losses[0]["vit_contrastive_loss"], abs=1e-2)

    def test_checkpointed_activations_change_nothing(self, two_processes):
        results = two_processes["results"]

        for name in PARTS:
            expected = [entry[name] for entry in results["local"]]
            assert [entry[name] for entry in results["checkpointed"]] == pytest.approx(expected, abs=2e-5)

    def test_resumes_in_the_middle_of_an_epoch(self, two_processes):
        results, weights = two_processes["results"], two_processes["weights"]

        assert len(results["whole"]) == 6
        names = ("step", "loss", "crf_loss", "grad_norm")
        logs = [[[entry[name] for name in names] for entry in results[case]] for case in ("whole", "resumed")]
        assert logs[0] == logs[1]
        assert largest_difference(weights["whole"], weights["resumed"]) == 0.0

    def test_an_uneven_last_batch_is_predicted_in_order(
        self, two_processes, splits, make_trainer, make_model, text_only
    ):
        prediction = two_processes["results"]["prediction"]
        model = make_model(**text_only)
        model.load_state_dict(two_processes["weights"]["text"])
        alone = make_trainer(model).predict(splits["validation"])

        assert prediction["labels"] == alone.label_ids.tolist()
        assert prediction["predictions"] == alone.predictions.tolist()
        assert prediction["f1"] == alone.metrics["test_f1"]

    def test_the_whole_program(self, two_processes):
        run = two_processes["folder"] / "main"

        assert two_processes["results"]["main"]["epoch"] == 1.0
        assert {"README.md", "predictions_test.conll", "model.safetensors"} <= {path.name for path in run.iterdir()}
        assert (run / "predictions_test.conll").read_text(encoding="utf-8").count("IMGID:") == 9


class TestPictureChecksums:
    def test_equal_pictures_have_equal_numbers_in_every_batch(self, processor, make_picture):
        pictures = [make_picture(number) for number in range(4)]
        first = processor([["a"]] * 4, [pictures[0], None, pictures[1], pictures[0]])
        second = processor([["a"]] * 3, [pictures[1], pictures[2], pictures[0]])
        numbers, others = picture_checksums(first).tolist(), picture_checksums(second).tolist()

        assert numbers[0] == numbers[3] == others[2]
        assert numbers[2] == others[0]
        assert numbers[1] == -1
        assert len({numbers[0], numbers[2], others[1]}) == 3
        assert min(numbers[0], numbers[2], others[1]) >= 0

    def test_a_mirrored_picture_is_another_one(self, processor, make_picture):
        picture = make_picture(0, 32, 32)
        batch = processor([["a"], ["b"]], [picture, picture.transpose(0)])

        assert len(set(picture_checksums(batch).tolist())) == 2

    def test_no_pictures_at_all(self, processor):
        assert picture_checksums(processor([["a"], ["b"]])).tolist() == [-1, -1]
