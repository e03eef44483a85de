from __future__ import annotations

import pytest

from dataset_scripts.construct.tools import folder_hash, optional_module


def test_a_package_that_is_missing_is_named_with_how_to_install_it():
    assert optional_module("json", "json", "Reading").loads("1") == 1
    with pytest.raises(ValueError, match=r"Aligning needs no-such; install it with pip install '2m-ner\[construct\]'"):
        optional_module("no_such_package.part", "no-such", "Aligning")


def test_a_folder_is_known_by_what_it_holds_and_not_by_what_a_run_left_there(tmp_path):
    hashes = []
    for name in ("config.json", "checkpoint-5/weights", "__pycache__/code.pyc", "deep/weights"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
        hashes.append(folder_hash(tmp_path))
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
    (tmp_path / "config.json").write_text("other")
    assert folder_hash(tmp_path) not in hashes
