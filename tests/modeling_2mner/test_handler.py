from __future__ import annotations

import base64
import dataclasses
import json
from io import BytesIO

import pytest
import torch

from modeling_2mner import TwoMNERPipeline, handler
from modeling_2mner.handler import BadRequest, EndpointHandler, Limits, read_request

TEXT = "Anna Meier wohnt in Köln"


@pytest.fixture(scope="module")
def pipe(model, processor) -> TwoMNERPipeline:
    return TwoMNERPipeline(model=model, processor=processor, device="cpu")


@pytest.fixture
def endpoint(pipe, monkeypatch) -> EndpointHandler:
    """A handler whose pipeline is that of the tiny model."""
    asked = []
    monkeypatch.setattr(handler, "pipeline", lambda *arguments, **named: asked.append((arguments, named)) or pipe)
    endpoint = EndpointHandler("folder")
    assert asked == [(("multimodal-ner",), {"model": "folder", "device": None, "trust_remote_code": True})]
    return endpoint


@pytest.fixture(scope="module")
def png(make_picture) -> bytes:
    buffer = BytesIO()
    make_picture(5).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture(png) -> str:
    return base64.b64encode(png).decode()


def answered(entities) -> dict:
    return {"entities": list(entities), "image_status": entities.image_status}


def test_one_sentence_has_one_answer(endpoint, pipe):
    expected = answered(pipe(TEXT))
    assert expected["entities"]
    for sentence in (TEXT, {"text": TEXT}, {"text": TEXT, "image": None}, {"text": TEXT, "image": []}):
        assert endpoint({"inputs": sentence}) == expected
        assert endpoint({"inputs": [sentence]}) == [expected]
    assert endpoint({"inputs": {"words": TEXT.split()}}) == answered(pipe(TEXT.split()))


def test_a_list_of_strings_is_several_sentences(endpoint, pipe):
    assert endpoint({"inputs": ["Anna", "Köln"]}) == [answered(pipe({"text": word})) for word in ("Anna", "Köln")]


def test_a_picture_comes_as_base64_or_as_a_data_uri(endpoint, pipe, png, picture):
    expected = answered(pipe(TEXT, png))
    assert expected["image_status"] == "ok" and expected["entities"] != answered(pipe(TEXT))["entities"]
    for image in (picture, f"data:image/png;base64,{picture}", f"DATA:;base64,{picture}"):
        assert endpoint({"inputs": {"text": TEXT, "image": image}}) == expected


def test_several_pictures(endpoint, pipe, png, picture):
    broken = base64.b64encode(b"nonsense").decode()
    found = endpoint({"inputs": {"words": TEXT.split(), "image": [picture, broken]}})
    assert found == answered(pipe(TEXT.split(), [png, b"nonsense"]))
    assert found["image_status"] == ["ok", "unreadable"]


def test_a_picture_that_does_not_decode_is_told(endpoint, pipe):
    broken = base64.b64encode(b"nonsense").decode()
    assert endpoint({"inputs": {"text": TEXT, "image": broken}})["image_status"] == "unreadable"
    assert endpoint({"inputs": {"text": TEXT, "image": ""}})["image_status"] == "missing"


def test_parameters_reach_the_pipeline(endpoint, pipe, picture):
    def ask(**parameters) -> dict:
        return endpoint({"inputs": {"text": TEXT, "image": picture[:8]}, "parameters": parameters})

    assert ask() == ask(threshold=0) == ask(return_word_tags=False)
    assert ask(threshold=1)["entities"] == ask(entity_threshold=1)["entities"] == []
    assert [word["word"] for word in ask(return_word_tags=True)["words"]] == TEXT.split()
    assert set(ask(return_word_tags=True)) == {"entities", "words", "image_status"}
    readings = ask(n_best=3)
    assert set(readings) == {"readings", "image_status"} and len(readings["readings"]) == 3
    assert readings["image_status"] == ask()["image_status"] == "unreadable"
    assert readings["readings"] == pipe(TEXT, b"nonsense", n_best=3)
    assert endpoint({"inputs": TEXT, "parameters": None}) == endpoint({"inputs": TEXT})


def test_answers_are_in_order_whatever_their_number(endpoint, pipe, picture, monkeypatch):
    for name in ("REQUEST_BATCH_SIZE", "TEXT_BATCH_SIZE"):
        monkeypatch.setattr(handler, name, 2)
    sentences = [TEXT, "Paris", {"words": []}, {"text": "Köln", "image": picture}, ""]
    found = endpoint({"inputs": sentences})
    assert [[entity["word"] for entity in answer["entities"]] for answer in found] == [
        [entity["word"] for entity in endpoint({"inputs": sentence})["entities"]] for sentence in sentences
    ]
    assert [answer["image_status"] for answer in found] == [*["missing"] * 3, "ok", "missing"]
    assert endpoint({"inputs": []}) == []


def test_answers_are_json(endpoint, picture):
    sentences = [TEXT, {"text": "São Paulo", "image": [picture, picture]}]
    for parameters in ({}, {"n_best": 2}, {"return_word_tags": True}):
        found = endpoint({"inputs": sentences, "parameters": parameters})
        assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "object with"),
        ([], "object with"),
        ({}, '"inputs"'),
        ({"inputs": None}, r"inputs\[0\] must be a string"),
        ({"inputs": 5}, r"inputs\[0\]"),
        ({"inputs": ["a", ["b"]]}, r"inputs\[1\] must be a string"),
        ({"inputs": ["a", {}]}, r"inputs\[1\].*either"),
        ({"inputs": {"text": "a", "words": ["a"]}}, r"inputs\[0\].*either"),
        ({"inputs": {"text": ["a"]}}, r"inputs\[0\].*must be a string"),
        ({"inputs": {"words": "a"}}, r"inputs\[0\].*list of strings"),
        ({"inputs": {"words": ["a", 1]}}, r"inputs\[0\].*list of strings"),
        ({"inputs": {"text": "a", "img": "", "url": ""}}, r"inputs\[0\] has unknown fields \['img', 'url'\]"),
        ({"inputs": {"text": "a\ud800"}}, r"inputs\[0\] holds half a surrogate pair"),
        ({"inputs": {"words": ["a", "\udfff"]}}, r"inputs\[0\] holds half a surrogate pair"),
        ({"inputs": {"text": "a", "image": 5}}, r"inputs\[0\].*base64"),
        ({"inputs": {"text": "a", "image": {"bytes": ""}}}, r"inputs\[0\].*base64"),
        ({"inputs": {"text": "a", "image": "a.jpg"}}, r"inputs\[0\].*not base64"),
        ({"inputs": {"text": "a", "image": "ä"}}, r"inputs\[0\].*not base64"),
        ({"inputs": {"text": "a", "image": "/etc/hostname.png"}}, r"inputs\[0\].*not base64"),
        ({"inputs": {"text": "a", "image": "data:image/png;base64,!"}}, r"inputs\[0\].*not base64"),
        ({"inputs": {"text": "a", "image": "http://127.0.0.1/"}}, r"inputs\[0\].*pictures are not fetched"),
        ({"inputs": {"text": "a", "image": "file:///a"}}, r"inputs\[0\].*pictures are not fetched"),
        ({"inputs": {"text": "a", "image": ["AAAA", "ftp://a"]}}, r"inputs\[0\].*pictures are not fetched"),
        ({"inputs": "a", "parameters": ["n_best"]}, '"parameters" must be an object'),
        (
            {"inputs": "a", "parameters": {"allow_urls": True}},
            "unknown parameter 'allow_urls'.*threshold, entity_threshold, n_best",
        ),
        ({"inputs": "a", "parameters": {"on_bad_image": "raise"}}, "unknown parameter"),
        ({"inputs": "a", "parameters": {"n_best": 2.0}}, "'n_best' has the value 2.0"),
        ({"inputs": "a", "parameters": {"n_best": True}}, "'n_best' has the value True"),
        ({"inputs": "a", "parameters": {"n_best": 0}}, "`n_best` must be at least 1"),
        ({"inputs": "a", "parameters": {"n_best": 101}}, '"n_best" is 101; request at most 100'),
        ({"inputs": "a", "parameters": {"threshold": "0.5"}}, "'threshold' has the value '0.5'"),
        ({"inputs": "a", "parameters": {"threshold": True}}, "'threshold' has the value True"),
        ({"inputs": "a", "parameters": {"threshold": 2}}, "`threshold` must be a probability"),
        ({"inputs": "a", "parameters": {"entity_threshold": 0}}, "`entity_threshold` must be a probability from 0.01"),
        ({"inputs": "a", "parameters": {"entity_threshold": 0.4, "n_best": 2}}, "`n_best` counts tag sequences"),
        ({"inputs": "a", "parameters": {"threshold": float("nan")}}, "`threshold` must be a probability"),
        ({"inputs": "a", "parameters": {"return_word_tags": 1}}, "'return_word_tags' has the value 1"),
        ({"inputs": "a", "parameters": {"return_word_tags": None}}, "'return_word_tags' has the value None"),
    ],
)
def test_requests_that_make_no_sense_are_refused(endpoint, data, message):
    with pytest.raises(BadRequest, match=message):
        endpoint(data)
    assert issubclass(BadRequest, ValueError)


def limited(**changes) -> Limits:
    return dataclasses.replace(Limits(), **changes)


@pytest.mark.parametrize(
    ("limits", "fits", "exceeds", "message"),
    [
        ({"sentences": 2}, ["a", "b"], ["a", "b", "c"], "holds 3 sentences; send at most 2"),
        ({"characters": 9}, ["abc", {"words": ["de", "fghi"]}], ["abc", {"words": ["de", "fghij"]}], "10 characters"),
        ({"words": 2}, ["Ko\u0308ln \u0915\u093f"], ["Ko\u0308ln \u0915\u093f x"], "3 words"),
        ({"words": 4}, ["Hi, you", {"words": [""]}], ["Hi, you", {"words": ["", ""]}], "5 words"),
        ({"pictures": 2}, [{"text": "a", "image": ["", "AAAA"]}], [{"text": "a", "image": [""] * 3}], "3 pictures"),
        (
            {"work": 6},
            [{"text": "a b c", "image": ["", ""]}, "d e f g"],
            [{"text": "a b c", "image": ["", ""]}, {"text": "d", "image": ["AAAA"]}],
            "7 pairs of a word and a picture",
        ),
    ],
)
def test_a_request_has_limits(limits, fits, exceeds, message):
    read_request({"inputs": fits}, limited(**limits))
    with pytest.raises(BadRequest, match=message):
        read_request({"inputs": exceeds}, limited(**limits))


def test_readings_and_words_are_limited_together():
    limits = limited(readings=10)
    read_request({"inputs": ["a b", "c"], "parameters": {"n_best": 3}}, limits)
    with pytest.raises(BadRequest, match=r"12 words in all readings.*at most 10.*NER_MAX_READINGS.*--max_readings"):
        read_request({"inputs": ["a b", "c"], "parameters": {"n_best": 4}}, limits)
    with pytest.raises(BadRequest, match='"n_best" is 4; request at most 3'):
        read_request({"inputs": "a", "parameters": {"n_best": 4}}, limited(n_best=3))


@pytest.mark.parametrize("words", [[""] * 1_000_000, ["a"] * 50_001, "a " * 30_000])
def test_many_words_are_refused_by_default(endpoint, words):
    inputs = {"text": words} if isinstance(words, str) else {"words": words}
    with pytest.raises(BadRequest, match="send it in parts"):
        endpoint({"inputs": inputs})


def test_sub_words_and_pixels_are_limited(endpoint, picture):
    endpoint.limits = limited(pieces=5, pixels=2 * 48 * 40)
    endpoint({"inputs": [{"text": "Paris", "image": [picture, picture, ""]}, {"words": ["in", "", "hund"]}][:1]})
    with pytest.raises(BadRequest, match="the request has 6 sub-words; send it in parts of at most 5"):
        endpoint({"inputs": ["Paris", {"words": ["in", "", "hund"]}]})
    with pytest.raises(BadRequest, match="the request has 5760 pixels; send it in parts of at most 3840"):
        endpoint({"inputs": [{"text": "a", "image": [picture, picture]}, {"text": "a", "image": picture}]})


def test_pictures_have_a_size(png, picture):
    limits = limited(picture_bytes=len(png))
    assert read_request({"inputs": {"text": "a", "image": picture}}, limits)[0] == [{"text": "a", "image": png}]
    for image in (picture, f"data:image/png;base64,{picture}"):
        with pytest.raises(BadRequest, match=rf"inputs\[0\]: a picture has more than {len(png) - 8} bytes"):
            read_request({"inputs": {"text": "a", "image": image}}, limited(picture_bytes=len(png) - 8))


def test_limits_come_from_the_environment_and_from_the_caller(pipe, monkeypatch):
    monkeypatch.setattr(handler, "pipeline", lambda *_, **__: pipe)
    monkeypatch.setenv("NER_MAX_WORDS", "3")
    monkeypatch.setenv("NER_MAX_PICTURES", "5")
    limits = EndpointHandler("folder", limits={"pictures": 7}).limits
    assert (limits.words, limits.pictures, limits.sentences) == (3, 7, 64)
    for name, value, message in (
        ("NER_MAX_WORDS", "many", "NER_MAX_... is not a whole number"),
        ("NER_MAX_WORDS", "0", "`words` is 0; write a whole number from 1"),
    ):
        monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match=message):
            EndpointHandler("folder")
        monkeypatch.delenv(name)
    with pytest.raises(ValueError, match="`limits` has no 'wrods'; write one of sentences"):
        EndpointHandler("folder", limits={"wrods": 3})


def test_an_empty_picture_is_none(endpoint, pipe, picture, png):
    expected = answered(pipe(TEXT))
    for image in ("", "data:image/png;base64,"):
        assert endpoint({"inputs": {"text": TEXT, "image": image}}) == expected
    found = endpoint({"inputs": {"text": TEXT, "image": [picture, ""]}})
    assert found["image_status"] == ["ok", "missing"]
    assert found == answered(pipe({"text": TEXT, "image": [png, None]}))


def test_long_and_short_sentences_are_not_padded_to_each_other(endpoint, model, monkeypatch):
    cells = []
    forward = model.model.text_model.forward
    monkeypatch.setattr(
        model.model.text_model,
        "forward",
        lambda **inputs: cells.append(inputs["input_ids"].shape) or forward(**inputs),
    )
    monkeypatch.setattr(handler, "PORTION", 40)
    sentences = ["Köln"] * 10 + ["Anna wohnt in Köln . " * 3] + ["Köln"] * 10
    answers = endpoint({"inputs": sentences})
    assert [len(answer["entities"]) for answer in answers] == [
        len(endpoint({"inputs": sentence})["entities"]) for sentence in sentences
    ]
    long, *short = cells[: cells.index(cells[1]) + 2]
    assert long[1] > 5 * short[0][1] and all(rows <= handler.TEXT_BATCH_SIZE for rows, _ in cells)


@pytest.mark.parametrize(
    ("lengths", "pictures", "expected"),
    [
        ([5, 40, 6], [0, 0, 0], [[1, 2, 0]]),  # too few to pay for another call
        ([5] * 4 + [40] * 4, [0] * 8, [[4, 5, 6, 7], [0, 1, 2, 3]]),
        ([5] * 4 + [40] * 4, [1] * 8, [[4, 5, 6, 7, 0, 1, 2, 3]]),
        ([5] * 9 + [40] * 8, [0] * 17, [list(range(9, 17)), list(range(9))]),
        ([9] * 10, [2] * 10, [list(range(8)), [8, 9]]),
        ([9] * 40, [0] * 40, [list(range(32)), list(range(32, 40))]),
        ([9] * 40, [0] * 39 + [1], [list(range(32)), list(range(32, 40))]),
        ([9] * 20, [1] * 20, [list(range(16)), list(range(16, 20))]),
        ([1000, 1000, 1000, 1], [1, 1, 1, 20], [[0, 1], [2], [3]]),
        ([], [], []),
    ],
)
def test_sentences_of_like_length_make_a_batch(lengths, pictures, expected):
    assert list(handler.portions(lengths, pictures)) == expected


def test_requests_are_grouped_by_sub_words(endpoint, monkeypatch):
    seen: list = []
    monkeypatch.setattr(handler, "portions", lambda lengths, pictures: seen.append((lengths, pictures)) or [[0], [1]])
    # "Louvre" is one piece of the tokenizer, "Anna" four.
    endpoint({"inputs": [{"text": "Louvre Louvre"}, {"words": ["Anna"]}]})
    assert seen == [([2, 4], [0, 0])]


def test_a_sentence_is_tokenised_once_to_be_measured(endpoint, pipe, monkeypatch):
    counted = []
    measure = pipe.processor.piece_lengths
    monkeypatch.setattr(pipe.processor, "piece_lengths", lambda words: counted.append(words) or measure(words))
    assert endpoint({"inputs": TEXT})["entities"]
    assert counted == [[TEXT]]


@pytest.mark.parametrize("parameters", [{}, {"threshold": 0.3}, {"n_best": 2}, {"return_word_tags": True}])
def test_a_batch_is_answered_as_its_sentences_one_by_one(pipe, png, parameters):
    pictures = ({"text": "Paris", "image": png}, {"words": TEXT.split(), "image": [png, b"nonsense", png]})
    inputs = [TEXT, TEXT.split(), *pictures, "", " ".join([TEXT] * 9)]
    found = pipe.answer_batch(inputs, **parameters)
    expected = [pipe(sentence, **parameters) for sentence in inputs]
    assert json.dumps(found) != json.dumps([[]] * len(inputs))
    for one, other in zip(found, expected, strict=True):
        assert without_scores(one) == without_scores(other)
        assert scores_in(one) == pytest.approx(scores_in(other), abs=1e-5)
        assert getattr(one, "image_status", None) == getattr(other, "image_status", None)


def without_scores(answer):
    if isinstance(answer, dict):
        return {name: without_scores(value) for name, value in answer.items() if name != "score"}
    return list(map(without_scores, answer)) if isinstance(answer, list) else answer


def scores_in(answer) -> list[float]:
    if isinstance(answer, dict):
        nested = [score for value in answer.values() for score in scores_in(value)]
        return [answer["score"], *nested] if "score" in answer else nested
    return [score for value in answer for score in scores_in(value)] if isinstance(answer, list) else []


def test_no_time_is_spent_on_gradients_nor_on_a_search_for_tensors(endpoint, pipe, monkeypatch):
    modes = []
    handle = pipe.model.register_forward_pre_hook(lambda *_: modes.append(torch.is_inference_mode_enabled()))
    monkeypatch.setattr(pipe, "_ensure_tensor_on_device", lambda *_, **__: pytest.fail("all words are searched"))
    try:
        assert endpoint({"inputs": TEXT})["entities"] and modes == [True]
    finally:
        handle.remove()


def test_an_older_processor_does_not_count_sub_words(endpoint, pipe, monkeypatch):
    expected = endpoint({"inputs": [TEXT, "Paris"]})
    monkeypatch.setattr(endpoint, "pipeline", lambda *given, **named: pipe(*given, **named))
    sentences, _ = endpoint.read({"inputs": [TEXT, "Paris"]})
    assert list(map(handler.sentence_length, sentences)) == [len(TEXT) // 4, 1]
    assert endpoint.answer(sentences, {}) == expected


def test_an_unsound_sentence_is_marked(make_model, processor, monkeypatch):
    model = make_model()
    monkeypatch.setattr(handler, "pipeline", lambda *_, **__: TwoMNERPipeline(model=model, processor=processor))
    endpoint = EndpointHandler("folder")
    bad = processor.tokenizer("Q", add_special_tokens=False)["input_ids"]
    model.model.text_model.embeddings.word_embeddings.weight.data[bad] = float("nan")
    for parameters in ({}, {"n_best": 2}, {"return_word_tags": True}):
        with pytest.warns(UserWarning, match="not finite"):
            sound, marked = endpoint({"inputs": ["Anna", "Q"], "parameters": parameters})
        assert "error" not in sound and "not finite" in marked["error"]
        json.dumps([sound, marked], allow_nan=False)


def test_a_request_is_left_as_it_is(picture):
    data = {"inputs": [{"text": "a", "image": picture}], "parameters": {"threshold": 0.5}}
    sentences, parameters = read_request(data)
    assert sentences[0]["image"] != picture and parameters == {"threshold": 0.5}
    assert data == {"inputs": [{"text": "a", "image": picture}], "parameters": {"threshold": 0.5}}


def test_no_file_is_read(endpoint, tmp_path, png, monkeypatch):
    (tmp_path / "AAAA").write_bytes(png)
    monkeypatch.chdir(tmp_path)
    assert endpoint({"inputs": {"text": "a", "image": "AAAA"}})["image_status"] == "unreadable"


def test_requests_with_equal_pictures_encode_them_once(endpoint, pipe, picture):
    rows: list[int] = []
    handle = pipe.model.model.vision_model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    sentences = [{"text": " ".join([TEXT] * number), "image": picture} for number in range(1, 9)]
    try:
        answers = endpoint({"inputs": sentences})
    finally:
        handle.remove()
    assert rows == [1]
    assert [answer["image_status"] for answer in answers] == ["ok"] * 8
