"""Check a data set folder and publish it on the HuggingFace Hub in one commit.

    python -m dataset_scripts.publish mmnerd user/mmnerd --private

The data set then opens with `load_dataset("user/mmnerd", "en")`. Run it again after a new build: the same commit
uploads what has changed and deletes from the Hub what is no longer in the folder.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitInfo
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from dataset_scripts.publish.check_folder import check_folder, has_other_license, read_card
from reports_2mner.command_line import make_parser
from reports_2mner.push import check_id, connect, push, refusal

logger = logging.getLogger(__name__)

COMMIT_MESSAGE = "Upload the data set"
PUBLIC_WARNING = (
    "%s will be public, and its layers have no common licence: the annotation and the translations state none, "
    "tweets are under the terms of Twitter, captions may be used with Google acknowledged, and every picture belongs "
    "to its owner. Publish it only if you may do so for each layer (see LICENSE.md), and consider that tweets and "
    "pictures show and name people."
)


def publish(
    folder: Path | str, repo_id: str, private: bool = True, message: str = COMMIT_MESSAGE, token: str | None = None
) -> CommitInfo:
    """Check the folder, create the data set repository `repo_id` ("user/name") if needed, and commit the folder.

    `token` defaults to the one of `hf auth login` or HF_TOKEN. Returns the commit, the latest one if nothing changed.
    Raises ValueError for an unsuitable folder, an invalid `repo_id`, a missing token, and a repository whose
    visibility is not `private`; and huggingface_hub's errors for anything the Hub refuses.
    """
    folder = Path(folder)
    check_id("repo_id", repo_id)
    api = connect(token)
    files = check_folder(folder)
    if not private and has_other_license(read_card(folder)):
        logger.warning(PUBLIC_WARNING, repo_id)
    return push(folder, files, repo_id, "dataset", private=private, message=message, api=api)


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.publish", __doc__)
    parser.add_argument("folder", type=Path, help="folder written by a builder of this project")
    parser.add_argument("repo_id", help="repository, such as user/mmnerd; created if it does not exist")
    parser.add_argument(
        "--private",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="who may read it: you and those you admit (default), or everybody, which its licences may forbid",
    )
    parser.add_argument("--message", default=COMMIT_MESSAGE, help="message of the commit (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish from the command line and print the address."""
    options = read_command_line(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.getLogger("reports_2mner").setLevel(logging.INFO)
    try:
        commit = publish(options.folder, options.repo_id, options.private, options.message)
    except HfHubHTTPError as error:
        raise SystemExit(f"error: {refusal(options.repo_id, error)}") from error
    except (ValueError, OSError, RuntimeError, HTTPError) as error:
        raise SystemExit(f"error: {error}") from error
    condition = " while signed in, since it is private" if options.private else ""
    print(f"Published: {commit.commit_url}\nOpen it with load_dataset({options.repo_id!r}){condition}.")


if __name__ == "__main__":
    main()
