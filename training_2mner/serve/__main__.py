"""Serve a model over HTTP, for tests and small deployments.

    python -m training_2mner.serve runs/demo
    curl -H "Content-Type: application/json" -d '{"inputs": "Anna lives in Paris."}' http://127.0.0.1:8000/
    python -m training_2mner.serve runs/demo --label_studio --document_root /data

Requests and answers have the form of Inference Endpoints (`modeling_2mner/handler.py`). Requests that wait are batched with
others of like length, and the one that has waited longest is always in the next batch. With --label_studio it is a machine-learning backend of Label Studio instead
(docs/other-programs.md). There is no authentication and no encryption: put a server that others can reach behind a
proxy that has both. Ctrl-C stops it after the requests in progress have been answered.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import add_backend, at_least, between, exit_on_error, make_parser

# The defaults and meanings of `modeling_2mner.handler.Limits`, which takes seconds to import.
LIMITS = {
    "sentences": (64, "sentences"),
    "characters": (50_000, "characters"),
    "words": (4_000, "words"),
    "pieces": (4_000, "sub-words"),
    "pictures": (24, "pictures"),
    "picture_bytes": (20_000_000, "picture_bytes"),
    "pixels": (24_000_000, "pixels"),
    "work": (6_000, "pairs of a word and a picture"),
    "readings": (10_000, "words in all readings (words x `n_best`)"),
    "n_best": (100, "n_best"),
}


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.serve", __doc__)
    add = parser.add_argument
    add("model", help="run folder, exported folder or Hub id of the model")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 admits other machines (default: %(default)s)",
    )
    add(
        "--port",
        type=between(0, 65535),
        default=8000,
        help="port to listen on; 0 for any free one (default: %(default)s)",
    )
    add("--max_batch", type=at_least(1), default=32, help="maximum sentences per batch (default: %(default)s)")
    add(
        "--max_wait_ms",
        type=at_least(0.0),
        default=0,
        help="how long a request waits for others even if the model is idle; requests that arrive while it works "
        "form the next batch anyway (default: %(default)s)",
    )
    add("--max_body_mb", type=at_least(0.0), default=32, help="maximum size of a request (default: %(default)s)")
    add("--max_queue", type=at_least(1), default=256, help="maximum requests in progress (default: %(default)s)")
    add("--label_studio", action="store_true", help="be a machine-learning backend of Label Studio")
    add(
        "--document_root",
        type=Path,
        help="for --label_studio: the folder of its local files (default: $LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT)",
    )
    add("--upload_root", type=Path, help="for --label_studio: the folder of its uploads, media/upload in its data")
    add(
        "--allow_urls",
        action="store_true",
        help="for --label_studio: fetch pictures from the web, from public hosts only",
    )
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_backend(parser)
    for name, (limit, meaning) in LIMITS.items():
        text = f"{meaning} of a request at most (default: that of the environment, else {limit})"
        add(f"--max_{name}", type=int, help=text)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve from the command line until interrupted."""
    options = read_command_line(arguments)
    from training_2mner.serve.service import build_service  # this takes seconds, and the help does not need it

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    with exit_on_error():
        service = build_service(options)
    import uvicorn

    uvicorn.run(service.app, host=options.host, port=options.port, http="h11", ws="none", server_header=False)


if __name__ == "__main__":
    main()
