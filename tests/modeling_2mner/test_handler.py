from __future__ import annotations

import base64
import json
from io import BytesIO

import pytest

from modeling_2mner import TwoMNERPipeline, handler
from modeling_2mner.handler import BadRequest, EndpointHandler, read_request

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
    assert endpoint({"inputs": {"text": TEXT, "image": ""}})["image_status"] == "unreadable"


def test_parameters_reach_the_pipeline(endpoint, pipe, picture):
    def ask(**parameters) -> dict:
        return endpoint({"inputs": {"text": TEXT, "image": picture[:8]}, "parameters": parameters})

    assert ask() == ask(threshold=0) == ask(return_word_tags=False)
    assert ask(threshold=1)["entities"] == []
    assert [word["word"] for word in ask(return_word_tags=True)["words"]] == TEXT.split()
    assert set(ask(return_word_tags=True)) == {"entities", "words", "image_status"}
    readings = ask(n_best=3)
    assert set(readings) == {"readings", "image_status"} and len(readings["readings"]) == 3
    assert readings["image_status"] == ask()["image_status"] == "unreadable"
    assert readings["readings"] == pipe(TEXT, b"nonsense", n_best=3)
    assert endpoint({"inputs": TEXT, "parameters": None}) == endpoint({"inputs": TEXT})


def test_answers_are_in_order_whatever_their_number(endpoint, pipe, picture, monkeypatch):
    monkeypatch.setattr(handler, "REQUEST_BATCH_SIZE", 2)
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
        ({"inputs": "a", "parameters": {"allow_urls": True}}, "unknown parameter 'allow_urls'.*threshold, n_best"),
        ({"inputs": "a", "parameters": {"on_bad_image": "raise"}}, "unknown parameter"),
        ({"inputs": "a", "parameters": {"n_best": 2.0}}, "'n_best' has the value 2.0"),
        ({"inputs": "a", "parameters": {"n_best": True}}, "'n_best' has the value True"),
        ({"inputs": "a", "parameters": {"n_best": 0}}, "`n_best` must be at least 1"),
        ({"inputs": "a", "parameters": {"n_best": 101}}, '"n_best" is 101; request at most 100'),
        ({"inputs": "a", "parameters": {"threshold": "0.5"}}, "'threshold' has the value '0.5'"),
        ({"inputs": "a", "parameters": {"threshold": True}}, "'threshold' has the value True"),
        ({"inputs": "a", "parameters": {"threshold": 2}}, "`threshold` must be a probability"),
        ({"inputs": "a", "parameters": {"threshold": float("nan")}}, "`threshold` must be a probability"),
        ({"inputs": "a", "parameters": {"return_word_tags": 1}}, "'return_word_tags' has the value 1"),
        ({"inputs": "a", "parameters": {"return_word_tags": None}}, "'return_word_tags' has the value None"),
    ],
)
def test_requests_that_make_no_sense_are_refused(endpoint, data, message):
    with pytest.raises(BadRequest, match=message):
        endpoint(data)
    assert issubclass(BadRequest, ValueError)


def test_requests_have_a_size(picture, monkeypatch):
    read_request({"inputs": ["a"] * handler.MAX_SENTENCES})
    read_request({"inputs": "a" * handler.MAX_REQUEST_CHARACTERS})
    read_request({"inputs": {"text": "a", "image": [picture] * handler.MAX_PICTURES}})
    with pytest.raises(BadRequest, match="65 sentences; send at most 64"):
        read_request({"inputs": ["a"] * 65})
    for sentence in ({"text": "a" * 100_000}, {"words": ["a" * 1000] * 100}):
        with pytest.raises(BadRequest, match="the request has 100001 characters; send it in parts of at most 100000"):
            read_request({"inputs": ["b", sentence]})
    with pytest.raises(BadRequest, match="the request has 65 pictures; send it in parts of at most 64"):
        read_request({"inputs": [{"text": "a", "image": [picture] * 64}, {"text": "a", "image": picture}]})
    monkeypatch.setattr(handler, "MAX_REQUEST_PIXELS", 3 * 48 * 40)
    read_request({"inputs": {"text": "a", "image": [picture] * 3}})
    with pytest.raises(BadRequest, match="the request has 7680 pixels; send it in parts of at most 5760"):
        read_request({"inputs": [{"text": "a", "image": [picture] * 3}, {"text": "a", "image": picture}]})


def test_pictures_have_a_size(png, picture, monkeypatch):
    monkeypatch.setattr(handler, "MAX_PICTURE_BYTES", len(png))
    assert read_request({"inputs": {"text": "a", "image": picture}})[0] == [{"text": "a", "image": png}]
    monkeypatch.setattr(handler, "MAX_PICTURE_BYTES", len(png) - 8)
    for image in (picture, f"data:image/png;base64,{picture}"):
        with pytest.raises(BadRequest, match=rf"inputs\[0\]: a picture has more than {len(png) - 8} bytes"):
            read_request({"inputs": {"text": "a", "image": image}})


def test_a_request_is_left_as_it_is(picture):
    data = {"inputs": [{"text": "a", "image": picture}], "parameters": {"threshold": 0.5}}
    sentences, parameters = read_request(data)
    assert sentences[0]["image"] != picture and parameters == {"threshold": 0.5}
    assert data == {"inputs": [{"text": "a", "image": picture}], "parameters": {"threshold": 0.5}}


def test_no_file_is_read(endpoint, tmp_path, png, monkeypatch):
    (tmp_path / "AAAA").write_bytes(png)
    monkeypatch.chdir(tmp_path)
    assert endpoint({"inputs": {"text": "a", "image": "AAAA"}})["image_status"] == "unreadable"
