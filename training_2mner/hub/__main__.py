"""Check the model of a run and publish it on the HuggingFace Hub in one commit.

    python -m training_2mner.hub runs/demo user/demo --tag v1

Then, anywhere: `pipeline("multimodal-ner", model="user/demo", trust_remote_code=True)`. A release holds weights,
processor, code, handler, requirements, card and scores. Checkpoints, predictions, the Trainer's state, pictures and
all other files are left out and listed. After training again, run it again: the same commit uploads what changed and
deletes what is no longer part of the release. In Python: [`release`].
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import make_parser
from reports_2mner.disk import disk_problem


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.hub", __doc__)
    parser.add_argument("folder", type=Path, help="run folder that train_hf.py wrote")
    parser.add_argument("repo_id", help="repository to publish to, such as user/2m-ner; created if it does not exist")
    parser.add_argument(
        "--private",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="restrict access to you and those you grant it (default: public)",
    )
    parser.add_argument("--tag", help="tag of this version, such as v1")
    parser.add_argument("--message", help="commit message (default: Upload the model)")
    parser.add_argument("--space", help="Hub id of a Space that shows the model, to link in the card")
    parser.add_argument("--dataset", help="Hub id of the data set, for the card, if the run read it from a folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish from the command line and print the address."""
    options = read_command_line(arguments)
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # these take seconds, and the help needs none of them

    from reports_2mner.push import refusal
    from training_2mner.hub.release import COMMIT_MESSAGE, release

    options.message = options.message or COMMIT_MESSAGE
    logging.basicConfig(format="%(levelname)s: %(message)s")
    for package in ("training_2mner", "reports_2mner"):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        commit = release(**vars(options))
    except HfHubHTTPError as error:
        raise SystemExit(f"error: {refusal(options.repo_id, error)}") from error
    except (ValueError, OSError, RuntimeError, HTTPError) as error:
        raise SystemExit(f"error: {disk_problem(error) or error}") from error
    condition = ", signed in, because it is private" if options.private else ""
    print(
        f"Published: {commit.commit_url}\n"
        f"Open it with pipeline('multimodal-ner', model={options.repo_id!r}, trust_remote_code=True){condition}."
    )


if __name__ == "__main__":
    main()
