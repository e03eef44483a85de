from __future__ import annotations

import random

import pytest

from training_2mner.collator import TwoMNERDataCollator
from training_2mner.sampler import LengthGroupedSampler


@pytest.fixture
def lengths() -> list[int]:
    generator = random.Random(0)
    return [generator.randint(1, 60) for _ in range(403)]


def padding_share(rows: list[int], lengths: list[int], batch_size: int) -> float:
    batches = [[lengths[row] for row in rows[start : start + batch_size]] for start in range(0, len(rows), batch_size)]
    return 1 - sum(lengths) / sum(max(batch) * len(batch) for batch in batches)


def test_every_epoch_is_a_permutation_of_its_own(lengths):
    sampler = LengthGroupedSampler(lengths, batch_size=8, seed=3)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))

    assert len(sampler) == 403
    assert all(sorted(order) == list(range(403)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_order_depends_on_seed_and_epoch_alone(lengths):
    sampler = LengthGroupedSampler(lengths, batch_size=8, seed=3)
    sampler.set_epoch(5)
    again = LengthGroupedSampler(lengths, batch_size=8, seed=3)
    again.set_epoch(5)

    assert list(sampler) == list(sampler) == list(again)
    assert list(sampler) != list(LengthGroupedSampler(lengths, batch_size=8, seed=4))


def test_batches_hold_sentences_of_similar_length(lengths):
    shuffled = random.Random(1).sample(range(403), 403)

    waste = padding_share(list(LengthGroupedSampler(lengths, batch_size=8)), lengths, 8)

    assert waste < 0.2 * padding_share(shuffled, lengths, 8)


def test_long_batches_do_not_come_first(lengths):
    sampler = LengthGroupedSampler(lengths, batch_size=8)
    first = []
    for epoch in range(20):
        sampler.set_epoch(epoch)
        first.append(max(lengths[row] for row in list(sampler)[:8]))

    assert min(first) < 20 < 40 < max(first)


def test_the_incomplete_batch_stays_last(lengths):
    order = list(LengthGroupedSampler(lengths, batch_size=8))
    batches = [order[start : start + 8] for start in range(0, 403, 8)]

    # Cut anywhere else, the three rows would shift all later batches across the groups of similar length.
    assert len(batches[-1]) == 3
    assert all(max(lengths[row] for row in batch) - min(lengths[row] for row in batch) <= 12 for batch in batches)


def test_fewer_rows_than_a_batch():
    assert sorted(LengthGroupedSampler([3, 1, 2], batch_size=8)) == [0, 1, 2]
    assert list(LengthGroupedSampler([], batch_size=8)) == []


def test_the_trainer_gives_each_epoch_its_order(make_trainer, make_model, processor, text_only):
    seen: list[int] = []

    class Recorder(TwoMNERDataCollator):
        def __call__(self, rows):
            seen.extend(int(row["image_id"].split()[1]) for row in rows)
            return super().__call__(rows)

    trainer = make_trainer(
        make_model(**text_only),
        collator=Recorder(processor),
        num_train_epochs=3,
        gradient_accumulation_steps=2,
        seed=5,
    )
    trainer.train()

    epochs = [seen[start : start + 24] for start in range(0, 72, 24)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    sampler = LengthGroupedSampler(processor.piece_lengths(list(trainer.train_dataset["tokens"])), 8, seed=5)
    sampler.set_epoch(2)
    assert epochs[2] == list(sampler)


def test_a_data_seed_of_zero_is_a_seed(make_trainer, make_model, text_only):
    trainer = make_trainer(make_model(**text_only), seed=5, data_seed=0)

    assert list(trainer._get_train_sampler()) == list(make_trainer(seed=0)._get_train_sampler())


def test_group_by_length_can_be_switched_off(make_trainer, make_model, text_only):
    sampler = make_trainer(make_model(**text_only), group_by_length=False)._get_train_sampler()

    assert not isinstance(sampler, LengthGroupedSampler)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_split_is_scored_in_batches_of_similar_length_and_in_its_order(
    make_trainer, make_model, processor, text_only, workers
):
    widths, scored = [], []

    class Recorder(TwoMNERDataCollator):
        def __call__(self, rows):
            widths.append(processor.piece_lengths([row["tokens"] for row in rows]))
            return super().__call__(rows)

    def compute_metrics(prediction):
        scored.append(prediction.label_ids)
        return {"words": int((prediction.label_ids >= 0).sum())}

    model = make_model(**text_only)
    settings = {"per_device_eval_batch_size": 4, "dataloader_num_workers": workers, "compute_metrics": compute_metrics}
    grouped = make_trainer(model, collator=Recorder(processor), group_by_length=True, **settings)
    given = make_trainer(model, group_by_length=False, **settings)
    split = grouped.train_dataset
    found, expected = grouped.predict(split), given.predict(split)
    if workers == 0:
        assert widths == sorted(widths, key=max, reverse=True) and max(map(len, widths)) == 4
        assert sum(max(batch) - min(batch) for batch in widths) < 2 * len(split["tokens"])
    assert found.predictions.tolist() == expected.predictions.tolist()
    assert found.label_ids.tolist() == expected.label_ids.tolist()
    assert [row[: len(tokens)].tolist() for row, tokens in zip(found.label_ids, split["tokens"], strict=True)] == [
        list(tags) for tags in split["ner_tags"]
    ]
    assert scored[0].tolist() == scored[1].tolist() and found.metrics["test_words"] == expected.metrics["test_words"]
    assert found.metrics["test_loss"] == pytest.approx(expected.metrics["test_loss"], abs=1e-5)


@pytest.fixture
def pictures() -> list[int | None]:
    """The pictures of the rows of `lengths`: some are alone, some have up to nine rows, some have none."""
    generator = random.Random(1)
    return [generator.choice([None, *range(200), *[300] * 4, 301, 301]) for _ in range(403)]


@pytest.mark.parametrize("epoch", [0, 1])
def test_rows_of_a_picture_share_a_batch(lengths, pictures, epoch):
    known = {picture for picture in pictures if picture is not None}

    def cut(**settings) -> int:
        """The pictures whose rows are in more batches than they need."""
        sampler = LengthGroupedSampler(lengths, batch_size=16, seed=3, **settings)
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(order) == list(range(403)) and len(sampler) == 403
        batches = [{pictures[row] for row in order[start : start + 8]} for start in range(0, len(order), 8)]
        counts = {picture: sum(picture in batch for batch in batches) for picture in known}
        return sum(counts[picture] > -(-pictures.count(picture) // 8) for picture in known)

    assert cut() > 50
    assert cut(pictures=pictures, picture_batch=8) <= 3  # at the end, where nothing is left that would fill a batch


def test_lengths_stay_similar_with_pictures(lengths, pictures):
    order = list(LengthGroupedSampler(lengths, batch_size=8, pictures=pictures))
    assert padding_share(order, lengths, 8) < 0.35


def test_a_batch_encodes_each_picture_once(make_trainer, make_model, make_dataset, make_row):
    rows = [
        make_row(["Anna"] * (1 + number % 7), ["B-PER"] * (1 + number % 7), number % 6, number) for number in range(24)
    ]
    rows.append(make_row(["Hi"], ["O"], None, 24))
    for group_by_length in (True, False):
        model = make_model(mask_duplicate_images=True)
        seen: list[int] = []
        model.model.vision_model.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.append(len(kwargs["pixel_values"])), with_kwargs=True
        )
        settings = {"group_by_picture": True, "group_by_length": group_by_length}
        trainer = make_trainer(model, train=make_dataset(rows), folder=str(group_by_length), **settings)
        trainer.train()
        assert sum(seen) == 6  # of 24 sentences with six pictures


def test_contrastive_losses_must_leave_translations_out(make_trainer, make_model, make_baseline):
    with pytest.raises(
        ValueError, match=r"`group_by_picture` brings .* also write `config: \{mask_duplicate_images: true\}`"
    ):
        make_trainer(make_model(), group_by_picture=True)
    make_trainer(make_model(mask_duplicate_images=True), group_by_picture=True)
    make_trainer(make_baseline("umt"), group_by_picture=True)
