"""Pull a model by its id, in a process that has never seen the project; `test_hub.py` runs this.

Arguments: a folder with `expected.pt` and `picture.png`, the repository, and optionally one with planted code. The first
run finds an empty cache and a Hub, a later one, without the second repository, a full cache and no Hub.
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from transformers import AutoModel, AutoModelForTokenClassification, AutoProcessor, pipeline

REMOTE_CODE = runpy.run_path(str(Path(__file__).resolve().parents[2] / "load_remote_code.py"))
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@torch.no_grad()
def compare(repo: str, expected: dict, picture: Path) -> None:
    """What model and processor compute is bit by bit what they compute from the local folder."""
    processor = AutoProcessor.from_pretrained(repo, trust_remote_code=True)
    tagger = AutoModelForTokenClassification.from_pretrained(repo, trust_remote_code=True)
    assert type(tagger).__module__.startswith("transformers_modules."), type(tagger)
    batch = processor(expected["sentences"], [picture, None])
    assert all(torch.equal(batch[name], tensor) for name, tensor in expected["batch"].items())
    outputs = tagger(**batch)
    assert torch.equal(outputs.logits, expected["logits"])
    assert torch.equal(outputs.predictions, expected["predictions"])
    encoder = AutoModel.from_pretrained(repo, trust_remote_code=True)
    assert torch.equal(encoder(**batch).last_hidden_state, expected["states"])


def refuses_the_pipeline(repo: str) -> None:
    """Whether trust is refused or not spoken of; nobody is there to be asked."""
    for settings in ({"trust_remote_code": False}, {}):
        try:
            pipeline("multimodal-ner", model=repo, **settings)
        except ValueError as error:
            assert "trust_remote_code" in str(error), error
        else:
            raise AssertionError("the pipeline ran code that was not trusted")


def compare_entities(repo: str, expected: dict, picture: Path) -> None:
    pipe = pipeline("multimodal-ner", model=repo, trust_remote_code=True)
    rows = [{"text": expected["sentences"][0], "image": str(picture)}, {"text": expected["sentences"][1]}]
    assert [list(entities) for entities in pipe(rows)] == expected["entities"]
    for row, entities in zip(rows, expected["entities"], strict=True):
        assert all(row["text"][entity["start"] : entity["end"]] == entity["word"] for entity in entities)


def run_the_card(repo: str) -> None:
    """The card's own lines work as they stand there, one after the other."""
    text = Path(hf_hub_download(repo, "README.md")).read_text(encoding="utf-8")
    names: dict = {}
    for snippet in SNIPPET.findall(text):
        assert f'"{repo}"' in snippet, snippet
        exec(snippet, names)
    keys = ("entity_group", "word", "start", "end")
    assert names["names"] == [[{key: entity[key] for key in keys} for entity in names["entities"]]]
    assert len(names["entities"]) and names["vectors"].shape[1] == len(names["batch"].words[0])


def main() -> None:
    """Compare all there is; what is not trusted is refused."""
    sys.meta_path.insert(0, REMOTE_CODE["Blocked"])
    place, repo, *planted = sys.argv[1:]
    expected = torch.load(Path(place) / "expected.pt", weights_only=True)
    picture = Path(place) / "picture.png"
    if planted:
        REMOTE_CODE["refuses_code_that_is_not_trusted"](repo)
        refuses_the_pipeline(repo)
        compare(planted[0], expected, picture)
        run_the_card(repo)
    compare(repo, expected, picture)
    compare_entities(repo, expected, picture)


if __name__ == "__main__":
    main()
