"""transformers' own pipeline "token-classification" on models of words, and pipelines of models that are loaded already."""

import subprocess
import sys

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForTokenClassification, BertTokenizer, PreTrainedTokenizerFast, pipeline

from modeling_2mner import OneImageProcessor, TwoMNERPipeline
from modeling_2mner.pieces import FIRST, INSIDE, SPECIAL, piece_kinds
from modeling_2mner.posteriors import sentence_posteriors

TEXTS = ["Anna Meier wohnt in Paris", "Paris", "", "the Louvre, Paris"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_model, processor):
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    make_model().eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def stock(folder):
    return pipeline("token-classification", model=folder, device="cpu")


def expected(pipe, text, processor):
    """The argmax of each word's marginals, and where the word is."""
    batch = processor([text])
    with torch.no_grad():
        logits = pipe.model(**batch).logits
    posteriors = sentence_posteriors(pipe.model, logits, batch["word_mask"])[0]
    labels = pipe.model.config.labels
    return [
        (*span, labels[int(row.argmax())], float(row.max()))
        for span, row in zip(batch.offsets[0], posteriors, strict=True)
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_first_pieces_have_the_marginals_of_their_words(stock, processor, text):
    found = {(entity["start"], entity["end"]): entity for entity in stock(text, ignore_labels=[])}
    for start, end, tag, score in expected(stock, text, processor):
        entity = next(entity for (begin, _), entity in found.items() if begin == start)
        assert entity["entity"] == tag and entity["score"] == pytest.approx(score, abs=1e-5)
        inner = [entity for (begin, _), entity in found.items() if start < begin < end]
        assert all(entity["entity"] == tag.replace("B-", "I-") for entity in inner)


def test_several_texts_and_words_and_aggregation(stock):
    assert len(stock(TEXTS, aggregation_strategy="simple")) == len(TEXTS)
    assert stock(["Anna", "Paris"], is_split_into_words=True, ignore_labels=[])
    for strategy in ("simple", "first", "max", "average"):
        assert isinstance(stock(TEXTS[0], aggregation_strategy=strategy), list)


def test_padded_batches_and_single_texts_agree(stock):
    tokens = stock.tokenizer(TEXTS, padding=True, return_tensors="pt")
    together = stock.model(**tokens).logits
    for row, text in enumerate(TEXTS):
        alone = stock.model(**stock.tokenizer(text, return_tensors="pt")).logits[0]
        assert torch.allclose(together[row, : len(alone)], alone, atol=1e-4)


def test_other_forms_of_the_batch_are_refused(stock, folder, make_model):
    tokens = dict(stock.tokenizer("Anna in Paris", return_tensors="pt"))
    for change in ({"labels": torch.zeros(1, 3)}, {"pixel_values": torch.zeros(1, 3, 32, 32)}):
        with pytest.raises(ValueError, match="`word_positions` is missing; make the inputs with `TwoMNERProcessor`"):
            stock.model(**tokens, **change)
    with pytest.raises(ValueError, match="`token_type_ids` must be zeros"):
        stock.model(**{**tokens, "token_type_ids": torch.ones_like(tokens["input_ids"])})
    fresh = make_model().eval()
    with pytest.raises(
        ValueError, match=r"`word_positions` is missing; make the inputs .* or call `model.read_pieces\(tokenizer\)`"
    ):
        fresh(**tokens)
    fresh.read_pieces(stock.tokenizer)
    assert fresh(**tokens).logits.shape == (1, tokens["input_ids"].shape[1], 9)


@pytest.mark.parametrize("kind", ["bert-crf", "umt", "umgf", "mkgformer"])
def test_comparison_models_on_pieces_answer_too(make_baseline, tokenizer, kind):
    model = make_baseline(kind).eval()
    model.read_pieces(tokenizer)
    tokens = tokenizer("Anna Meier in Paris", return_tensors="pt")
    logits = model(**tokens).logits
    assert torch.allclose(logits.exp().sum(-1), torch.ones(logits.shape[:2]), atol=1e-4)
    processor = OneImageProcessor.for_model(model, tokenizer)
    batch = processor(["Anna Meier in Paris"])
    with torch.no_grad():
        words = sentence_posteriors(model, model(**batch).logits, batch["word_mask"])[0]
    assert torch.allclose(logits[0, batch["word_positions"][0]].exp().double(), words, atol=1e-4)


@pytest.mark.parametrize("kind", ["bilstm-crf", "adacan"])
def test_models_on_words_say_what_to_use(make_baseline, kind):
    with pytest.raises(ValueError, match="`input_ids` cannot be used: this model reads whole words"):
        make_baseline(kind).eval()(input_ids=torch.ones(1, 3).long(), attention_mask=torch.ones(1, 3).long())


def test_pieces_of_each_family_are_told_apart():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "##er", ",", "##,"]
    bert = BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})
    assert piece_kinds(bert).tolist() == [SPECIAL, FIRST, SPECIAL, SPECIAL, SPECIAL, FIRST, INSIDE, FIRST, FIRST]
    for mark in "\u2581\u0120":
        vocabulary = {"<s>": 0, f"{mark}Paris": 1, "er": 2, ".": 3, mark: 4}
        other = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(vocabulary, "<s>")), bos_token="<s>"
        )
        assert piece_kinds(other).tolist() == [SPECIAL, FIRST, INSIDE, FIRST, FIRST]


def test_a_loaded_model_is_enough_for_the_pipeline(folder, make_model, keep_caches_in, tmp_path, monkeypatch):
    keep_caches_in(tmp_path, monkeypatch)
    model = AutoModelForTokenClassification.from_pretrained(folder)
    expected = pipeline("multimodal-ner", model=folder, device="cpu", trust_remote_code=True)(TEXTS)
    assert pipeline("multimodal-ner", model=model, device="cpu")(TEXTS) == expected
    assert TwoMNERPipeline(model=model, device="cpu")(TEXTS) == expected
    with pytest.raises(
        ValueError, match=r"`processor` is missing.* write `TwoMNERPipeline\(model=model, processor=processor\)`"
    ):
        pipeline("multimodal-ner", model=make_model(), device="cpu")


CHILD = """
import sys
from transformers import AutoModelForTokenClassification, pipeline
model = AutoModelForTokenClassification.from_pretrained(sys.argv[1], trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules."), type(model)
print(len(pipeline("multimodal-ner", model=model, device="cpu")("Anna in Paris", threshold=0)))
print(len(pipeline("token-classification", model=sys.argv[1], trust_remote_code=True, device="cpu")("Anna", ignore_labels=[])))
"""


def test_both_work_with_the_code_of_the_checkpoint_alone(folder, tmp_path):
    child = subprocess.run(
        [sys.executable, "-c", CHILD, folder],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"HF_MODULES_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": ""},
    )
    assert child.returncode == 0, child.stderr[-3000:]
    assert len(child.stdout.split()) == 2


def test_texts_beyond_the_encoder_are_refused_with_the_remedy(stock):
    longest = stock.model.config.text_config.max_position_embeddings
    with pytest.raises(ValueError, match=rf"the text encoder reads {longest} at once; .*\"multimodal-ner\""):
        stock("a " * longest)
