"""Words that are hidden from the network while it learns: whole ones, in training alone, the same again after a stop."""

from __future__ import annotations

import pytest
import torch

from modeling_2mner import TwoMNERProcessor
from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.trainer import TwoMNERTrainer
from training_2mner.word_dropout import WordDropout

SAVING = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": None, "num_train_epochs": 2, "seed": 11}


@pytest.fixture
def train(make_trainer, make_model, splits, text_only):
    """Train for two epochs with half of the words hidden; return the trainer."""

    def run(folder: str, resume: str | None = None, **settings) -> TwoMNERTrainer:
        model = make_model(**text_only)
        trainer = make_trainer(model, splits["train"], folder=folder, **{"word_dropout": 0.5, **SAVING, **settings})
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return run


def pieces_of(tokenizer, batch: dict[str, torch.Tensor]) -> list[set[tuple[int, int]]]:
    """For each word the window and places of its pieces: from its own to that of the next, or to a special piece."""
    ids, special = batch["input_ids"], {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    firsts = sorted(batch["word_positions"][batch["word_mask"].bool()].tolist())
    words = []
    for first in firsts:
        window, place = divmod(first, ids.shape[1])
        places = {(window, place)}
        while (
            (place := place + 1) < ids.shape[1]
            and window * ids.shape[1] + place not in firsts
            and int(ids[window, place]) not in special
        ):
            places.add((window, place))
        words.append(places)
    return words


class TestWordDropout:
    def test_whole_words_are_hidden_and_nothing_else(self, processor, tokenizer):
        batch = processor([["Anna", "Köln", "Meierei", "in"], ["Paris"], ["the", "Louvre"]])
        words = pieces_of(tokenizer, batch)
        assert any(len(places) > 1 for places in words)
        torch.manual_seed(3)
        counts = set()
        for _ in range(20):
            changed = WordDropout(0.5, tokenizer)(batch)["input_ids"]
            hidden = {tuple(place) for place in (changed != batch["input_ids"]).nonzero().tolist()}
            assert all(changed[place] == tokenizer.mask_token_id for place in hidden)
            assert all(places <= hidden or not places & hidden for places in words)
            assert hidden <= set().union(*words)
            counts.add(len(hidden))
        assert len(counts) > 3  # each time others

    def test_with_certainty_every_word_is_hidden(self, processor, tokenizer):
        batch = processor([["Anna", "Köln"], ["Paris"]])
        changed = WordDropout(1.0, tokenizer)(batch)["input_ids"]
        expected = set().union(*pieces_of(tokenizer, batch))
        assert {tuple(place) for place in (changed == tokenizer.mask_token_id).nonzero().tolist()} == expected

    def test_the_share_is_the_probability(self, processor, tokenizer):
        batch = processor([["in"] * 40] * 50)
        torch.manual_seed(0)
        changed = WordDropout(0.1, tokenizer)(batch)["input_ids"]
        share = (changed == tokenizer.mask_token_id).sum().item() / 2000
        assert abs(share - 0.1) < 0.03  # four standard deviations

    def test_in_windows_each_word_is_hidden_where_its_tag_is_read_and_shown_elsewhere(self, tokenizer):
        processor = TwoMNERProcessor(tokenizer=tokenizer, max_length=18)
        words = ["Anna", "in", "Paris", "the", "Meierei", "Louvre", "in", "Köln"] * 6
        batch = processor([words, ["Anna", "in"]])
        assert len(batch["input_ids"]) > 3
        special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
        width, encoded = batch["input_ids"].shape[1], tokenizer([*words, "Anna", "in"], add_special_tokens=False)
        counts = list(map(len, encoded["input_ids"]))
        positions = batch["word_positions"][batch["word_mask"].bool()].tolist()
        own = {place + more for place, count in zip(positions, counts, strict=True) for more in range(count)}
        pieces = {place for place, piece in enumerate(batch["input_ids"].flatten().tolist()) if piece not in special}
        windows = {place // width for place in pieces - own}
        assert len(windows) > 2  # of which each shows words of others, on the left or on the right
        changed = WordDropout(1.0, tokenizer)(batch)["input_ids"].flatten().tolist()
        assert {place for place, piece in enumerate(changed) if piece == tokenizer.mask_token_id} == own

    def test_a_batch_without_a_mask_of_words_has_words_only(self, processor, tokenizer):
        batch = dict(processor([["Anna", "in", "Paris"]]))
        del batch["word_mask"]
        changed = WordDropout(1.0, tokenizer)(batch)["input_ids"]
        assert (changed.flatten()[batch["word_positions"].flatten()] == tokenizer.mask_token_id).all()

    def test_the_given_batch_is_left_as_it_is(self, processor, tokenizer):
        batch = processor([["Anna", "in", "Paris"]])
        before = batch["input_ids"].clone()
        WordDropout(1.0, tokenizer)(batch)
        assert torch.equal(batch["input_ids"], before)

    def test_a_tokenizer_without_a_mask_is_refused(self):
        with pytest.raises(ValueError, match="there is no tokenizer of sub-words"):
            WordDropout(0.1, None)


class TestTraining:
    def test_words_are_hidden_in_training_alone(self, train, splits, tokenizer, monkeypatch):
        seen = {True: [], False: []}
        forward = torch.nn.Module.__call__

        def watch(module, *args, **inputs):
            if "input_ids" in inputs and "labels" in inputs:
                seen[module.training].append((inputs["input_ids"] == tokenizer.mask_token_id).any().item())
            return forward(module, *args, **inputs)

        trainer = train("run")
        monkeypatch.setattr(torch.nn.Module, "__call__", watch)
        trainer.train()
        trainer.evaluate(splits["validation"])
        assert any(seen[True])
        assert seen[False] and not any(seen[False])

    def test_it_changes_what_is_learned(self, train, weights_of):
        some, none = (weights_of(train(str(share), word_dropout=share).model) for share in (0.5, 0.0))
        assert any(not torch.equal(some[name], none[name]) for name in some)

    def test_an_interrupted_run_hides_the_same_words(self, train, weights_of, tmp_path):
        whole = weights_of(train("whole").model)
        resumed = weights_of(train("resumed", str(tmp_path / "whole" / "checkpoint-4")).model)
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    def test_with_the_used_rows_alone_the_mask_is_learned_too(self, train, weights_of):
        every, used = (weights_of(train(str(rows), train_used_rows=rows).model) for rows in (False, True))
        assert all(torch.equal(every[name], used[name]) for name in every)

    def test_unknown_words_are_hidden_too(self, processor, tokenizer):
        batch = processor([["\u4e16", "Anna"]])
        assert (batch["input_ids"] == tokenizer.unk_token_id).any()
        changed = WordDropout(1.0, tokenizer)(batch)["input_ids"]
        assert not (changed == tokenizer.unk_token_id).any()

    @pytest.mark.parametrize("share", [1.0, -0.1, float("nan"), True])
    def test_impossible_shares_are_refused(self, share, quiet):
        with pytest.raises(ValueError, match="`word_dropout` is"):
            TwoMNERTrainingArguments(word_dropout=share, **quiet)
