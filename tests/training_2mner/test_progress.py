from training_2mner.progress import ReadableProgressCallback, format_log


def test_training_log_names_the_loss_and_its_parts():
    line = format_log({"loss": 1.5, "grad_norm": 3.0, "crf_loss": 1.25, "vit_contrastive_loss": 2.5, "epoch": 2.0})
    assert line == "epoch 2.00: loss 1.5, crf_loss 1.25, vit_contrastive_loss 2.5"


def test_evaluation_log_is_in_percent():
    scores = {"eval_precision": 0.5, "eval_recall": 0.25, "eval_f1": 1 / 3, "eval_lenient_f1": 0.4, "eval_loss": 2.0}
    assert (
        format_log(scores | {"epoch": 1.0}) == "epoch 1.00: dev precision 50.00, recall 25.00, f1 33.33, loss 2.0000"
    )


def test_other_logs_are_shown_as_they_are():
    assert format_log({"train_runtime": 12.3, "train_loss": 1.0, "epoch": 4.0}) == "epoch 4.00: trained for 12 s"
    assert format_log({"something": 0.123456}) == "something 0.1235"


def test_the_trainer_uses_it(make_trainer):
    callbacks = make_trainer(disable_tqdm=False).callback_handler.callbacks
    progress = [type(callback).__name__ for callback in callbacks if "Progress" in type(callback).__name__]
    assert progress == [ReadableProgressCallback.__name__]
