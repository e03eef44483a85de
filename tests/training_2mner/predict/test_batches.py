"""Prediction inside engines: Arrow tables, Ray Data where it is installed, and the function that Spark takes."""

from __future__ import annotations

from functools import partial
from io import BytesIO

import pyarrow as pa
import pytest

from modeling_2mner import TwoMNERPipeline
from training_2mner.predict import batches
from training_2mner.predict.batches import COLUMNS, SPARK_COLUMNS, BatchPredictor, predict_batches

TEXTS = [f"Anna {'Meier ' * (7 * n % 11)}in Köln" for n in range(23)]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, model, processor):
    folder = tmp_path_factory.mktemp("batches") / "tiny"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def table(make_picture) -> pa.Table:
    buffer = BytesIO()
    make_picture(3, 20, 20).save(buffer, "PNG")
    images = [{"bytes": buffer.getvalue(), "path": None} if n % 2 else None for n in range(len(TEXTS))]
    return pa.table({"id": range(len(TEXTS)), "text": TEXTS, "image": images})


@pytest.fixture(scope="module")
def expected(model, processor, table) -> dict[int, tuple]:
    """What the plain pipeline finds, one sentence at a time."""
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    rows = table.to_pylist()
    found = [pipe({"text": row["text"], "image": row["image"]}) for row in rows]
    return {row["id"]: (answer, answer.image_status) for row, answer in zip(rows, found, strict=True)}


def check(rows: list[dict], expected: dict[int, tuple]) -> None:
    assert sorted(row["id"] for row in rows) == sorted(expected)
    for row in rows:
        entities, status = expected[row["id"]]
        fields = ("entity_group", "word", "start", "end")
        assert [[each[name] for name in fields] for each in row["entities"]] == [
            [each[name] for name in fields] for each in entities
        ]
        assert [each["score"] for each in row["entities"]] == pytest.approx([e["score"] for e in entities], abs=1e-5)
        assert (row["image_status"], row["prediction_error"]) == (status, None)
    assert any(row["entities"] for row in rows)


def test_a_table_gets_the_answers_of_the_pipeline(model_folder, table, expected):
    found = BatchPredictor(model_folder, device="cpu", batch_size=4)(table)
    assert found.column_names == [*table.column_names, *COLUMNS]
    check(found.to_pylist(), expected)


def test_several_pictures_of_a_row(model_folder, table):
    images = [[image, None] for image in table["image"].to_pylist()]
    found = BatchPredictor(model_folder, device="cpu")(table.drop_columns("image").append_column("images", [images]))
    assert found["image_status"].to_pylist()[:2] == ["missing,missing", "ok,missing"]


def test_backend_and_threads_reach_the_model(model_folder):
    with pytest.raises(ValueError, match="`backend` and `threads` are for exported models"):
        BatchPredictor(model_folder, backend="onnx", threads=1)


def test_an_empty_table_has_the_same_columns(model_folder, table):
    found = BatchPredictor(model_folder, device="cpu")(table.slice(0, 0))
    assert found.num_rows == 0 and found.schema.field("entities").type == COLUMNS["entities"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda table: table.drop_columns("text"), "exactly one of the columns text, words, tokens"),
        (lambda table: table.append_column("entities", table["id"]), "would replace the column 'entities'"),
        (lambda table: table.append_column("images", table["image"]), "both columns image and images"),
        (lambda table: pa.table({"text": ["a", None]}), "`text` is null in row 1"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(model_folder, table, change, error):
    with pytest.raises(ValueError, match=error):
        BatchPredictor(model_folder, device="cpu")(change(table))


def test_sparks_function_loads_the_model_once(model_folder, table, expected, monkeypatch):
    loaded = []
    load = batches.load_pipeline
    monkeypatch.setattr(batches, "load_pipeline", lambda *names: loaded.append(names) or load(*names))
    batches._predictor.cache_clear()
    function = partial(predict_batches, model=model_folder, device="cpu", batch_size=4)
    parts = [*function(iter(table.to_batches(max_chunksize=5))), *function(iter([]))]
    assert len(parts) == 5 and loaded == [(model_folder, "cpu", None, None)]
    check(pa.Table.from_batches(parts).to_pylist(), expected)


def test_spark_is_told_the_columns():
    names = {"string": "string", "double": "double", "bigint": "int64"}
    entities, *others = SPARK_COLUMNS.removeprefix("entities array<struct<").split(">>, ")
    pairs = [pair.split() for pair in entities.split(", ")]
    assert [(name, names[kind]) for name, kind in pairs] == [
        (field.name, str(field.type)) for field in COLUMNS["entities"].value_type
    ]
    assert [pair.split() for pair in others[0].split(", ")] == [[n, "string"] for n in list(COLUMNS)[1:]]


@pytest.mark.slow
def test_ray_data_gives_the_answers_of_the_pipeline(model_folder, table, expected, tmp_path_factory):
    ray = pytest.importorskip("ray", reason="Ray is not installed; `pip install 'ray[data]'`")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
    try:
        found = ray.data.from_arrow(table).map_batches(
            BatchPredictor,
            fn_constructor_kwargs={"model": model_folder, "device": "cpu"},
            batch_format="pyarrow",
            batch_size=8,
            concurrency=1,
        )
        check(found.take_all(), expected)
    finally:
        ray.shutdown()
