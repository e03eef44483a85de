"""The demo page of 2M-NER: `python demo/app.py --model runs/demo`, or the app of a Space.

It runs from a checkout or, with the files beside it, as the root of a Space whose variable MODEL_ID names the model.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
import heat_map
import highlight
from reading import Reading, SentenceReader
from safetensors import SafetensorError

PICTURES = Path(__file__).resolve().parent / "examples"
EXAMPLE_INPUTS = [
    ("English: a person", "Everyone is talking about Santiago today.", "person.jpg"),
    ("English: a place", "Everyone is talking about Santiago today.", "place.jpg"),
    (
        "Français : une organisation",
        "Une nouvelle photo montrant Santiago circule depuis ce matin.",
        "organisation.jpg",
    ),
    ("Español: un barco", "Hoy todo el mundo habla de Santiago.", "ship.jpg"),
    ("Deutsch: zwei Namen", "Renault hat einen Bericht über Santiago veröffentlicht.", "place.jpg"),
    ("English: no picture", "In Seville it rained all night.", None),
]
DEFAULT_MODEL = "runs/demo"
MAX_SENTENCE = 2000
MAX_UPLOAD = "20mb"
MAX_WAITING = 32  # visitors in the queue
SECONDS_KEPT = 3600  # after which an uploaded picture is deleted
INTRODUCTION = """# 2M-NER: names in a sentence and its picture
Is *Santiago* a person, a place, a company or a ship? Often only the picture shows it. Write a sentence in English,
French, Spanish or German, add its picture, and see what the model finds with the picture and without."""
THEME = gr.themes.Default(
    primary_hue="blue",
    # The weights that gradio ships completely; weight 600 has only a few letters.
    font=(gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"),
)
CSS = Path(__file__).with_name("app.css").read_text(encoding="utf-8")


class Page:
    """The parts of the page and what they do.

    Args:
        reader ([`SentenceReader`]): the model.
    """

    def __init__(self, reader: SentenceReader):
        self.reader = reader
        with gr.Blocks(title="2M-NER", delete_cache=(SECONDS_KEPT, SECONDS_KEPT)) as self.blocks:
            gr.Markdown(INTRODUCTION)
            self.reading = gr.State(time_to_live=SECONDS_KEPT)
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    self._place_inputs()
                with gr.Column(scale=3, min_width=320):
                    self._place_results()
            self._connect()

    def _place_inputs(self) -> None:
        placeholder = "Everyone is talking about Santiago today."
        self.sentence = gr.Textbox(label="Sentence", placeholder=placeholder, max_lines=6, max_length=MAX_SENTENCE)
        self.picture = gr.Image(label="Picture (optional)", sources=["upload", "clipboard"], height=260)
        self.button = gr.Button("Find the names", variant="primary")
        self.examples = gr.Column()

    def _place_results(self) -> None:
        self.status = gr.Markdown("The names will appear here. Try one of the examples.", elem_id="status")
        with gr.Row(visible=False) as self.results:
            _, self.entities = self._place_entities("entities")
            self.beside, self.alone = self._place_entities("alone")
        with gr.Column(visible=False) as self.attention:
            self.choice = gr.Radio(label="Where did the model look for this name?", elem_id="choice")
            with gr.Row():
                places = [self._place_map(branch) for branch in self.reader.branches]
            self.maps, self.legends = [picture for picture, _ in places], [legend for _, legend in places]

    @staticmethod
    def _place_entities(name: str) -> tuple[gr.Column, gr.HTML]:
        with gr.Column(min_width=260) as column:
            return column, gr.HTML(container=True, elem_id=name, elem_classes="entities")

    @staticmethod
    def _place_map(branch: str) -> tuple[gr.Image, gr.HTML]:
        with gr.Column(min_width=240):
            name = f"{branch}-map".lower()
            shown = {"format": "png", "show_label": False, "interactive": False, "buttons": []}
            picture = gr.Image(elem_id=name, alt_text=f"{branch} heat map", **shown)
            return picture, gr.HTML(elem_id=f"{branch}-legend".lower(), elem_classes="legend")

    def _connect(self) -> None:
        inputs, maps = [self.sentence, self.picture], [*self.maps, *self.legends]
        found = [self.results, self.entities, self.beside, self.alone]
        outputs = [self.reading, self.status, *found, self.attention, self.choice, *maps]
        with self.examples:
            rows = [[text, str(PICTURES / picture) if picture else None] for _, text, picture in EXAMPLE_INPUTS]
            examples = gr.Examples(rows, inputs, example_labels=[label for label, _, _ in EXAMPLE_INPUTS])
        events = [self.button.click, self.sentence.submit, examples.load_input_event.then]
        for event in events:
            # Gradio's own preprocessing refuses a broken picture with a bare "Error"; the pipeline says what is wrong.
            # Gradio still checks that the path is that of an uploaded file.
            event(self.read, inputs, outputs, preprocess=False, api_visibility="private")
        self.choice.input(self.look, [self.reading, self.choice], maps, api_visibility="private")

    def read(self, sentence: str, picture: dict | None) -> list:
        """Read a sentence with the picture, a file as described by gradio, and fill the page."""
        if not sentence.strip():
            return self._say("Please write a sentence first.")
        if len(sentence) > MAX_SENTENCE:
            return self._say(f"Please write at most {MAX_SENTENCE} characters, not {len(sentence)}.")
        reading = self.reader.read(sentence, picture["path"] if picture else None)
        found, alone, used = reading.entities, reading.words_alone, reading.with_picture is not None
        first = highlight.most_telling(found, alone)
        return [
            reading,
            highlight.explain(reading.status, reading.reason, found, alone, self.reader.looks),
            gr.Row(visible=True),
            highlight.show("With the picture" if used else "The words alone", sentence, found, self.reader.types),
            gr.Column(visible=used),
            highlight.show("The words alone", sentence, alone, self.reader.types),
            gr.Column(visible=bool(reading.attention and found)),
            gr.Radio(choices=highlight.choices(found), value=first),
            *self.look(reading, first),
        ]

    def _say(self, message: str) -> list:
        hidden, choice = gr.Column(visible=False), gr.Radio(choices=[], value=None)
        return [None, message, gr.Row(visible=False), "", hidden, "", hidden, choice, *self.look(None, None)]

    def look(self, reading: Reading | None, place: int | None) -> list:
        """Draw where the words of an entity looked, one map per branch."""
        if reading is None or place is None or not reading.attention:
            return [None] * (2 * len(self.reader.branches))
        words = highlight.words_of(reading.entities[place], reading.offsets)
        looks = [
            heat_map.spread_attention(reading.attention[branch], words, class_token)
            for branch, class_token in self.reader.branches.items()
        ]
        maps = [heat_map.draw_heat_map(reading.picture, look.regions) for look in looks]
        return [*maps, *map(heat_map.legend, self.reader.branches, looks)]


def load_or_exit(model: str) -> SentenceReader:
    """Load a model, or exit with an error and its remedy."""
    try:
        return SentenceReader(model)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        # the message of transformers lists all its own tasks
        reason = 'it does not bring the pipeline "multimodal-ner"' if isinstance(error, KeyError) else error
        raise SystemExit(
            f"error: {model!r} does not load: {reason}\n`make demo` trains a small model in {DEFAULT_MODEL}; name "
            "another, which must bring its own code, by --model or the variable MODEL_ID, as a folder or a Hub id."
        ) from error


def main(arguments: list[str] | None = None) -> None:
    """Start the page and print its address."""
    parser = argparse.ArgumentParser(prog="python demo/app.py", description=__doc__)
    parser.add_argument("--model", default=os.environ.get("MODEL_ID", DEFAULT_MODEL), help="a folder or a Hub id")
    parser.add_argument("--host", help="address to listen on (default: only this machine)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--share", choices=("on", "off"), default="off", help="let Gradio create a public address")
    options = parser.parse_args(arguments)
    blocks = Page(load_or_exit(options.model)).blocks.queue(max_size=MAX_WAITING)
    _, address, public = blocks.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share == "on",
        max_file_size=MAX_UPLOAD,
        theme=THEME,
        css=CSS,
        footer_links=["gradio", "settings"],
        run_history=False,
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f"The page is at {public or address} (Ctrl-C stops it)", flush=True)
    blocks.block_thread()


if __name__ == "__main__":
    main()
