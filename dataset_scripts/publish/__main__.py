"""Put a data set folder on the HuggingFace Hub, checked before and in one commit.

    python -m dataset_scripts.publish mmnerd user/mmnerd --private

The data set then opens with `load_dataset("user/mmnerd", "en")`. Run it again after a new build: what changed is
uploaded, and what is no longer in the folder is deleted on the Hub by the same commit.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError
from huggingface_hub.utils import validate_repo_id

from dataset_scripts.publish.check_folder import check_folder, has_other_license, read_card
from reports_2mner.command_line import make_parser

logger = logging.getLogger(__name__)

KEPT_ON_THE_HUB = {".gitattributes"}  # written by the Hub itself
MESSAGE = "Upload the data set"
LICENCES = (
    "%s will be public, and its layers have no common licence: the annotation and the translations state none, "
    "tweets are under the terms of Twitter, captions may be used with Google acknowledged, and every picture belongs "
    "to its owner. Publish it only if you may do so for each layer (see LICENSE.md), and consider that tweets and "
    "pictures show and name people."
)
REMEDIES = {
    401: "sign in again with `hf auth login`, or set HF_TOKEN to a token that is valid",
    403: "use a token that may write to this namespace, or publish under your own name",
    412: "the repository was changed meanwhile; look at what is there, and run this again",
}


def publish(
    folder: Path | str, repo_id: str, private: bool = True, message: str = MESSAGE, token: str | None = None
) -> CommitInfo:
    """Check the folder, make the data set repository `repo_id` ("user/name") if there is none, and commit the folder.

    `token` is by default the one of `hf auth login` or HF_TOKEN. Returns the commit, the newest one when nothing
    changed. Raises ValueError for a folder that does not fit, a bad `repo_id`, no token, and a repository that is not
    as `private` as asked; and huggingface_hub's errors for what the Hub refuses.
    """
    folder = Path(folder)
    validate_repo_id(repo_id)
    if repo_id.count("/") != 1:
        raise ValueError(f"`repo_id` must be a user or an organisation, a slash and a name, got {repo_id!r}.")
    if not (token or get_token()):
        raise ValueError("There is no token for the Hub; sign in with `hf auth login`, or set HF_TOKEN.")
    files = check_folder(folder)
    if not private and has_other_license(read_card(folder)):
        logger.warning(LICENCES, repo_id)
    api = HfApi(token=token)
    parent = _open_repository(api, repo_id, private)
    there = set(api.list_repo_files(repo_id, repo_type="dataset", revision=parent))
    stale = sorted(there - set(files) - KEPT_ON_THE_HUB)
    for name in stale:
        logger.info("Deleting %s on the Hub: it is not in %s.", name, folder)
    operations = [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in files),
        *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in stale),
    ]
    return api.create_commit(repo_id, operations, commit_message=message, repo_type="dataset", parent_commit=parent)


def _open_repository(api: HfApi, repo_id: str, private: bool) -> str | None:
    """Make the repository where there is none, check its visibility, and return its newest commit."""
    api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
    info = api.dataset_info(repo_id)
    if info.private != private:
        asked, is_now = ("private", "public") if private else ("public", "private")
        raise ValueError(
            f"{repo_id} was to be {asked}, but on the Hub it is {is_now}; change that in the repository's settings on "
            f"the Hub, or ask for a {is_now} one (`private={not private}`, --{'no-' if private else ''}private)."
        )
    return info.sha


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.publish", __doc__)
    parser.add_argument("folder", type=Path, help="folder that a builder of this project wrote")
    parser.add_argument("repo_id", help="where to put it, such as user/mmnerd; made when there is none")
    parser.add_argument(
        "--private",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="who may read it: you and those you let in (default), or everybody, which its licences may forbid",
    )
    parser.add_argument("--message", default=MESSAGE, help="message of the commit (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish from the command line and print where."""
    options = read_command_line(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logger.setLevel(logging.INFO)
    try:
        commit = publish(options.folder, options.repo_id, options.private, options.message)
    except HfHubHTTPError as error:
        remedy = REMEDIES.get(error.response.status_code, "try again later")
        raise SystemExit(f"error: the Hub refused {options.repo_id}: {error}\n{remedy}") from error
    except (ValueError, OSError, RuntimeError, HTTPError) as error:
        raise SystemExit(f"error: {error}") from error
    condition = ", signed in, for it is private" if options.private else ""
    print(f"Published: {commit.commit_url}\nOpen it with load_dataset({options.repo_id!r}){condition}.")


if __name__ == "__main__":
    main()
