"""What the worst requests cost that the limits of the handler let pass: seconds, and memory above the loaded model.

    python benchmarks/largest_request.py

The full-size network with random weights on two threads. On a machine that others use too, the seconds of the processor
say more than those of the clock: half of them is what two free cores need at best.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import time
from pathlib import Path

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.full_size import jpeg, tokenizer_for
from configuration_2mner import load_preset
from modeling_2mner import TwoMNERForTokenClassification, TwoMNERPipeline, TwoMNERProcessor
from modeling_2mner.handler import EndpointHandler, Limits

LIMITS = Limits()


def main() -> None:
    """Run from the command line."""
    torch.set_num_threads(2)
    torch.manual_seed(19)
    processor = TwoMNERProcessor(tokenizer=tokenizer_for([["a"]]))
    model = TwoMNERForTokenClassification(load_preset("2m-ner")).eval()
    handler = EndpointHandler.__new__(EndpointHandler)
    handler.limits, handler.pipeline = LIMITS, TwoMNERPipeline(model=model, processor=processor, device="cpu")
    handler({"inputs": {"words": ["a"], "image": encode(jpeg(0))}})  # first use of every kernel
    for name, request in requests().items():
        measure(name, handler, request)


def requests() -> dict[str, dict]:
    """Requests at the limits, by name."""
    pictures = [encode(jpeg(number)) for number in range(LIMITS.pictures)]
    attended = LIMITS.work // LIMITS.pictures
    rest = {"words": ["a"] * (LIMITS.words - attended)}
    short = {"words": ["a"] * (LIMITS.words // LIMITS.sentences)}
    longest_readings = {"words": ["a"] * (LIMITS.readings // LIMITS.n_best)}
    return {
        "one long text": {"inputs": {"words": ["a"] * LIMITS.words}},
        "one text, all pictures": {"inputs": {"words": ["a"] * attended, "image": pictures}},
        "empty pictures": {"inputs": {"words": ["a"] * attended, "image": [""] * LIMITS.pictures}},
        "as many sentences": {"inputs": [short] * LIMITS.sentences},
        "one long, many short": {
            "inputs": [{"words": ["a"] * 3000}, *[{"words": ["a"] * 15}] * (LIMITS.sentences - 1)]
        },
        "largest picture, PNG": {"inputs": {"words": ["a"], "image": encode(large("PNG", "RGBA"))}},
        "largest picture, JPEG": {"inputs": {"words": ["a"], "image": encode(large("JPEG", "RGB", progressive=True))}},
        "all readings": {
            "inputs": longest_readings,
            "parameters": {"n_best": LIMITS.n_best, "return_word_tags": True},
        },
        "everything": {"inputs": [{"words": ["a"] * attended, "image": pictures}, rest]},
    }


def large(kind: str, mode: str, **options: bool) -> bytes:
    """The largest picture, with content that does not compress to nothing."""
    tile = Image.effect_noise((500, 500), 60).convert(mode)
    picture = Image.new(mode, (8000, LIMITS.pixels // 8000))
    for place in range(0, 8000, 500):
        picture.paste(tile, (place, 0))
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def measure(name: str, handler: EndpointHandler, request: dict) -> None:
    """Print what one request costs."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before, started, used = memory("VmRSS"), time.perf_counter(), sum(os.times()[:2])
    handler(request)
    seconds, processor = time.perf_counter() - started, sum(os.times()[:2]) - used
    print(
        f"{name:24} {seconds:6.1f} s  {processor / 2:6.1f} s x 2 cores  {memory('VmHWM') - before:6.0f} MB", flush=True
    )


def memory(field: str) -> float:
    """A figure of this process in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) / 1024


if __name__ == "__main__":
    main()
