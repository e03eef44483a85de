from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "docs" / "mkdocs_hook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "markdown", "expected"),
    [
        ("README.md", "see [data](docs/dataset.md#load-it)", "see [data](dataset.md#load-it)"),
        ("README.md", "![A page](docs/demo.png)", "![A page](demo.png)"),
        ("README.md", "in [constraints.txt](constraints.txt)", "in `constraints.txt`"),
        ("README.md", "ready: [demo/](demo/README.md)", "ready: demo/ (`demo/README.md`)"),
        ("docs/results.md", "[tables](../experiments/results/README.md)", "tables (`experiments/results/README.md`)"),
        ("docs/results.md", "[start](../README.md)", "[start](index.md)"),
        ("docs/results.md", "[models](baselines.md)", "[models](baselines.md)"),
        ("docs/api/index.md", "[a](../architecture.md), [b](training_2mner.md)", None),
        ("README.md", "[web](https://example.org/docs/dataset.md) [nothing](no/such.md) [out](../..)", None),
    ],
)
def test_links_lead_to_pages_or_name_the_file(site, source, markdown, expected):
    assert site.fix_links(markdown, ROOT / source) == (expected or markdown)


def test_every_page_is_in_the_navigation(site):
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted([*written, *site.PAGES.values()])
    assert all((ROOT / source).is_file() for source in site.PAGES)
