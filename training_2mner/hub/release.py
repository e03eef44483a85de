"""Check the model of a run and publish it on the HuggingFace Hub in one commit."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from huggingface_hub import CommitInfo, ModelCard

from reports_2mner.push import check_id, connect, push
from training_2mner.hub.staging import CARD, Names, stage

logger = logging.getLogger(__name__)

CHECK = Path(__file__).with_name("load_cleanly.py")
COMMIT_MESSAGE = "Upload the model"
# Kept from the process that checks the release: the permission to publish and membership in a process group.
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
    message: str = COMMIT_MESSAGE,
    space: str | None = None,
    dataset: str | None = None,
    token: str | None = None,
) -> CommitInfo:
    """Check the run folder, create the model repository `repo_id` ("user/name") if necessary, and commit the release.

    Before anything is uploaded, a copy of the release is loaded in a separate process without this project and tags a
    sentence with a picture and without.

    Args:
        folder: a run folder of `train_hf.py`, or an export.
        private: whether only its owner may read it.
        tag: the tag of this version of the repository.
        space, dataset: Hub ids for the card: of a Space that shows the model, and of the training data if the run read
            them from a folder.
        token: by default from `hf auth login` or HF_TOKEN.

    Returns:
        The commit, or the latest one if nothing changed.

    Raises:
        ValueError: for an unsuitable folder, a bad id, a missing token, an existing tag, and a repository whose
            visibility is not `private`; and huggingface_hub's errors for what the Hub refuses.
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
                "%s will be public, and its card states no licence, so nobody knows what they may do with the "
                "weights. State one that the data, too, allow as `license:` at the top of README.md.",
                repo_id,
            )
        files = (path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
        return push(staged, files, repo_id, "model", private=private, message=message, api=api, tag=tag)


def check_in_clean_process(folder: Path) -> None:
    """Load the folder and predict where this project cannot be imported and nothing can be downloaded.

    Raises:
        ValueError: if that fails, with the end of the process's error output.
    """
    with tempfile.TemporaryDirectory(prefix="clean-") as home:
        environment = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_CHECK}
        environment |= {"HF_HOME": home, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": home, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", CHECK.read_text(encoding="utf-8"), str(folder.resolve())]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(
            "the model does not work where this project is not installed; nothing was published:\n"
            f"{done.stderr[-2000:]}"
        )
