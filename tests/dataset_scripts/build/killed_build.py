"""Build a data set and be killed in the middle of a row: `python killed_build.py SOURCE IMAGES OUTPUT ROW`."""

import os
import signal
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from dataset_scripts.build import shards
from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.settings import BuildSettings

source, images, output, last = sys.argv[1:]
rows = count()
encode_row = shards.encode_row


def encode_row_or_die(row, schema):
    if next(rows) == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
    return encode_row(row, schema)


shards.encode_row = encode_row_or_die
build_dataset(source, images, output, settings=BuildSettings(rows_per_shard=10))
