"""Exported models: a runner computes the emissions from graphs, and this project's CRF decodes them.

`python -m training_2mner.export` writes such a folder: graphs for ONNX Runtime or OpenVINO, and the CRF in
`model.safetensors`. It is loaded and used like any other model.
"""

import ctypes
import hashlib
import os
import re
import reprlib
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor
from transformers.utils import can_return_tuple
from transformers.utils.hub import cached_file

from .configuration_tagging import TaggingConfig
from .crf import LinearChainCRF
from .encoders import WINDOW_PIECES, default_first_window, default_image_index
from .foreign_inputs import drop_foreign
from .outputs import TaggerOutput
from .stock_arguments import whole_number
from .tagging import TaggingPreTrainedModel, WordTagger

BACKENDS = ("onnx", "openvino")
PRECISIONS = ("fp32", "bf16", "int8")
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
_FILE_NAME = re.compile(r"\w[\w.-]*")
# What a batch brings; the other inputs of a graph are outputs of graphs before it.
_BATCH = (
    *("input_ids", "attention_mask", "word_positions", "first_window", "image_index"),
    *("pixel_values", "resnet_pixel_values"),
)
_TEXT = {"input_ids", "attention_mask", "word_positions"}  # the inputs of a graph that computes something of each word
MOST_THREADS = 1024  # a runner starts each thread that it is told to, and they wait by spinning
_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
# In what OpenVINO computes all that is not quantised; a CPU without bfloat16 takes float32. Left alone, OpenVINO takes
# bfloat16 for everything where the CPU has it.
_OPENVINO_PRECISION = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}

# Named tensors in, named tensors out.
Runner: TypeAlias = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def _check_graph(graph: Any, known: set[str]) -> None:
    """Raise ValueError for what is no graph, and for one with files elsewhere or with inputs that are not `known` yet."""
    lists = ("files", "inputs", "outputs")
    if not isinstance(graph, dict) or not all(
        isinstance(graph.get(name), list) and all(isinstance(each, str) for each in graph[name]) for name in lists
    ):
        raise ValueError(
            f"`graphs` holds {reprlib.repr(graph)}; each graph has a `name`, lists of `files`, `inputs` and `outputs`, and "
            "`sha256`. Export the model again."
        )
    for name in graph["files"]:
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(f"`graphs` names the file {name!r}; graphs lie beside config.json, in no other folder.")
    if not graph["files"] or not all(isinstance(graph.get(name), str) for name in ("name", "sha256")):
        raise ValueError(f"`graphs` holds {reprlib.repr(graph)} without files, name or hash; export the model again.")
    if unknown := [name for name in graph["inputs"] if name not in known]:
        raise ValueError(
            f"the graph {graph['name']!r} of `graphs` reads {unknown[0]!r}, which no batch and no graph before it has; "
            "export the model again."
        )


@strict
class ExportedConfig(TaggingConfig):
    """Configuration of [`ExportedTagger`].

    Args:
        source_model_type (`str`): the `model_type` of the model that was exported.
        backend (`str`, defaults to `"onnx"`): the runner whose format the graphs have, `"onnx"` or `"openvino"`.
        precision (`str`, defaults to `"fp32"`): `"fp32"`, `"bf16"` or `"int8"`; the CRF is always in float32.
        graphs (`list[dict]`): in the order in which they run; each with its `name`, its `files`, of which the first
            is the graph, their `sha256`, and the names of its `inputs` and `outputs`.
        blanks (`dict[str, list[int]]`): the shapes of the zeros that stand for pictures, or their features, where a
            batch has none.
        shares_windows (`bool`, defaults to `False`): whether the text is read apart from the pictures.
        max_position_embeddings (`int`, *optional*): the longest window in pieces.

    All other fields are those of [`TaggingConfig`].

    Raises:
        ValueError: for an unknown backend or precision, for a file that is not beside the config, and for graphs that
            cannot follow each other.

    Example:

    ```python
    >>> from modeling_2mner import ExportedConfig

    >>> config = ExportedConfig(backend="openvino", precision="int8")
    >>> config.source_model_type, config.tags_words
    ('2m-ner', True)
    ```
    """

    model_type = "2m-ner-exported"
    choices = {"backend": BACKENDS, "precision": PRECISIONS}  # noqa: RUF012
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "modeling_exported.ExportedConfig",
        "AutoModelForTokenClassification": "modeling_exported.ExportedTagger",
    }

    source_model_type: str = "2m-ner"
    backend: str = "onnx"
    precision: str = "fp32"
    graphs: list[dict[str, Any]] | None = None
    blanks: dict[str, list[int]] | None = None
    shares_windows: bool = False
    max_position_embeddings: int | None = None

    @property
    def uses_image(self) -> bool:
        """Whether the network uses pictures."""
        return bool(self.blanks)

    @property
    def images_graph(self) -> dict[str, Any] | None:
        """The graph of the image towers, of a model whose pictures are read apart from its text."""
        return next((graph for graph in self.graphs or [] if graph["name"] == "images"), None)

    @property
    def files(self) -> list[str]:
        """The files of all graphs."""
        return [name for graph in self.graphs or [] for name in graph["files"]]

    def _check_contradictions(self) -> None:
        super()._check_contradictions()
        known = {*_BATCH}
        for graph in self.graphs or []:
            _check_graph(graph, known)
            known |= {*graph["outputs"]}
        if self.graphs and "logits" not in known:
            raise ValueError("no graph of `graphs` has the output 'logits'; export the model again.")


class ExportedTagger(WordTagger):
    """A tagger whose network is run by ONNX Runtime or OpenVINO, on the CPU.

    Inputs and outputs are those of the model that was exported, without embeddings and attention weights. What the
    graph of the image towers returns, see [`~ExportedTagger.encode_images`], can be passed in the place of pixels.

    Example:

    ```python
    >>> from modeling_2mner import ExportedConfig, ExportedTagger

    >>> tagger = ExportedTagger(ExportedConfig())  # without graphs, which `from_pretrained` of an exported folder finds
    >>> tagger.device
    device(type='cpu')
    ```
    """

    config: ExportedConfig

    def __init__(self, config: ExportedConfig):
        TaggingPreTrainedModel.__init__(self, config)  # there is no network below the decoder
        if config.use_crf:
            self.crf = LinearChainCRF(config.num_labels, config.labels)
        else:  # a checkpoint must hold something
            self.register_buffer("without_crf", torch.zeros(1))
        self.post_init()
        self._keys_to_ignore_on_load_unexpected = set()
        self._paths: dict[str, Path] = {}
        self._runners: dict[str, Runner] = {}
        self.use_backend()

    @property
    def reads_text_apart(self) -> bool:  # type: ignore[override]  # of other models an attribute of the class
        """Whether the text encoder sees nothing of the pictures, so that several rows can share its windows."""
        return self.config.shares_windows

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What [`~ExportedTagger.encode_images`] returns; empty if it cannot."""
        graph = self.config.images_graph
        return () if graph is None else tuple(graph["outputs"])

    @property
    def device(self) -> torch.device:
        """The CPU, where the graphs run."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The type of the emissions."""
        return torch.float32

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ExportedTagger":
        """Stay where the graphs run, and the CRF in float32, whatever `to`, `cuda` or `half` ask for."""
        return self

    def use_backend(self, backend: str | None = None, threads: int | None = None) -> "ExportedTagger":
        """Choose the runner and its threads; graphs are opened when they are needed, or by `open_graphs`.

        Args:
            backend: `"onnx"` or `"openvino"`, which also runs ONNX graphs; by default the one that the graphs were
                exported for.
            threads: by default those of PyTorch, `torch.get_num_threads()` at the time of this call.

        Raises:
            ValueError: for a backend that cannot run these graphs, or no number from 1 to `MOST_THREADS`.
        """
        backend = backend or self.config.backend
        if backend not in BACKENDS:
            raise ValueError(f'`backend` is {backend!r}; write "onnx" or "openvino".')
        if backend == "onnx" and self.config.backend != "onnx":
            raise ValueError(
                '`backend` is "onnx", but this model was exported for OpenVINO; write `backend="openvino"`, or export '
                "it again with `--to onnx`."
            )
        self.backend = backend
        self.threads = torch.get_num_threads() if threads is None else whole_number("threads", threads, MOST_THREADS)
        self._runners = {}
        return self

    def open_graphs(self) -> None:
        """Open all graphs now, rather than in the first batch.

        Raises:
            ImportError: if the runner is not installed.
            ValueError: for a file that is not the exported one, and for a graph that the runner cannot open.
        """
        for graph in self.config.graphs or []:
            self._runner(graph)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
        """Load the CRF, and find the graphs, in a folder or on the Hub; see `PreTrainedModel.from_pretrained`."""
        place = {name: kwargs[name] for name in _HUB_ARGUMENTS if kwargs.get(name) is not None}
        dtype = kwargs.pop("dtype", None)  # that of the graphs and of the CRF is fixed
        if dtype not in (None, "auto", "float32", torch.float32):
            warnings.warn(
                f"`dtype` {dtype} changes nothing: an exported model computes in the precision that it was exported in. For "
                "bfloat16, export it with `--to openvino --precision bf16`.",
                stacklevel=2,
            )
        loaded = super().from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        for name in model.config.files:
            found = cached_file(pretrained_model_name_or_path, name, **place)
            model._paths[name] = Path(str(found))
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save the CRF, the config and this code as every model does, and copy the graphs.

        Raises:
            ValueError: for `push_to_hub=True`, which would upload all but the graphs.
        """
        if kwargs.get("push_to_hub"):
            raise ValueError(
                "`push_to_hub=True` would upload an export without its graphs; leave it out, and upload the folder: "
                "`hf upload user/name FOLDER`."
            )
        super().save_pretrained(save_directory, *args, **kwargs)
        for name, path in self._paths.items():
            target = Path(save_directory) / name
            if not target.exists() or not target.samefile(path):
                shutil.copyfile(path, target)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        word_positions: Tensor | None = None,
        word_mask: Tensor | None = None,
        first_window: Tensor | None = None,
        image_index: Tensor | None = None,
        labels: Tensor | None = None,
        **pictures: Any,
    ) -> TaggerOutput:
        """Tag the words of a batch, or the pieces of text without `word_positions`.

        Args:
            input_ids, attention_mask, word_positions, word_mask, first_window, image_index, labels: see [`PieceModel`]
                and [`WordTagger.forward`].
            pictures: `pixel_values`, `resnet_pixel_values`, or the outputs of [`~ExportedTagger.encode_images`].

        Raises:
            ValueError: for inputs that the graphs do not take, or that contradict each other.
        """
        pictures = drop_foreign({name: value for name, value in pictures.items() if value is not None}, False)
        if word_positions is None:
            if input_ids is None:
                raise ValueError("`word_positions` is missing; make the inputs with the model's processor.")
            return self._tag_pieces(input_ids, attention_mask, labels=labels, **pictures)
        if word_mask is None:
            word_mask = torch.ones_like(word_positions, dtype=torch.bool)
        if not word_positions.numel():
            logits = torch.zeros(*word_positions.shape, self.config.num_labels)
        else:
            text = {"input_ids": input_ids, "attention_mask": attention_mask, "word_positions": word_positions}
            logits = self._run(text, first_window, image_index, pictures)
        return self.read_emissions(logits, None if labels is None else labels.cpu(), word_mask.cpu())

    def encode_images(self, **pixels: Tensor) -> dict[str, Tensor]:
        """Run the image towers alone; of 2M-NER, whose towers are a graph of their own.

        Args:
            pixels: `pixel_values` and `resnet_pixel_values`, `(images, 3, height, width)`, those that the model has.

        Returns:
            `vit_regions` and `resnet_regions`, `(images, regions, size)`, which `forward` takes in the place of
            pixels.

        Raises:
            ValueError: for a model without such a graph.
        """
        graph = self.config.images_graph
        if graph is None:
            raise ValueError("this model has no graph for pictures alone; pass its pixels to the model.")
        self._check_pictures(pixels)
        return self._call(graph, pixels)

    def _run(
        self,
        text: dict[str, Tensor | None],
        first_window: Tensor | None,
        image_index: Tensor | None,
        pictures: dict[str, Tensor],
    ) -> Tensor:
        """The emissions, `(batch, words, labels)`."""
        values = {name: value.cpu() for name, value in text.items() if value is not None}
        values.setdefault("attention_mask", torch.ones_like(values["input_ids"]))
        if first_window is None:
            first_window = default_first_window(values["input_ids"], values["word_positions"])
        self._check_pictures(pictures)
        blanks = self.config.blanks or {}
        if not self.config.uses_image or not pictures:
            image_index = torch.full_like(first_window, -1)
            pictures = {name: torch.zeros(shape) for name, shape in blanks.items()}
        elif image_index is None:
            image_index = default_image_index(first_window, next(iter(pictures.values())))
        values |= {"first_window": first_window, "image_index": image_index, **pictures}
        for graph in self.config.graphs or []:
            if not all(name in values for name in graph["outputs"]):
                values |= self._call_in_groups(graph, values)
        return values["logits"]

    def _call_in_groups(self, graph: Mapping[str, Any], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run a graph; one that reads text alone gets the windows of long texts in groups, so that its memory has a bound."""
        ids, positions = values["input_ids"], values["word_positions"]
        size = max(1, WINDOW_PIECES // max(ids.shape[1], 1))
        if {*graph["inputs"]} != _TEXT or ids.shape[0] <= max(size, positions.shape[0]):
            return self._call(graph, values)
        found: dict[str, Tensor] = {}
        for start in range(0, ids.shape[0], size):
            first = start * ids.shape[1]
            own = (positions >= first) & (positions < first + size * ids.shape[1])  # words of these windows
            if not own.any():  # such as the further windows of one endless word
                continue
            group = {name: values[name][start : start + size] for name in ("input_ids", "attention_mask")}
            for name, value in self._call(graph, {**group, "word_positions": positions[own][None] - first}).items():
                whole = found.setdefault(name, value.new_zeros(*positions.shape, value.shape[-1]))
                whole[own] = value[0]
        return found

    def _check_pictures(self, pictures: Mapping[str, Tensor]) -> None:
        """Refuse what no graph takes, one tower's pixels without the other's, and different numbers of pictures."""
        if not pictures or not self.config.uses_image:
            return
        features = list(self.config.blanks or {})
        pixels = [name for graph in self.config.graphs or [] for name in graph["inputs"] if name.endswith("values")]
        if set(pictures) not in (set(features), set(pixels)):
            wanted = [" and ".join(f"`{name}`" for name in names) for names in (pixels, features)]
            raise ValueError(
                f"the batch has {', '.join(f'`{name}`' for name in pictures)}; pass {' or '.join(dict.fromkeys(wanted))}, "
                "or none of them for text only."
            )
        if len({len(value) for value in pictures.values()}) > 1:
            counts = ", ".join(f"`{name}` holds {len(value)}" for name, value in pictures.items())
            raise ValueError(f"the numbers of pictures differ: {counts}; pass the same pictures to all.")

    def _call(self, graph: Mapping[str, Any], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self._runner(graph)({name: values[name] for name in graph["inputs"]})

    def _runner(self, graph: Mapping[str, Any]) -> Runner:
        name = graph["name"]
        if name not in self._runners:
            files = self._files_of(graph)
            open_graph = _open_openvino if self.backend == "openvino" else _open_onnx
            try:
                opened = open_graph(files, list(graph["outputs"]), self.threads, self.config.precision)
            except ImportError:
                raise
            except Exception as error:  # each runner has its own kinds
                raise ValueError(
                    f"`backend` {self.backend!r} cannot open {files[0]} ({error}); use the version that export.json names, or "
                    "export the model again."
                ) from error
            self._runners[name] = opened
        return self._runners[name]

    def _files_of(self, graph: Mapping[str, Any]) -> list[Path]:
        """The files of a graph; ValueError unless they are those that were exported."""
        if missing := [file for file in graph["files"] if file not in self._paths]:
            raise ValueError(f"the graph {missing[0]} was not loaded; load the model with `from_pretrained`.")
        files = [self._paths[file] for file in graph["files"]]
        digest = hashlib.sha256()
        for path in files:
            with open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        if digest.hexdigest() != graph["sha256"]:
            raise ValueError(
                f"{' and '.join(map(str, files))} are not what was exported with this config.json: damaged, incomplete (such as "
                "a pointer of Git LFS), or of another export; download the folder or export the model again."
            )
        return files

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runners": {}}  # a copy, also in another process, opens the graphs itself


def _open_onnx(files: list[Path], outputs: list[str], threads: int, precision: str) -> Runner:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "`backend=\"onnx\"` needs ONNX Runtime; run `pip install onnxruntime`, or `pip install '2m-ner[onnx]'`."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = session.run(outputs, {name: _to_numpy(value) for name, value in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(outputs, found, strict=True)}

    return run


def _open_openvino(files: list[Path], outputs: list[str], threads: int, precision: str) -> Runner:
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            "`backend=\"openvino\"` needs OpenVINO; run `pip install openvino`, or `pip install '2m-ner[openvino]'`."
        ) from error
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": _OPENVINO_PRECISION[precision],
        "ENABLE_CPU_PINNING": False,  # or several processes would share the first cores
    }
    with keep_signal_stack():
        compiled = openvino.Core().compile_model(str(files[0]), "CPU", settings)

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = compiled({name: _to_numpy(value) for name, value in inputs.items()})
        return {name: torch.from_numpy(found[name].copy()) for name in outputs}

    return run


class _SignalStack(ctypes.Structure):
    """`stack_t` of Linux, what `sigaltstack` takes."""

    _fields_ = [("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@contextmanager
def keep_signal_stack() -> Iterator[None]:
    """Put back the stack on which this thread handles signals.

    OpenVINO's CPU plugin replaces it when it is loaded, and frees its own when it is unloaded: any signal that Python
    handles, such as that of a process that has ended, then ends this process (tried: openvino 2026.4.1).
    """
    if sys.platform != "linux":
        yield
        return
    libc, stack = ctypes.CDLL(None), _SignalStack()
    libc.sigaltstack(None, ctypes.byref(stack))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(stack), None)


def _to_numpy(value: Tensor) -> Any:
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).contiguous().numpy()


__all__ = ["ExportedConfig", "ExportedTagger", "keep_signal_stack"]
