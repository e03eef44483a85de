"""Load saved models by the code in their folders alone; `test_remote_code.py` runs this in a process of its own.

Arguments: folders, each with a checkpoint, the pictures `0.png` and `1.png`, and what is expected in `expected.pt`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor, pipeline


class Blocked:
    """Make the installed or checked-out packages of this project impossible to import."""

    NAMES = (
        "modeling_2mner",
        "configuration_2mner",
        "training_2mner",
        "integrations_2mner",
        "dataset_scripts",
        "reports_2mner",
    )

    @classmethod
    def find_spec(cls, name: str, path=None, target=None) -> None:
        """Refuse this project's top-level packages and leave all other modules to the other finders."""
        if name.split(".")[0] in cls.NAMES:
            raise ModuleNotFoundError(f"{name} is not to be imported here")


def refuses_code_that_is_not_trusted(folder: Path) -> None:
    for auto in (AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor):
        try:
            auto.from_pretrained(folder, trust_remote_code=False)
        except ValueError as error:
            assert "trust_remote_code" in str(error), error
        else:
            raise AssertionError(f"{auto.__name__} ran code that was not trusted")


@torch.no_grad()
def load_and_compare(folder: Path, expected: dict) -> tuple:
    """Load by every Auto class and compare bit by bit with what the package itself computed."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    base = AutoModel.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForTokenClassification.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    for loaded in (config, base, model, processor):
        assert type(loaded).__module__.startswith("transformers_modules."), type(loaded)
    assert [type(loaded).__name__ for loaded in (config, base, model, processor)] == expected["classes"]
    images = [folder / "0.png", None, folder / "1.png", folder / "0.png"]
    batch = processor(expected["sentences"], images, expected["tags"])
    assert list(batch) == list(expected["batch"])
    assert all(torch.equal(batch[name], tensor) for name, tensor in expected["batch"].items())
    outputs = model(**batch)
    for name, tensor in expected["outputs"].items():
        assert torch.equal(outputs[name], tensor), name
    check_pipeline(folder, expected["sentences"])
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    assert torch.equal(base(**inputs).last_hidden_state, expected["states"])
    return model, processor


def check_pipeline(folder: Path, sentences: list[list[str]]) -> None:
    """The folder's own pipeline gives every word a tag, with a picture and without."""
    pipe = pipeline("multimodal-ner", model=str(folder), trust_remote_code=True, device="cpu")
    for image, status in ((str(folder / "0.png"), "ok"), (None, "missing")):
        answers = pipe([{"words": words, "image": image} for words in sentences], return_word_tags=True)
        assert [len(answer["words"]) for answer in answers] == [len(words) for words in sentences]
        assert all(answer["image_status"] == status for answer in answers)
    assert len(pipe("Anna Meier wohnt in Köln .", return_word_tags=True)["words"]) == 6


def main() -> None:
    """Check every folder, and the copy that each loaded model saves of itself."""
    sys.meta_path.insert(0, Blocked)
    for folder in map(Path, sys.argv[1:]):
        expected = torch.load(folder / "expected.pt", weights_only=True)
        refuses_code_that_is_not_trusted(folder)
        model, processor = load_and_compare(folder, expected)
        for part in (model, processor):
            part.save_pretrained(folder / "again")
        for number in (0, 1):
            (folder / "again" / f"{number}.png").write_bytes((folder / f"{number}.png").read_bytes())
        load_and_compare(folder / "again", expected)


if __name__ == "__main__":
    main()
