"""Put the model of a run on the HuggingFace Hub, checked before and in one commit."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, get_token
from huggingface_hub.utils import validate_repo_id

from training_2mner.hub.staging import CARD, HUB_ID, Names, stage

logger = logging.getLogger(__name__)

CHECK = Path(__file__).with_name("load_cleanly.py")
KEPT_ON_THE_HUB = {".gitattributes"}  # written by the Hub itself
MESSAGE = "Upload the model"
# What the process that tries the release must not have: the right to publish, and a place in a group of processes.
KEPT_FROM_CHECK = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


def release(
    folder: Path | str,
    repo_id: str,
    private: bool = False,
    tag: str | None = None,
    message: str = MESSAGE,
    space: str | None = None,
    dataset: str | None = None,
    token: str | None = None,
) -> CommitInfo:
    """Check the run folder, make the model repository `repo_id` ("user/name") if there is none, and commit the release.

    Before anything is uploaded, a copy of the release is loaded in a process of its own that does not know this project,
    and tags a sentence with a picture and without.

    Args:
        folder: a run folder of `train_hf.py`.
        private: who may read it: only its owner, or everybody.
        tag: what to call this version of the repository.
        space, dataset: Hub ids for the card: of a Space that shows the model, and of the data set that it learned from
            where the run read it from a folder.
        token: by default that of `hf auth login` or HF_TOKEN.

    Returns:
        The commit, the newest one when nothing changed.

    Raises:
        ValueError: for a folder that does not fit, a bad id, no token, a tag that is there already, and a repository
            that is not as `private` as asked; and huggingface_hub's errors for what the Hub refuses.
    """
    for name, value in (("repo_id", repo_id), ("space", space), ("dataset", dataset)):
        check_id(name, value or "user/name")
    api = connect(token)
    with tempfile.TemporaryDirectory(prefix="release-") as place:
        staged = Path(place) / repo_id.split("/")[1]
        staged.mkdir()
        left_out = stage(Path(folder), staged, Names(repo_id, space, dataset))
        check_in_clean_process(staged)
        logger.info("Left out of the release: %s.", ", ".join(left_out) or "nothing")
        if not private and not ModelCard.load(staged / CARD).data.license:
            logger.warning(
                "%s will be public, and its card states no licence, so that nobody is told what they may do with the "
                "weights. What you may allow depends on the data, too; write it as `license:` at the top of README.md.",
                repo_id,
            )
        parent = open_repository(api, repo_id, private)
        _check_tag(api, repo_id, tag)
        operations = _operations(api, repo_id, parent, staged)
        commit = api.create_commit(repo_id, operations, commit_message=message, parent_commit=parent)
    if tag:
        api.create_tag(repo_id, tag=tag, revision=commit.oid)
    return commit


def check_id(name: str, value: str) -> None:
    """Raise `ValueError` if the argument `name` is no Hub id with an owner."""
    if not HUB_ID.fullmatch(value):
        raise ValueError(f"`{name}` must be a user or an organisation, a slash and a name, got {value!r}.")
    validate_repo_id(value)


def connect(token: str | None = None) -> HfApi:
    """Speak to the Hub with a token, by default that of `hf auth login` or HF_TOKEN; `ValueError` without any."""
    token = token or get_token()
    if not token:
        raise ValueError("There is no token for the Hub; sign in with `hf auth login`, or set HF_TOKEN.")
    return HfApi(token=token)


def check_in_clean_process(folder: Path) -> None:
    """Load the folder and predict where this project is not known and nothing can be downloaded.

    Raises:
        ValueError: if that fails, with the process's last words.
    """
    with tempfile.TemporaryDirectory(prefix="clean-") as home:
        environment = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_CHECK}
        environment |= {"HF_HOME": home, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": home, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", CHECK.read_text(encoding="utf-8"), str(folder.resolve())]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(
            f"the model does not work where this project is not installed; nothing was published:\n{done.stderr[-2000:]}"
        )


def open_repository(api: HfApi, repo_id: str, private: bool) -> str | None:
    """Make the repository where there is none, check its visibility, and return its newest commit."""
    api.create_repo(repo_id, private=private, exist_ok=True)
    info = api.model_info(repo_id)
    if info.private != private:
        asked, is_now = ("private", "public") if private else ("public", "private")
        raise ValueError(
            f"{repo_id} was to be {asked}, but on the Hub it is {is_now}; change that in the repository's settings on "
            f"the Hub, or ask for a {is_now} one (`private={not private}`, --{'no-' if private else ''}private; in "
            f"train_hf.py --hub_private_repo {not private})."
        )
    return info.sha


def _check_tag(api: HfApi, repo_id: str, tag: str | None) -> None:
    if tag and any(ref.name == tag for ref in api.list_repo_refs(repo_id).tags):
        raise ValueError(f"{repo_id} has a tag {tag!r} already, and tags are not moved; choose another for `tag`.")


def _operations(api: HfApi, repo_id: str, parent: str | None, staged: Path) -> list:
    """Upload every file of the release, and delete what the Hub has beside them."""
    files = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
    stale = sorted(set(api.list_repo_files(repo_id, revision=parent)) - set(files) - KEPT_ON_THE_HUB)
    for name in stale:
        logger.info("Deleting %s on the Hub: it is not part of the release.", name)
    return [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=staged / name) for name in files),
        *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in stale),
    ]
