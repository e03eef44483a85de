from training_2mner.checkpoints import numbered_checkpoints


def test_checkpoints_come_in_the_order_of_their_steps_and_others_are_left_out(tmp_path):
    for name in ("checkpoint-10", "checkpoint-9", "checkpoint-best", "checkpoint-", "checkpoint-9-old", "other-3"):
        (tmp_path / name).mkdir()
    assert [path.name for path in numbered_checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10"]
