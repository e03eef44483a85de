"""Load a folder as its users would, without this project, and predict with a picture and without.

`training_2mner.hub.release` runs this source in a new process, so it must not import anything from the project. Its
argument is the folder.
"""

import math
import sys
from typing import Any

import numpy as np
from PIL import Image
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor, pipeline

SENTENCE = "Angela Merkel visited the Louvre in Paris ."


class Blocked:
    """Make the packages of this project impossible to import."""

    NAMES = ("modeling_2mner", "configuration_2mner", "reports_2mner", "training_2mner", "dataset_scripts")

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse the project's packages; all others are left to the other finders."""
        if name.split(".")[0] in cls.NAMES:
            raise ModuleNotFoundError(f"{name} is not part of the release")


def load_as_user(folder: str) -> Any:
    """Load the folder with every Auto class; returns the pipeline."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    if "AutoModel" in config.auto_map:  # not of an export, whose network is graphs
        _, report = AutoModel.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
        require(not report["missing_keys"], f"AutoModel lacks the weights {sorted(report['missing_keys'])[:5]}")
    _, report = AutoModelForTokenClassification.from_pretrained(
        folder, trust_remote_code=True, output_loading_info=True
    )
    require(not any(report.values()), f"the weights do not fit the network: {report}")
    task: Any = "multimodal-ner"  # the annotations list only the tasks of transformers itself
    return pipeline(task, model=folder, trust_remote_code=True, device="cpu")


def check_prediction(pipe: Any, image: Image.Image | None, status: str) -> None:
    """Tag the sentence and check that each word has a tag with a probability."""
    answer = pipe({"text": SENTENCE, "image": image}, return_word_tags=True)
    require(answer["image_status"] == status, f"the picture is {answer['image_status']!r}, not {status!r}")
    require(len(answer["words"]) == len(SENTENCE.split()), f"the sentence came back as {answer['words']}")
    scores = [word["score"] for word in answer["words"]]
    require(
        all(math.isfinite(score) and 0 <= score <= 1.001 for score in scores), f"these are not probabilities: {scores}"
    )


def require(holds: bool, message: str) -> None:
    """Raise a `ValueError` with this message unless the condition holds."""
    if not holds:
        raise ValueError(message)


def main() -> None:
    """Load, check where the code came from, and predict."""
    sys.meta_path.insert(0, Blocked)
    pipe = load_as_user(sys.argv[1])
    for part in (pipe, pipe.model, pipe.processor):
        require(type(part).__module__.startswith("transformers_modules."), f"{type(part)} is not from the folder")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    check_prediction(pipe, Image.fromarray(noise), "ok")
    check_prediction(pipe, None, "missing")


if __name__ == "__main__":
    main()
