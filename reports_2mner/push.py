"""Publish a folder on the HuggingFace Hub, model or data set, in one commit on top of the state that was checked."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import validate_repo_id

logger = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
KEPT_ON_THE_HUB = {".gitattributes"}  # written by the Hub itself
IN_TRAINING = {"model": "; in train_hf.py --hub_private_repo {}"}
REMEDIES = {
    401: "sign in again with `hf auth login`, or set HF_TOKEN to a token that is valid",
    403: "use a token that may write to this namespace, or publish under your own name",
    412: "the repository has changed in the meantime; check its contents, and run this again",
}


def push(
    folder: Path,
    files: Iterable[str],
    repo_id: str,
    repo_type: str,
    *,
    private: bool,
    message: str,
    api: HfApi,
    tag: str | None = None,
) -> CommitInfo:
    """Commit these files of the folder to a repository, created if needed; its other files are deleted.

    Args:
        repo_type: `model` or `dataset`. private: whether only its owner may read it, or everybody. An existing
        repository must already have this setting. api: see [`connect`]. tag: a name for this version of the
        repository.

    Returns:
        The commit, the latest one if nothing changed.

    Raises:
        ValueError: for a repository whose visibility is not `private`, and for an existing tag; and huggingface_hub's
            errors for anything the Hub refuses, such as a commit made in the meantime.
    """
    files = sorted(files)
    parent = open_repository(api, repo_id, private, repo_type)
    if tag and any(ref.name == tag for ref in api.list_repo_refs(repo_id, repo_type=repo_type).tags):
        raise ValueError(f"{repo_id} already has a tag {tag!r}, and tags are not moved; choose another `tag`.")
    there = set(api.list_repo_files(repo_id, repo_type=repo_type, revision=parent))
    stale = sorted(there - set(files) - KEPT_ON_THE_HUB)
    for name in stale:
        logger.info("Deleting %s on the Hub: it is not among the published files.", name)
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in files),
        *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in stale),
    ]
    commit = api.create_commit(repo_id, operations, commit_message=message, repo_type=repo_type, parent_commit=parent)
    if tag:
        api.create_tag(repo_id, tag=tag, revision=commit.oid, repo_type=repo_type)
    return commit


def check_id(name: str, value: str) -> None:
    """Raise `ValueError` unless `value`, that of the argument `name`, is a Hub id with an owner."""
    if not HUB_ID.fullmatch(value):
        raise ValueError(f"`{name}` must be a user or an organisation, a slash and a name, got {value!r}.")
    validate_repo_id(value)


def connect(token: str | None = None) -> HfApi:
    """Return the Hub's API with a token, by default that of `hf auth login` or HF_TOKEN; `ValueError` without one."""
    token = token or get_token()
    if not token:
        raise ValueError("There is no token for the Hub; sign in with `hf auth login`, or set HF_TOKEN.")
    return HfApi(token=token)


def open_repository(api: HfApi, repo_id: str, private: bool, repo_type: str = "model") -> str | None:
    """Create the repository if needed, check its visibility, and return its latest commit."""
    api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
    info = api.repo_info(repo_id, repo_type=repo_type)
    if info.private != private:
        asked, is_now = ("private", "public") if private else ("public", "private")
        in_training = IN_TRAINING.get(repo_type, "").format(not private)
        raise ValueError(
            f"{repo_id} should be {asked}, but it is {is_now} on the Hub; change that in the repository's settings on "
            f"the Hub, or request a {is_now} one (`private={not private}`, --{'no-' if private else ''}private"
            f"{in_training})."
        )
    return info.sha


def refusal(repo_id: str, error: HfHubHTTPError) -> str:
    """Return the Hub's answer with a remedy."""
    return f"the Hub refused {repo_id}: {error}\n{REMEDIES.get(error.response.status_code, 'try again later')}"
