"""The page in a browser: the app runs in a child process, in the environment of `demo/requirements.txt`.

DEMO_PYTHON names that environment's interpreter. Chromium is the machine's, or the one that Playwright installed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demo import heat_map, highlight, reading
from demo.reading import SentenceReader
from modeling_2mner import TwoMNERForTokenClassification, TwoMNERPipeline

pytestmark = pytest.mark.slow

DEMO = Path(__file__).resolve().parents[2] / "demo"
PYTHON = os.environ.get("DEMO_PYTHON")
TEXT = "Anna Meier wohnt in Köln, nicht in São Paulo"
HTML = '<img src=x onerror=alert(1)> ${1+1} {{value}} <b>Köln</b> &amp; "São Paulo"'
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]


@pytest.fixture(scope="module")
def python() -> str:
    if not PYTHON:
        pytest.skip("the variable DEMO_PYTHON names no interpreter with demo/requirements.txt (`make app` makes one)")
    return PYTHON


@pytest.fixture(scope="module")
def network(make_model) -> TwoMNERForTokenClassification:
    """A tiny network that leaves out some words where it sees a picture."""
    network = make_model()
    with torch.no_grad():
        network.classifier.bias[0] += 1
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory, network, processor, make_picture) -> Path:
    """A tiny model with its code, and pictures to upload."""
    folder = tmp_path_factory.mktemp("demo")
    for part in (network, processor):
        part.save_pretrained(folder / "model")
    make_picture(4, 120, 90).save(folder / "good.png")
    make_picture(6, 3, 3).save(folder / "tiny.png")
    (folder / "broken.jpg").write_bytes(b"no picture at all")
    return folder


@pytest.fixture(scope="module")
def environment(folder) -> dict[str, str]:
    """The child's variables: none of the project's, nothing fetched, no trace outside the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON", "GRADIO_"))}
    own = {"HF_HOME": str(folder / "cache"), "GRADIO_TEMP_DIR": str(folder / "uploads"), "TMPDIR": str(folder)}
    return kept | own | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@contextmanager
def started(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Start the app and give its address; what it wrote is shown if it ends before."""
    with open(folder / "log.txt", "wb") as log:
        app = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        lines = iter(app.stdout.readline, "")
        found = next((match for line in lines if (match := re.search(r"The page is at (http://\S+)", line))), None)
        assert found, (folder / "log.txt").read_text(encoding="utf-8")
        yield found[1]
    finally:
        app.send_signal(signal.SIGINT)
        app.communicate(timeout=60)


@pytest.fixture(scope="module")
def address(python, folder, environment) -> Iterator[str]:
    with started([python, str(DEMO / "app.py"), "--model", str(folder / "model")], environment, folder) as address:
        yield address


@pytest.fixture(scope="module")
def reader(folder, network, processor) -> SentenceReader:
    """What the page should show, read in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "pipeline", lambda *_, **__: TwoMNERPipeline(model=network, processor=processor))
        return SentenceReader("folder")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)  # None: the one that Playwright installed
    names = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=path, args=["--no-sandbox", names])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address) -> Iterator:
    """The page, opened; in the end there were no errors, and nothing was asked of any other host."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(60_000)
    page, errors, strangers = context.new_page(), [], []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda sent: None if sent.url.startswith((address, "data:", "blob:")) else strangers.append(sent.url),
    )
    page.goto(address)
    yield page
    context.close()
    assert errors == [] and strangers == []


@pytest.fixture(scope="module")
def expect():
    return pytest.importorskip("playwright.sync_api").expect


def ask(page, text: str, picture: Path | None = None) -> None:
    """Type a sentence, upload a picture and click."""
    page.get_by_label("Sentence").fill(text)
    if picture is not None:
        page.locator("input[type=file]").set_input_files(picture)
        page.get_by_label("Remove Image").wait_for()
    page.get_by_role("button", name="Find the names").click()


def marked(text: str, entities: list[dict]) -> str:
    """The text that a visitor sees, with the types behind the names."""
    return unescape(re.sub("<[^>]*>", "", highlight.mark(text, entities)))


def check_table(table, entities: list[dict]) -> None:
    rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
    assert [row[:2] for row in rows] == [[entity["word"], highlight.type_style(entity)[0]] for entity in entities]
    scores = [float(row[2].removesuffix("%")) / 100 for row in rows]
    assert scores == pytest.approx([entity["score"] for entity in entities], abs=0.001)


def check_maps(page, read, place: int, reader: SentenceReader) -> None:
    """Compare the heat maps pixel by pixel, but for the rounding of another version of Pillow."""
    words = highlight.words_of(read.entities[place], read.offsets)
    for branch, class_token in reader.branches.items():
        look = heat_map.spread_attention(read.attention[branch], words, class_token)
        source = page.locator(f"#{branch.lower()}-map img").get_attribute("src")
        shown = Image.open(BytesIO(page.request.get(source).body())).convert("RGB")
        expected = heat_map.draw_heat_map(read.picture, look.regions)
        assert shown.size == expected.size
        assert np.abs(np.asarray(shown, int) - np.asarray(expected, int)).mean() < 2
        assert f"{look.regions.max():.1%}" in page.locator(f"#{branch.lower()}-legend").inner_text()


def test_a_sentence_with_its_picture(page, expect, folder, reader):
    read = reader.read(TEXT, str(folder / "good.png"))
    assert len(read.entities) > 1 and read.entities != read.words_alone
    ask(page, TEXT, folder / "good.png")
    expect(page.locator("#entities .sentence")).to_have_text(marked(TEXT, read.entities))
    expect(page.locator("#alone .sentence")).to_have_text(marked(TEXT, read.words_alone))
    check_table(page.locator("#entities"), read.entities)
    check_table(page.locator("#alone"), read.words_alone)
    expect(page.locator("#status")).to_have_text(highlight.explain("ok", "", read.entities, read.words_alone, True))
    first = highlight.most_telling(read.entities, read.words_alone)
    check_maps(page, read, first, reader)
    other = (first + 1) % len(read.entities)
    before = page.locator("#vit-map img").get_attribute("src")
    page.locator("#choice label").nth(other).click()
    expect(page.locator("#vit-map img")).not_to_have_attribute("src", before)
    check_maps(page, read, other, reader)


def test_a_sentence_without_picture(page, expect, reader):
    ask(page, TEXT)
    expect(page.locator("#status")).to_have_text(highlight.MISSING)
    expect(page.locator("#entities .sentence")).to_have_text(marked(TEXT, reader.read(TEXT, None).entities))
    for hidden in ("#alone", "#choice", "#vit-map", "#resnet-map"):
        expect(page.locator(hidden)).to_be_hidden()


@pytest.mark.parametrize(
    ("name", "text"),
    [("broken.jpg", highlight.UNREADABLE), ("tiny.png", highlight.DEGENERATE.format(reason="3 x 3 pixels"))],
)
def test_a_bad_picture_is_told_kindly(page, expect, folder, reader, name, text):
    ask(page, TEXT, folder / name)
    expect(page.locator("#status")).to_have_text(text)
    expect(page.locator("#entities .sentence")).to_have_text(marked(TEXT, reader.read(TEXT, None).entities))
    expect(page.locator("#vit-map")).to_be_hidden()
    ask(page, " ")
    expect(page.locator("#status")).to_have_text("Please write a sentence first.")
    expect(page.locator("#entities")).to_be_hidden()


def test_what_a_visitor_writes_stays_text(page, expect, folder, reader):
    dialogs = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    ask(page, HTML, folder / "good.png")
    expect(page.locator("#entities .sentence")).to_have_text(
        marked(HTML, reader.read(HTML, str(folder / "good.png")).entities)
    )
    assert page.locator("#entities img, #entities b").count() == 0
    assert dialogs == []


def examples() -> list[tuple[str, str, str | None]]:
    """Label, sentence and picture of each example, read off the source: this environment has no gradio to import."""
    body = ast.parse((DEMO / "app.py").read_text(encoding="utf-8")).body
    lists = [
        node.value
        for node in body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLE_INPUTS"
    ]
    return ast.literal_eval(lists[0])


def test_examples_are_read_at_a_click(page, expect, reader):
    for label, text, picture in examples():
        read = reader.read(text, picture and str(DEMO / "examples" / picture))
        page.get_by_role("button", name=label, exact=True).click()
        expect(page.get_by_label("Sentence")).to_have_value(text)
        expect(page.get_by_label("Remove Image")).to_have_count(int(picture is not None))
        expect(page.locator("#entities .sentence")).to_have_text(marked(text, read.entities))
        expect(page.locator("#alone")).to_be_visible(visible=picture is not None)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_are_readable(page, expect, folder, scheme):
    page.emulate_media(color_scheme=scheme)
    page.reload()
    ask(page, TEXT, folder / "good.png")
    expect(page.locator("#entities mark small").first).to_be_visible()
    dark = page.evaluate("document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")
    for part in page.locator("#entities mark, #entities mark small").all():
        assert part.evaluate("part => getComputedStyle(part).color") == "rgb(255, 255, 255)"


def test_a_narrow_page_needs_no_sideways_scrolling(page, expect, folder):
    page.set_viewport_size({"width": 400, "height": 800})
    ask(page, TEXT, folder / "good.png")
    page.locator("#resnet-map").scroll_into_view_if_needed()  # pictures out of sight are not loaded
    expect(page.locator("#resnet-map img")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    for part in page.locator("#entities table, #alone table, #vit-map img").all():
        box = part.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 400


def test_it_runs_as_the_root_of_a_space(python, folder, environment, tmp_path):
    shutil.copytree(DEMO, tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__"))
    variables = environment | {"MODEL_ID": str(folder / "model")}
    with started([python, "app.py"], variables, tmp_path / "space") as address:
        assert "2M-NER" in urllib.request.urlopen(address).read().decode()


@pytest.mark.parametrize("kind", ["missing", "other"])
def test_a_model_that_does_not_load_is_told(python, environment, tmp_path, kind):
    if kind == "other":
        (tmp_path / "runs" / "demo").mkdir(parents=True)
        (tmp_path / "runs" / "demo" / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    command = [python, str(DEMO / "app.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "error: 'runs/demo' does not load" in done.stderr and "`make demo` trains" in done.stderr
    assert ("does not bring the pipeline" in done.stderr) == (kind == "other")
    assert "Traceback" not in done.stderr
