"""A real Label Studio server for the slow tests.

It lives in an environment of its own, because it pins other versions than the project:

    python -m venv ls && ls/bin/pip install label-studio==1.23.2
    LABEL_STUDIO=ls/bin/label-studio python -m pytest -m slow tests/dataset_scripts tests/training_2mner
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
REASON = "no Label Studio: name its program in the environment, LABEL_STUDIO=..."
TOKEN = "0123456789" * 4
STARTING = 600  # seconds; the first start makes a data base
QUIET = {"COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "LATEST_VERSION_CHECK": "false"}


@contextmanager
def label_studio(place: Path, **environment: str) -> Iterator[str]:
    """The address of a server that serves the pictures in `place/files`, and is stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(place / "files"),
    }
    command = [PROGRAM, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(place / "data"), "--username", "owner@example.org", "--password", "Ab3-not-secret"]
    command += ["--user-token", TOKEN, "--enable-legacy-api-token"]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **QUIET, **served, **environment}, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process, place / "log")
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(STARTING):
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            pass
        if process.poll() is not None:
            break
        time.sleep(1)
    raise RuntimeError(f"Label Studio did not start: {log.read_text()[-2000:]}")
