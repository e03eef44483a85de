"""Answer the requests of a file, one a line, with the model of a folder, and report what each one cost.

    python tests/adversary/answer_requests.py FOLDER REQUESTS

Each line printed is `{"outcome", "seconds", "megabytes"}`: the peak above what the process held before.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import psutil

from modeling_2mner.handler import BadRequest, EndpointHandler


class Peak(threading.Thread):
    """Watches the memory of this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process()
        self.before = self.most = self.process.memory_info().rss
        self.over = False

    def run(self) -> None:
        while not self.over:
            self.most = max(self.most, self.process.memory_info().rss)
            time.sleep(0.005)


def main() -> None:
    handler = EndpointHandler(sys.argv[1], device="cpu")
    handler({"inputs": "Anna"})
    with open(sys.argv[2], encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            peak, start = Peak(), time.monotonic()
            peak.start()
            try:
                handler(data)
                outcome = "answered"
            except BadRequest:
                outcome = "refused"
            except Exception as error:  # reported to the test
                outcome = f"{type(error).__name__}: {error}"[:200]
            seconds = time.monotonic() - start
            peak.over = True
            peak.join()
            cost = {"outcome": outcome, "seconds": seconds, "megabytes": (peak.most - peak.before) / 1e6}
            print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main()
