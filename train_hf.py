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

import sys

from reports_2mner.command_line import exit_on_error
from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments, read_command_line


def main(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TwoMNERTrainingArguments
) -> dict[str, float]:
    """Execute a complete run and write its folder; returns the numbers of `all_results.json`."""
    from training_2mner.run import make_run  # Trainer and data take seconds to import, and the help does not need them

    return make_run(model_arguments, data_arguments, training_arguments)


if __name__ == "__main__":
    with exit_on_error():
        main(*read_command_line(sys.argv[1:]))
