"""Builds of data of one's own for tests."""

from __future__ import annotations

import json

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.own import OwnSettings
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.reading import read_rows

ITALIAN = OwnSettings(language="it")


def build(source, output, own=ITALIAN, images=None, **settings):
    """Build, and return the rows by the name of their picture, and the report."""
    settings = BuildSettings("other", **settings)
    report = build_dataset(source, images, output, settings=settings, own=own)
    return {row["image_id"]: row for row in read_rows(output)}, report


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path
