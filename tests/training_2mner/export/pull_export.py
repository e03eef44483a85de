"""Pull an export by its id and answer, in a process with nothing but its runner; `test_export.py` runs this.

Arguments: the repository, a file of questions, and a file for the answers.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

from transformers import pipeline

REMOTE_CODE = runpy.run_path(str(Path(__file__).resolve().parents[2] / "load_remote_code.py"))
NOT_NEEDED = ("onnx", "onnxscript", "openvino", "nncf", "datasets", "accelerate", "seqeval")


def main() -> None:
    """Answer the questions with the pipeline alone."""
    repo, questions, answers = sys.argv[1:]
    REMOTE_CODE["Blocked"].NAMES += NOT_NEEDED
    sys.meta_path.insert(0, REMOTE_CODE["Blocked"])
    pipe = pipeline("multimodal-ner", model=repo, trust_remote_code=True, backend="onnx")
    for part in (pipe, pipe.model, pipe.processor):
        assert type(part).__module__.startswith("transformers_modules."), type(part)
    asked = json.loads(Path(questions).read_text(encoding="utf-8"))
    Path(answers).write_text(json.dumps(pipe(asked)), encoding="utf-8")


if __name__ == "__main__":
    main()
