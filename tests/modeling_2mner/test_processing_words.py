from __future__ import annotations

import pytest
import torch
from transformers import AutoProcessor

from modeling_2mner import TwoMNERPipeline, WordProcessor


@pytest.fixture
def batch(word_processor, sentences, tags, pictures):
    return word_processor(sentences, [pictures[0], None, pictures[1], pictures[0]], tags)


def test_words_and_characters_have_a_number_each(word_processor, sentences, batch):
    tokenizer = word_processor.tokenizer
    assert batch["word_ids"].shape == batch["word_mask"].shape == batch["char_lengths"].shape == (4, 8)
    assert batch["char_ids"].shape == (4, 8, 6)  # Louvre
    for row, words in enumerate(sentences):
        rest = 8 - len(words)
        assert batch["word_ids"][row].tolist() == [tokenizer.word_id(word) for word in words] + [0] * rest
        assert batch["word_mask"][row].tolist() == [True] * len(words) + [False] * rest
        assert batch["char_lengths"][row].tolist() == [len(word) for word in words] + [0] * rest
        for place, word in enumerate(words):
            assert batch["char_ids"][row, place].tolist() == tokenizer.character_ids(word) + [0] * (6 - len(word))
    assert batch["char_ids"][1, 1:].sum() == 0
    assert all(batch[name].dtype == torch.long for name in ("word_ids", "char_ids", "char_lengths", "labels"))


def test_the_rest_of_the_batch_is_as_for_other_models(word_processor, one_image_processor, sentences, tags, pictures):
    images = [pictures[0], None, pictures[1], pictures[0]]
    batch, other = (processor(sentences, images, tags) for processor in (word_processor, one_image_processor))
    for name in ("pixel_values", "image_index", "labels", "word_mask"):
        assert torch.equal(batch[name], other[name])
    assert batch.image_status == other.image_status == ["ok", "missing", "ok", "ok"]


def test_names_begin_with_a_row_per_sentence(word_processor, tmp_path, batch):
    assert word_processor.model_input_names == [name for name in batch if name not in ("labels", "pixel_values")] + [
        "pixel_values"
    ]
    assert next(iter(batch)) == "word_ids"


def test_a_text_only_model_gets_no_pixels(word_processor, sentences, pictures):
    processor = WordProcessor(tokenizer=word_processor.tokenizer, use_image=False)
    batch = processor(sentences[:2], [pictures[0], None])
    assert list(batch) == processor.model_input_names and "pixel_values" not in batch
    assert batch.image_status == ["ok", "missing"] and batch["image_index"].tolist() == [0, -1]


@pytest.mark.parametrize(("sentences", "shape"), [([], (0, 0, 0)), ([[], []], (2, 0, 0)), ([["日"], []], (2, 1, 0))])
def test_batches_without_words_or_known_characters(word_processor, sentences, shape):
    batch = word_processor(sentences)
    assert batch["char_ids"].shape == shape and batch["word_mask"].shape == shape[:2]
    assert batch["word_mask"].sum() == sum(map(len, sentences)) and batch["char_lengths"].sum() == 0


def test_raw_text_is_split_and_entities_are_found_in_it(word_processor):
    text = "Anna  Meier, Köln"
    batch = word_processor([text])
    assert batch.words == [["Anna", "Meier", ",", "Köln"]] and batch["word_ids"].shape == (1, 4)
    entities = word_processor.post_process_entities(torch.tensor([[1, 2, 0, 3]]), batch)
    assert entities == [
        [
            {"entity_group": "PER", "word": "Anna  Meier", "start": 0, "end": 11},
            {"entity_group": "LOC", "word": "Köln", "start": 13, "end": 17},
        ]
    ]


def test_it_reloads_with_its_tokenizer(word_processor, sentences, pictures, tmp_path):
    WordProcessor(tokenizer=word_processor.tokenizer, labels=["O", "B-X"], use_image=False).save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is WordProcessor and loaded.labels == ["O", "B-X"] and not loaded.use_image
    assert loaded.tokenizer.words == word_processor.tokenizer.words
    expected = word_processor(sentences)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded(sentences).items())


def test_other_tokenizers_are_refused(tokenizer):
    with pytest.raises(ValueError, match="`tokenizer` is a BertTokenizer; pass a `WordTokenizer`"):
        WordProcessor(tokenizer=tokenizer)
    with pytest.raises(ValueError, match="`tokenizer` is missing"):
        WordProcessor()


def test_the_pipeline_reads_words(make_baseline, word_processor):
    processor = WordProcessor(tokenizer=word_processor.tokenizer, use_image=False)
    pipe = TwoMNERPipeline(model=make_baseline("bilstm-crf"), processor=processor, device="cpu")
    answer = pipe({"text": "Anna wohnt in Unbekannt."}, return_word_tags=True)
    assert [word["word"] for word in answer["words"]] == ["Anna", "wohnt", "in", "Unbekannt", "."]
    assert all(0 <= word["score"] <= 1.001 for word in answer["words"])


def test_an_absurd_word_does_not_widen_the_batch(word_processor):
    words = ["Anna", "P" * 30_000 + "a" * 20_000, "in"]
    with pytest.warns(UserWarning, match="1 words have more than 100 characters, such as 'PPP.*first and the last 50"):
        batch = word_processor([words, ["Hi"]])
    assert batch["char_ids"].shape == (2, 3, 100) and batch["char_lengths"].tolist() == [[4, 100, 2], [2, 0, 0]]
    ids = word_processor.tokenizer.character_ids
    assert batch["char_ids"][0, 1].tolist() == ids("P" * 50 + "a" * 50)
    assert batch.words[0] == words and batch["word_ids"][0].tolist() == [
        word_processor.tokenizer.word_id(word) for word in words
    ]


def test_words_of_any_real_length_are_read_whole(word_processor, recwarn):
    word = "Donaudampfschiff" * 6
    batch = word_processor([[word]])
    assert batch["char_ids"][0, 0].tolist() == word_processor.tokenizer.character_ids(word) and not recwarn.list
