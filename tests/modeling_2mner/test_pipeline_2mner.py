from __future__ import annotations

import base64
import copy
import json
import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import torch
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from modeling_2mner import TwoMNERPipeline
from modeling_2mner.images import LoadedImage, OpenedPictures, load_image
from modeling_2mner.pipeline_2mner import Entities, SentenceWithPictures
from modeling_2mner.posteriors import TagPosteriors
from modeling_2mner.spans import Span

TEXT = "Das Louvre-Museum ist in Paris, nicht Köln!"
WORDS = ["Das", "Louvre-Museum", "ist", "in", "Paris", ",", "nicht", "Köln", "!"]
LONG = "Anna Meier besucht das Museum in Paris und São Paulo , danach Köln und den Louvre in Paris ."
DECODERS = {
    "default": {},
    "free": {"crf_constrained_decoding": False},
    "no crf": {"use_crf": False},
    "text only": {"use_vit": False, "use_resnet": False},
}


@pytest.fixture(scope="module")
def inputs(sentences, pictures, png) -> list:
    return [
        {"words": sentences[0], "image": pictures[0]},
        TEXT,
        {"words": sentences[1], "image": [pictures[1], None, png]},
        {"text": LONG, "image": png},
        {"words": []},
        {"text": "", "image": pictures[0]},
        {"words": sentences[2], "image": b"nonsense"},
        {"words": LONG.split() * 3, "images": [pictures[2], pictures[2]]},
        {"words": sentences[3], "image": {"bytes": png, "path": None}},
        sentences[3],
        {"words": ["\u200b", "[SEP]", "\ud800"], "image": pictures[1]},
    ]


@pytest.fixture(scope="module")
def expected(pipe, inputs) -> list:
    return [pipe(sentence, return_word_tags=True) for sentence in inputs]


def bare(entities: Entities) -> list[dict]:
    """Entities as the processor tells them."""
    return [{key: entity[key] for key in ("entity_group", "word", "start", "end")} for entity in entities]


def close(first, second) -> bool:
    """Whether two answers agree: all the same, but for scores, which may differ by 1e-5."""
    if isinstance(first, float):
        return isinstance(second, float) and abs(first - second) <= 1e-5
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(close(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        equal = len(first) == len(second) and all(map(close, first, second))
        return equal and getattr(first, "image_status", None) == getattr(second, "image_status", None)
    return first == second


class TestInputs:
    @pytest.mark.parametrize(
        "kind", ["PIL", "str", "Path", "bytes", "bytearray", "bytes in a row", "path in a row", "data URI", "list"]
    )
    def test_pictures(self, pipe, make_picture, png, path, kind):
        picture = {
            "PIL": make_picture(0),
            "str": str(path),
            "Path": path,
            "bytes": png,
            "bytearray": bytearray(png),
            "bytes in a row": {"bytes": png, "path": "nowhere.png"},
            "path in a row": {"bytes": None, "path": str(path)},
            "data URI": f"data:image/png;base64,{base64.b64encode(png).decode()}",
            "list": [png],
        }[kind]
        expected, without = pipe(TEXT, make_picture(0)), pipe(TEXT)
        assert expected and expected.image_status == "ok" and expected != without
        for found in (
            pipe(TEXT, picture),
            pipe(TEXT, images=picture),
            pipe({"text": TEXT, "image": picture}),
            pipe({"text": TEXT, "images": picture}),
        ):
            assert list(found) == list(expected) and (found.image_status, found.image_reason) == ("ok", "")

    @pytest.mark.parametrize("picture", [None, [], [None], {"bytes": None, "path": None}, ()])
    def test_no_picture(self, pipe, picture):
        expected = pipe(TEXT)
        assert (expected.image_status, expected.image_reason) == ("missing", "no picture given")
        assert expected and all(entity["image_status"] == "missing" for entity in expected)
        found = [pipe(TEXT, picture), pipe({"text": TEXT, "image": picture}, on_bad_image="raise")]
        assert [*map(list, found)] == [list(expected)] * 2

    def test_a_sentence_in_every_form(self, pipe):
        text, words = pipe(TEXT), pipe({"words": WORDS})
        assert type(text) is type(words) is Entities
        assert [entity["entity_group"] for entity in text] == [entity["entity_group"] for entity in words]
        assert pipe({"text": TEXT}) == pipe({"text": TEXT, "image": None, "lang": "fr"}) == text
        for form in (WORDS, tuple(WORDS), {"words": tuple(WORDS)}, {"tokens": WORDS}, {"tokens": WORDS, "id": 3}):
            assert pipe(form) == words

    def test_a_sentence_with_its_picture_apart(self, pipe, png):
        text, words = pipe({"text": TEXT, "image": png}), pipe({"words": WORDS, "image": png})
        assert pipe(TEXT, png) == text
        assert pipe(WORDS, png) == pipe(tuple(WORDS), images=png) == words
        assert pipe(WORDS, [png, None]) == pipe({"words": WORDS, "image": [png, None]})
        assert pipe([TEXT, WORDS], [png, None]) == [text, pipe(WORDS)]
        assert pipe((TEXT, WORDS), (None, png)) == [pipe(TEXT), words]
        assert pipe([WORDS, ["Hi"]], [png, png]) == [words, pipe(["Hi"], png)]

    def test_lists_of_strings_are_words_unless_one_has_a_blank(self, pipe):
        assert pipe(["São", "Paulo"]) == pipe({"words": ["São", "Paulo"]})
        assert pipe(["São Paulo", "Köln"]) == [pipe({"text": "São Paulo"}), pipe({"text": "Köln"})]
        assert pipe(["São\u00a0Paulo"]) == [pipe({"text": "São\u00a0Paulo"})]

    @pytest.mark.parametrize("at_call", [True, False])
    def test_lists_of_strings_are_what_the_caller_says(self, model, processor, pipe, at_call):
        def ask(inputs, split: bool, images=None):
            if at_call:
                return pipe(inputs, images, is_split_into_words=split)
            own = TwoMNERPipeline(model=model, processor=processor, device="cpu", is_split_into_words=split)
            return own(inputs, images)

        words = ask(["São Paulo", "Köln"], True)
        assert words == pipe({"words": ["São Paulo", "Köln"]}) and words[-1]["end"] <= 2
        assert ask(["São", "Paulo"], False) == [pipe({"text": "São"}), pipe({"text": "Paulo"})]
        assert ask(["São", "Paulo"], False, [None, None]) == [pipe({"text": "São"}), pipe({"text": "Paulo"})]

    def test_many_sentences_in_every_form(self, pipe, png):
        dicts = [{"words": WORDS, "image": png}, {"text": TEXT}, {"tokens": ["Hi"], "image": None}]
        expected = [pipe(sentence) for sentence in dicts]
        assert pipe(dicts) == pipe(tuple(dicts)) == expected
        for stream in ((sentence for sentence in dicts), iter(dicts), map(dict, dicts)):
            found = pipe(stream)
            assert isinstance(found, Iterator) and list(found) == expected
        assert list(pipe(text for text in [TEXT, "Paris"])) == [pipe(TEXT), pipe({"text": "Paris"})]
        assert list(pipe(iter([WORDS, ("Hi",)]))) == [pipe(WORDS), pipe({"words": ["Hi"]})]

    def test_streams_are_read_one_by_one(self, pipe):
        read = []

        def sentences() -> Iterator[str]:
            for number in range(5):
                read.append(number)
                yield TEXT

        next(iter(pipe(sentences())))
        assert len(read) < 4

    def test_data_sets(self, pipe, rows, png):
        expected = [pipe(WORDS, png), pipe({"words": ["Hi"]}), pipe(["São", "Paulo"], png)]
        assert [entities.image_status for entities in expected] == ["ok", "missing", "ok"]
        encoded = rows.cast_column("image", datasets.Image(decode=False))
        assert rows[0]["image"].size == (48, 40) and encoded[0]["image"]["bytes"] == png
        for data in (rows, encoded, rows.to_iterable_dataset(), encoded.to_iterable_dataset()):
            assert not isinstance(pipe(data), list) and list(pipe(data)) == expected
            assert [pipe(row) for row in data] == expected
        assert list(pipe(torch.utils.data.Subset(encoded, [2, 1]))) == [expected[2], expected[1]]
        assert len(pipe(rows)) == len(pipe(rows, batch_size=2)) == 3
        words = [pipe({"words": row["tokens"]}) for row in rows]
        assert list(pipe(KeyDataset(rows, "tokens"))) == list(pipe(rows["tokens"])) == words

    def test_nothing_gives_nothing(self, pipe, rows, png):
        for nothing in ("", " \n", {"text": ""}, {"words": []}, {"tokens": ()}):
            found = pipe(nothing)
            assert found == [] and found.image_status == "missing"
            assert pipe(nothing, n_best=3) == [{"score": 1.0, "entities": []}]
            assert pipe(nothing, return_word_tags=True) == {"entities": [], "words": [], "image_status": "missing"}
        for nothing in (
            {"text": "", "image": png},
            {"text": " \n", "image": png},
            {"words": [], "image": [png, None]},
        ):
            found = pipe(nothing)
            assert found == [] and found.image_status in ("ok", ["ok", "missing"])
        none = rows.select([])
        for nothing in ([], (), (text for text in []), iter([]), none, KeyDataset(none, "tokens"), none["tokens"]):
            assert list(pipe(nothing)) == []
        assert pipe([[], ["Hi"], []]) == [[], pipe({"words": ["Hi"]}), []]
        assert pipe(["", TEXT, ""], batch_size=3) == [[], pipe(TEXT), []]
        assert pipe([], []) == [] and pipe(["", ""], is_split_into_words=False) == [[], []]

    @pytest.mark.parametrize(
        ("inputs", "images", "message"),
        [
            (5, None, r'"text" must be a string and "words" a list of strings, got .*5'),
            (None, None, r'"text" must be a string'),
            (b"Anna", None, r"got .*b'Anna'"),
            ({"text": ["Anna"]}, None, r"got .*\['Anna'\]"),
            ({"words": "Anna"}, None, r'"words" a list of strings, got .*Anna'),
            ({"tokens": ["Anna", 1]}, None, r"got .*Anna"),
            (["in Köln", 7], None, r"got .*7"),
            ([["Anna", None]], None, r"None"),
            ({"image": None}, None, r'must have one of "text" and "words" \(or "tokens"\).*got .*image'),
            ({"text": "a", "tokens": ["a"]}, None, r"must have one of .*tokens"),
            ({"text": "a", "image": "b", "images": ["b"]}, None, r'either "image" or "images", got'),
            ({"text": "a"}, b"b", r"`images` goes with strings.*put the picture of a dict"),
            ([{"text": "a"}], [b"b"], r"`images` goes with strings.*put the picture of a dict"),
            (["in Köln", "Hi"], [b"b"], r"`images` must be one picture for one sentence, or a list as long"),
            (["in Köln", "Hi"], b"b", r"`images` must be one picture .*got .*in Köln.*b'b'"),
            ((text for text in ["a"]), [b"b"], r"`images` must be one picture"),
            ("Anna", 5, r"The picture of 'Anna' is invalid: a picture must be a PIL image"),
            ("Anna", [b"b", 5], r"The picture of 'Anna' is invalid"),
        ],
    )
    def test_other_inputs_are_refused(self, pipe, inputs, images, message):
        with pytest.raises(ValueError, match=message):
            pipe(inputs, images)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"threshold": 1.5}, "`threshold` must be a probability from 0 to 1, got 1.5"),
            ({"threshold": -0.1}, "`threshold`"),
            ({"threshold": float("nan")}, "`threshold`"),
            ({"threshold": "0.5"}, "`threshold` must be a probability from 0 to 1, got '0.5'"),
            ({"n_best": 0}, "`n_best` must be at least 1, got 0"),
            ({"n_best": 1.5}, "`n_best` must be a whole number, got 1.5"),
            ({"window_batches": 1.5}, "`window_batches` must be a whole number, got 1.5"),
            ({"on_bad_image": "skip"}, "`on_bad_image` is 'skip'; write"),
        ],
    )
    def test_other_parameters_are_refused(self, model, processor, pipe, parameters, message):
        with pytest.raises(ValueError, match=message):
            pipe(TEXT, **parameters)
        with pytest.raises(ValueError, match=message):
            TwoMNERPipeline(model=model, processor=processor, device="cpu", **parameters)

    def test_misspelt_parameters_are_refused(self, pipe):
        with pytest.raises(TypeError, match="treshold"):
            pipe(TEXT, treshold=0.5)


class TestEntities:
    @pytest.mark.parametrize("decoder", DECODERS)
    def test_they_are_the_model_s(self, make_model, processor, sentences, pictures, predict, decoder):
        model = make_model(**DECODERS[decoder])
        pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
        words, images = [*sentences, TEXT, LONG.split(), LONG], [*pictures, None, *pictures]
        batch = processor(words, images)
        expected = processor.post_process_entities(predict(model, batch).predictions, batch)
        found = pipe(words, images)
        assert [bare(entities) for entities in found] == expected and sum(map(len, expected)) > 6
        assert len({entity["entity_group"] for entities in expected for entity in entities}) > 1
        for entities, status in zip(found, batch.image_status, strict=True):
            assert {entity["image_status"] for entity in entities} <= {status} == {entities.image_status}

    @pytest.mark.parametrize("decoder", DECODERS)
    def test_scores_are_posteriors(self, make_model, processor, predict, make_picture, decoder):
        model = make_model(**DECODERS[decoder])
        logits = predict(model, processor([WORDS] * 2, [make_picture(0), None])).logits
        labels = list(model.config.id2label.values())
        crf = model.crf if model.config.use_crf else None
        for images, rows in ((make_picture(0), [0]), (None, [1]), ([make_picture(0), None], [0, 1])):
            mask = torch.ones(len(rows), len(WORDS), dtype=torch.bool)
            constrained = bool(crf) and decoder != "free"
            posteriors = TagPosteriors(logits[rows], mask, labels, crf, constrained, pictures=[[*range(len(rows))]])
            pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
            found = pipe(WORDS, images, return_word_tags=True)
            spans = [(entity["entity_group"], entity["start"], entity["end"]) for entity in found["entities"]]
            scores = [entity["score"] for entity in found["entities"]]
            assert spans and scores == pytest.approx(
                posteriors.score_spans([[Span(*span) for span in spans]])[0], abs=1e-5
            )
            chosen = [labels.index(word["tag"]) for word in found["words"]]
            expected = posteriors.marginals()[0][range(len(WORDS)), chosen].tolist()
            assert [word["score"] for word in found["words"]] == pytest.approx(expected, abs=1e-5)
            readings = posteriors.best_readings(0, 3)
            shares = [reading["score"] for reading in pipe(WORDS, images, n_best=3)]
            assert shares == pytest.approx([share for _, share in readings], abs=1e-5)
            assert chosen == readings[0][0]

    def test_a_threshold_leaves_the_sure_ones(self, pipe):
        found = pipe(LONG)
        scores = sorted(entity["score"] for entity in found)
        assert len(scores) > 4 and 0 < scores[0] < scores[-1] < 1
        for threshold in (0, scores[0], scores[2], 1):
            expected = [entity for entity in found if entity["score"] >= threshold]
            assert pipe(LONG, threshold=threshold) == expected
            tags = pipe(LONG, threshold=threshold, return_word_tags=True)
            assert tags == {**pipe(LONG, return_word_tags=True), "entities": expected}

    def test_the_best_readings_come_in_order(self, pipe):
        found = pipe(LONG, n_best=20)
        scores = [reading["score"] for reading in found]
        assert len(found) == 20 and scores == sorted(scores, reverse=True) and 0 < sum(scores) < 1
        assert found[0]["entities"] == pipe(LONG) and pipe(LONG, n_best=7) == found[:7]
        tagged = pipe(LONG, n_best=20, return_word_tags=True)
        assert [{"score": one["score"], "entities": one["entities"]} for one in tagged] == found
        assert len({tuple(word["tag"] for word in reading["words"]) for reading in tagged}) == 20
        assert all(type(reading["entities"]) is Entities for reading in found)

    def test_a_short_sentence_has_few_readings(self, pipe):
        found = pipe({"words": ["Paris"]}, n_best=100)
        assert len(found) == 5 and sum(reading["score"] for reading in found) == pytest.approx(1)
        assert [len(reading["entities"]) for reading in found].count(0) == 1

    @pytest.mark.parametrize("picture", [None, "zero", ["zero", None]])
    def test_every_word_has_a_tag(self, pipe, path, picture):
        images = [str(path) if name else None for name in picture] if isinstance(picture, list) else picture and path
        odd = ["\u200b", "", " ", "\ufeff", "[SEP]", "\ud800", "a b", "\n", "😀", "x" * 300, "Köln"]
        found = pipe({"words": odd, "image": images}, return_word_tags=True)
        assert [word["word"] for word in found["words"]] == odd
        assert [(word["start"], word["end"]) for word in found["words"]] == [(at, at + 1) for at in range(len(odd))]
        assert {word["tag"] for word in found["words"]} <= set(pipe.model.config.label2id)
        assert all(0 <= word["score"] <= 1 for word in found["words"])
        assert found["image_status"] == found["entities"].image_status

    def test_they_say_where_they_are(self, pipe):
        text = f"  {LONG}\n\t{TEXT} "
        found = pipe(text, return_word_tags=True)
        assert found["entities"] and found["words"]
        for part in (*found["entities"], *found["words"]):
            assert text[part["start"] : part["end"]] == part["word"]
        words = LONG.split()
        for entity in pipe(words):
            assert entity["word"] == " ".join(words[entity["start"] : entity["end"]])

    def test_they_are_plain_values(self, pipe, png):
        found = pipe(TEXT, [png, None])
        assert json.loads(json.dumps(found)) == found
        for copied in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
            assert type(copied) is Entities and copied == found
            assert (copied.image_status, copied.image_reason) == (found.image_status, found.image_reason)
        assert (Entities().image_status, Entities().image_reason) == ("missing", "")

    def test_parameters_may_be_set_once(self, model, processor, pipe):
        own = TwoMNERPipeline(model=model, processor=processor, device="cpu", threshold=0.5, n_best=2)
        assert own(LONG) == pipe(LONG, threshold=0.5, n_best=2) != pipe(LONG, n_best=2)
        assert own(LONG, threshold=0) == pipe(LONG, n_best=2)

    def test_the_model_is_left_as_it_is(self, pipe):
        weights = {name: tensor.clone() for name, tensor in pipe.model.state_dict().items()}
        pipe(TEXT, return_word_tags=True)
        assert all(torch.equal(tensor, weights[name]) for name, tensor in pipe.model.state_dict().items())
        assert not pipe.model.training

    def test_half_precision(self, make_model, processor, predict, make_picture):
        model = make_model().to(torch.bfloat16)
        batch = processor([WORDS], [make_picture(0)])
        expected = processor.post_process_entities(predict(model, batch).predictions, batch)
        found = TwoMNERPipeline(model=model, processor=processor, device="cpu")(WORDS, make_picture(0))
        assert found and [bare(found)] == expected
        assert all(0 < entity["score"] <= 1 for entity in found)

    def test_transformers_knows_the_task(self, model, processor, pipe):
        found = pipeline("multimodal-ner", model=model, processor=processor, device="cpu")
        assert type(found) is TwoMNERPipeline and found(TEXT) == pipe(TEXT)


class TestPictures:
    BAD: dict[str, tuple] = {  # noqa: RUF012
        "no file": ("missing", "no such file: nowhere.png", "nowhere.png"),
        "no picture": ("unreadable", "cannot identify", b"nonsense"),
        "nothing": ("unreadable", "", b""),
        "broken": ("unreadable", "", b"\x89PNG\r\n\x1a\n1234"),
        "data URI": ("unreadable", "not base64", "data:image/png;base64,!"),
        "address": ("unreadable", "`allow_urls=True`", "http://127.0.0.1/a.png"),
        "folder": ("unreadable", "not a regular file", Path(__file__).parent),
    }

    @pytest.mark.parametrize("kind", BAD)
    def test_bad_ones_are_reported(self, pipe, kind):
        status, reason, source = self.BAD[kind]
        found = pipe(TEXT, source)
        assert found.image_status == status and reason in found.image_reason != ""
        assert found == [{**entity, "image_status": status} for entity in pipe(TEXT)]
        assert pipe(TEXT, source, return_word_tags=True)["image_status"] == status

    def test_tiny_ones_are_reported(self, pipe, make_picture):
        found = pipe(TEXT, make_picture(0, 3, 3))
        assert (found.image_status, found.image_reason) == ("degenerate", "3 x 3 pixels")
        with pytest.raises(ValueError, match=r"'Das Louvre.*degenerate: 3 x 3 pixels"):
            pipe(TEXT, make_picture(0, 3, 3), on_bad_image="raise")

    @pytest.mark.parametrize("kind", BAD)
    def test_bad_ones_are_errors_if_wanted(self, model, processor, pipe, png, kind):
        status, reason, source = self.BAD[kind]
        for sentence, name in ((TEXT, "'Das Louvre"), (WORDS, r"\['Das', 'Louvre-Museum'")):
            for image in (source, [png, source]):
                with pytest.raises(ValueError, match=rf"The picture of {name}.* is {status}: .*{reason}.*Fix it"):
                    pipe(sentence, image, on_bad_image="raise")
        own = TwoMNERPipeline(model=model, processor=processor, device="cpu", on_bad_image="raise")
        assert (
            own([{"text": TEXT, "image": png}, {"text": "Hi", "image": None}])
            == pipe(["", TEXT, "Hi"], [None, png, None])[1:]
        )
        with pytest.raises(ValueError, match="'Hi'"):
            own([{"text": TEXT, "image": png}, {"text": "Hi", "image": source}])

    def test_several_are_each_reported(self, pipe, pictures):
        found = pipe(WORDS, [*pictures, None], return_word_tags=True)
        assert found["image_status"] == ["ok", "ok", "ok", "missing"]
        assert found["entities"].image_reason == ["", "", "", "no picture given"]
        assert all(entity["image_status"] == found["image_status"] for entity in found["entities"])

    def test_their_order_does_not_matter(self, pipe, pictures):
        found = pipe(LONG, list(pictures), return_word_tags=True)
        assert close(found, pipe(LONG, list(pictures[::-1]), return_word_tags=True))
        assert not close(found, pipe(LONG, pictures[0], return_word_tags=True) | {"image_status": ["ok"] * 3})

    def test_addresses_are_fetched_only_if_allowed(self, pipe, monkeypatch, make_picture):
        asked = []

        def read(source, allow_urls: bool, opened: OpenedPictures) -> LoadedImage:
            asked.append((source, allow_urls))
            return load_image(make_picture(0), opened)

        monkeypatch.setitem(TwoMNERPipeline.preprocess.__globals__, "load_image_source", read)
        pipe(TEXT, "http://8.8.8.8/")
        assert pipe(TEXT, "http://8.8.8.8/", allow_urls=True) == pipe(TEXT, make_picture(0))
        assert [allowed for _, allowed in asked] == [False, True, False]


class TestBatches:
    @pytest.mark.parametrize("num_workers", [0, 2])
    @pytest.mark.parametrize("batch_size", [1, 2, 5])
    def test_answers_do_not_depend_on_the_batch(self, pipe, inputs, expected, batch_size, num_workers):
        settings = {"batch_size": batch_size, "num_workers": num_workers, "return_word_tags": True}
        assert close(pipe(inputs + inputs[::-1], **settings), expected + expected[::-1])

    def test_nor_on_its_order(self, pipe, inputs, expected):
        order = list(range(len(inputs)))
        for seed in range(4):
            random.Random(seed).shuffle(order)
            found = pipe([inputs[place] for place in order], batch_size=3, return_word_tags=True)
            assert close(found, [expected[place] for place in order])

    def test_nor_on_how_they_come(self, pipe, inputs, expected):
        assert close(list(pipe(iter(inputs), batch_size=4, num_workers=1, return_word_tags=True)), expected)

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_data_sets_come_in_batches(self, pipe, rows, num_workers):
        found = list(pipe(rows, batch_size=2, num_workers=num_workers))
        assert close(found, [pipe(row) for row in rows])

    def test_readings_come_in_batches(self, pipe, inputs):
        assert close(pipe(inputs, batch_size=4, n_best=3), [pipe(sentence, n_best=3) for sentence in inputs])

    @pytest.mark.parametrize("num_workers", [0, 1])
    def test_a_bad_sentence_among_good_ones_is_named(self, pipe, num_workers):
        with pytest.raises(ValueError, match=r"got .*'Anna', 5"):
            pipe([TEXT, ["Anna", 5]], batch_size=2, num_workers=num_workers)

    def test_what_workers_send_can_be_pickled(self, pipe, png):
        prepared = pipe.preprocess({"words": WORDS, "image": [png, b"nonsense"]})
        sent = pickle.loads(pickle.dumps(prepared))["sentence"]
        assert type(sent) is SentenceWithPictures and sent.words == WORDS
        assert [picture.status for picture in sent.pictures] == ["ok", "unreadable"]
        assert sent.pictures[0].image.tobytes() == prepared["sentence"].pictures[0].image.tobytes()


@pytest.mark.filterwarnings("ignore:The model's scores")
def test_a_decoder_that_is_not_finite_is_an_error_and_no_answer(model, processor):
    broken = copy.deepcopy(model)
    broken.crf.transitions.data.fill_(float("nan"))
    for answer in TwoMNERPipeline(model=broken, processor=processor)(["Anna in Paris", "Hi there"]):
        assert answer == [] and "not finite" in answer.error


def test_columns_of_a_batch_are_refused_with_the_remedy(model, processor):
    pipe = TwoMNERPipeline(model=model, processor=processor)
    with pytest.raises(ValueError, match=r"pipe\(batch\['tokens'\]\)"):
        pipe({"tokens": [["Anna", "in"], ["Paris"]]})


def test_scores_follow_the_temperature_and_tags_do_not(make_model, processor, pictures):
    """The same as with emissions and transitions that were divided by it."""
    settings = {"n_best": 2, "return_word_tags": True}
    words = ["Das", "Louvre-Museum", "ist", "in", "Paris", ",", "nicht", "Köln", "!"]
    plain, softer, divided = make_model(), make_model(crf_temperature=2.5), make_model()
    with torch.no_grad():
        for parameter in (*divided.classifier.parameters(), *divided.crf.parameters()):
            parameter /= 2.5
    answers = [
        TwoMNERPipeline(model=network, processor=processor, device="cpu")(words, pictures[0], **settings)
        for network in (plain, softer, divided)
    ]
    assert answers[0][0]["entities"]
    for given, found, expected in zip(*answers, strict=True):
        assert found["score"] == pytest.approx(expected["score"], abs=1e-6)
        assert found["score"] != pytest.approx(given["score"], abs=1e-3)
        for part in ("words", "entities"):
            assert [{**one, "score": 0} for one in found[part]] == [{**one, "score": 0} for one in given[part]]
            for one, other, same in zip(given[part], found[part], expected[part], strict=True):
                assert other["score"] == pytest.approx(same["score"], abs=1e-5)
                assert other["score"] != pytest.approx(one["score"], abs=1e-4)
