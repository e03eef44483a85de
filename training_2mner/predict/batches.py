"""Prediction inside other engines: tables of Arrow go in, the same tables with entities come out.

Ray Data, with one loaded model for each of its workers:

    ds = ray.data.read_json("sentences.jsonl")
    ds = ds.map_batches(
        BatchPredictor, fn_constructor_kwargs={"model": "runs/demo"}, batch_format="pyarrow", batch_size=1024, concurrency=4
    )

Spark, with the same function:

    df.select("id", "text").mapInArrow(partial(predict_batches, model="runs/demo"), f"id long, text string, {SPARK_COLUMNS}")

How the work is spread, repeated after a failure and stored is theirs. See docs/scaling.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa

from training_2mner.predict.prediction import load_pipeline
from training_2mner.predict.text import ERROR_FIELD, PICTURE_FIELDS, STATUS_FIELD, WORD_FIELDS

ENTITY = pa.struct(
    [
        ("entity_group", pa.string()),
        ("score", pa.float64()),
        ("word", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
    ]
)
COLUMNS = {"entities": pa.list_(ENTITY), STATUS_FIELD: pa.string(), ERROR_FIELD: pa.string()}
# The same columns in the notation of Spark, which wants to know them before anything is computed.
SPARK_COLUMNS = (
    "entities array<struct<entity_group string, score double, word string, start bigint, end bigint>>, "
    f"{STATUS_FIELD} string, {ERROR_FIELD} string"
)


class BatchPredictor:
    """Find the entities of tables of sentences, with a model that is loaded once.

    Args:
        model (`str`): run folder, exported folder or Hub id.
        device (`str`, *optional*): cpu, cuda, cuda:1, ...; a GPU if there is one.
        batch_size (`int`): sentences that the model reads at once; a table should hold many times as many, so that they can
            be sorted by length.
        threshold (`float`, *optional*): leave out entities with a score below this.
        backend, threads (*optional*): of an exported model; give each of several workers of a machine its share of threads.

    Raises:
        ValueError: if the model does not load.
    """

    def __init__(
        self,
        model: str,
        device: str | None = None,
        batch_size: int = 16,
        threshold: float | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ):
        self._pipe = load_pipeline(model, device, backend, threads)
        self._settings = {"batch_size": batch_size, "threshold": threshold}

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table with the columns `entities`, `image_status` and `prediction_error` at its end.

        Args:
            table: one of the columns `text` (a string) and `words` or `tokens` (lists of strings), and optionally `image`: bytes,
                a path, or a struct of both, as in data sets; null for none. Or `images`, lists of these.

        Raises:
            ValueError: for a table without sentences, with both columns of pictures, or with one of the new columns.
        """
        words = [name for name in WORD_FIELDS if name in table.column_names]
        if len(words) != 1:
            raise ValueError(
                f"a table must have exactly one of the columns {', '.join(WORD_FIELDS)}, but has {table.column_names}; "
                "rename or drop columns."
            )
        if all(name in table.column_names for name in PICTURE_FIELDS):
            raise ValueError("a table has both columns image and images; drop one of them.")
        if taken := [name for name in COLUMNS if name in table.column_names]:
            raise ValueError(f"the prediction would replace the column {taken[0]!r}; rename or drop it.")
        found = self._predict(words[0], table)
        for name, kind in COLUMNS.items():
            table = table.append_column(name, pa.array([row[name] for row in found], kind))
        return table

    def _predict(self, field: str, table: pa.Table) -> list[dict[str, Any]]:
        """The new columns of each row."""
        sentences = table[field].to_pylist()
        if not all(sentences[row] is not None for row in range(len(sentences))):
            raise ValueError(f"`{field}` is null in row {sentences.index(None)} of a table; fill it, or drop the row.")
        column = next((name for name in PICTURE_FIELDS if name in table.column_names), None)
        images = table[column].to_pylist() if column else [None] * len(sentences)
        key = "text" if field == "text" else "words"
        inputs = [{key: sentence, "image": image} for sentence, image in zip(sentences, images, strict=True)]
        answers = self._pipe(inputs, **{name: value for name, value in self._settings.items() if value is not None})
        return [
            {"entities": answer, STATUS_FIELD: _joined(answer.image_status), ERROR_FIELD: answer.error or None}
            for answer in answers
        ]


@lru_cache(maxsize=1)
def _predictor(model: str, settings: tuple[tuple[str, Any], ...]) -> BatchPredictor:
    return BatchPredictor(model, **dict(settings))


def predict_batches(batches: Iterable[pa.RecordBatch], model: str, **settings: Any) -> Iterator[pa.RecordBatch]:
    """Find the entities of a stream of record batches; what Spark's `mapInArrow` takes.

    Args:
        batches: with the columns of [`BatchPredictor.__call__`].
        model: run folder or Hub id; loaded once in each process.
        settings: those of [`BatchPredictor`].
    """
    predictor = _predictor(model, tuple(sorted(settings.items())))
    for batch in batches:
        yield from predictor(pa.Table.from_batches([batch])).combine_chunks().to_batches()


def _joined(status: str | list[str]) -> str:
    """One status for each picture, separated by commas."""
    return status if isinstance(status, str) else ",".join(status)


__all__ = ["COLUMNS", "SPARK_COLUMNS", "BatchPredictor", "predict_batches"]
