"""Train, evaluate and save one model: `python train_hf.py RUN.yaml [--field value ...]`.

    python train_hf.py configuration_2mner/runs/demo-2m-ner.yaml
    python train_hf.py --dataset mmnerd --dataset_config en \\
        --text_encoder google-bert/bert-base-multilingual-cased --vision_encoder openai/clip-vit-base-patch32 \\
        --resnet_encoder microsoft/resnet-152 --output_dir runs/english

The best epoch is chosen on the validation split; the test split is scored once, at the end. Prefix the command with
`torchrun` or `accelerate launch` to use several processes. `--push_to_hub --hub_model_id user/name` publishes the
finished run on the Hub, as `python -m training_2mner.hub` does.
"""

from __future__ import annotations

import logging
import sys

from reports_2mner.command_line import exit_on_error
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments, read_command_line


def main(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TwoMNERTrainingArguments
) -> dict[str, float]:
    """Execute a complete run and write its folder; returns the numbers of `all_results.json`."""
    # Trainer and data take seconds to import, which `--help` does not need.
    from training_2mner.model_card import write_model_card
    from training_2mner.run import build_trainer, calibrate_run, score_on_test, train_and_save

    is_first = training_arguments.process_index == 0
    logging.basicConfig(level=logging.INFO if is_first else logging.WARNING)
    with only_writer(str(training_arguments.output_dir), "output_dir", is_first):
        trainer, splits = build_trainer(model_arguments, data_arguments, training_arguments)
        results = train_and_save(trainer, training_arguments)
        results |= score_on_test(trainer, splits)
        calibration = calibrate_run(trainer, data_arguments, splits)
        results |= calibration.results() if calibration else {}
        trainer.save_metrics("all", results)
        if is_first:
            write_model_card(trainer, model_arguments, data_arguments, splits, results, calibration)
        trainer.end()  # before the push, so that the other processes do not wait for it
        if training_arguments.push_to_hub:
            trainer.push_to_hub()
        return results


if __name__ == "__main__":
    with exit_on_error():
        main(*read_command_line(sys.argv[1:]))
