from __future__ import annotations

import json
import shutil
from itertools import combinations, pairwise, product

import pytest
import torch
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from torch import Tensor

from dataset_scripts.schema import LANGUAGES
from experiments.average import __main__ as average
from experiments.average import averaging
from experiments.average import runs as average_runs
from experiments.average.entities import THRESHOLDS, average_entities
from experiments.counts import scores
from experiments.plan import EXTRA_MODELS, MODELS, Run, plan_runs
from experiments.records import read_predictions, read_records
from modeling_2mner.posteriors import TagPosteriors, average_posteriors, decode_averaged
from modeling_2mner.spans import Span, choose_entities, entity_spans, spans_to_tags
from training_2mner.arguments import DataArguments
from training_2mner.data import load_splits, tag_names

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SEEDS = (20, 19, 21)


@pytest.fixture(scope="module")
def arguments(dataset) -> DataArguments:
    return DataArguments(dataset)


@pytest.fixture(scope="module")
def test_split(arguments):
    return load_splits(arguments)["test"]


@pytest.fixture(scope="module")
def save(tmp_path_factory, make_baseline, one_image_processor):
    """Save a tiny model with random weights: `save(name, seed, model_type, ...)`. Its tags vary from word to word."""

    def build(name: str, seed: int, model_type: str = "umt", **settings):
        folder = tmp_path_factory.mktemp("runs") / name
        model = make_baseline(model_type, **settings)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator) * parameter.abs()
            for parameter in model.crf.parameters() if model.config.use_crf else ():
                parameter *= 0.5
            model.classifier.bias.zero_()
        model.save_pretrained(folder)
        one_image_processor.save_pretrained(folder)
        return folder

    return build


@pytest.fixture(scope="module")
def runs(save):
    """Three runs with pictures and a CRF."""
    return [save(f"umt.all.seed-{seed}", seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def without_crf(save):
    return save("bert.all.seed-19", 19, "bert-crf", use_crf=False)


@pytest.fixture(scope="module")
def answers(runs, test_split, arguments) -> list[averaging.Answers]:
    return [averaging.answer(folder, test_split, arguments, batch_size=4) for folder in runs]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, runs, dataset):
    """The output of the command."""
    output = tmp_path_factory.mktemp("output")
    average.main([*map(str, runs), "--dataset", dataset, "--output", str(output), "--device", "cpu"])
    return output


def is_valid(tags: list[str]) -> bool:
    return all(tag[0] != "I" or (before != "O" and before[2:] == tag[2:]) for before, tag in pairwise(["O", *tags]))


def best_by_enumeration(posteriors: Tensor, labels: list[str]) -> list[str]:
    """The valid sequence with the highest product of posteriors, of all that there are."""
    paths = product(range(len(labels)), repeat=len(posteriors))
    valid = [path for path in paths if is_valid([labels[tag] for tag in path])]
    best = max(valid, key=lambda path: sum(posteriors[word, tag].log().item() for word, tag in enumerate(path)))
    return [labels[tag] for tag in best]


def random_posteriors(lengths: list[int], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (2 * torch.randn(length, len(LABELS), generator=generator, dtype=torch.float64)).softmax(1)
        for length in lengths
    ]


def test_the_answer_is_the_best_of_all_valid_sequences():
    posteriors = random_posteriors([1, 2, 3, 4, 4, 4, 4, 4])
    found = decode_averaged(posteriors, LABELS)
    assert found == [best_by_enumeration(words, LABELS) for words in posteriors]
    greedy = [[LABELS[tag] for tag in words.argmax(1).tolist()] for words in posteriors]
    assert not all(map(is_valid, greedy)) and found != greedy  # otherwise the constraint would not matter here


def test_only_iob2_weighs_on_the_sequence_beside_the_posteriors():
    """Valid best tags stay, also where many runs' transitions would make them unlikely: B- after B-, one word each."""
    tags = ["B-PER", "B-PER", "I-PER", "B-LOC", "O", "B-LOC", "I-LOC", "I-LOC"]
    posteriors = torch.full((len(tags), len(LABELS)), 0.19, dtype=torch.float64)
    posteriors[range(len(tags)), [LABELS.index(tag) for tag in tags]] = 0.24
    assert decode_averaged([posteriors], LABELS) == [tags]


def test_certainty_that_iob2_forbids_costs_no_other_word():
    """All runs are certain of a first and a last tag that cannot be: every valid sequence has the posterior 0."""
    believed = ["I-PER", "B-LOC", "I-LOC", "O", "I-PER"]
    certain = torch.eye(len(LABELS), dtype=torch.float64)[[LABELS.index(tag) for tag in believed]]
    (tags,) = decode_averaged([certain], LABELS)
    assert tags[1:3] == believed[1:3] and is_valid(tags)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_padding_does_not_matter_to_the_decoding(batch_size):
    posteriors = random_posteriors([7, 0, 1, 30, 2, 0, 5], seed=1)
    alone = [decode_averaged([words], LABELS)[0] for words in posteriors]
    assert decode_averaged(posteriors, LABELS, batch_size) == alone
    assert [len(tags) for tags in alone] == [7, 0, 1, 30, 2, 0, 5]


def test_the_average_is_the_mean_whatever_the_order():
    first, second, third = (random_posteriors([3, 5], seed) for seed in (1, 2, 3))
    found = average_posteriors([first, second, third])
    for words, parts in zip(found, zip(first, second, third, strict=True), strict=True):
        torch.testing.assert_close(words, (parts[0] + parts[1] + parts[2]) / 3)
    turned = average_posteriors([third, first, second])
    torch.testing.assert_close(turned, found)
    assert not torch.allclose(found[0], average_posteriors([first, second])[0])


def test_the_order_of_the_runs_does_not_matter(answers, runs):
    tags = [
        decode_averaged(average_posteriors([answers[place].posteriors for place in order]), read_labels(runs))
        for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2))
    ]
    assert tags[0] == tags[1] == tags[2] != answers[0].tags


def read_labels(folders) -> list[str]:
    return average_runs.read_configs(folders)[0].labels


def test_a_run_with_itself_is_the_run(answers, runs):
    """The average is that run's posterior, so that the answer is its best valid sequence by single words."""
    labels, single = read_labels(runs), answers[0].posteriors
    both = average_posteriors([single, single])
    torch.testing.assert_close(both, single)
    tags = decode_averaged(both, labels)
    begun = [words[:4] for words in both[:5]]  # enumerating whole sentences would take long
    assert decode_averaged(begun, labels) == [best_by_enumeration(words[:4], labels) for words in single[:5]]
    valid = [row for row, words in enumerate(single) if is_valid([labels[tag] for tag in words.argmax(1)])]
    assert valid
    assert [tags[row] for row in valid] == [[labels[tag] for tag in single[row].argmax(1).tolist()] for row in valid]


@pytest.mark.parametrize("decoder", ["crf", "softmax"])
def test_posteriors_and_tags_are_those_of_the_model(decoder, runs, without_crf, test_split, arguments):
    """Those of the model itself, which reads here one sentence at a time."""
    folder = {"crf": runs[0], "softmax": without_crf}[decoder]
    found = averaging.answer(folder, test_split, arguments, batch_size=5)
    model = averaging.AutoModelForTokenClassification.from_pretrained(folder).eval()
    processor = averaging.AutoProcessor.from_pretrained(folder)
    for row in (0, 1, len(test_split) - 1):
        images = [test_split[row]["image"]] if model.config.uses_image else None
        batch = processor([test_split[row]["tokens"]], images)
        with torch.no_grad():
            output = model(**batch)
        expected = output.logits[0].double().softmax(1)
        if decoder == "crf":
            expected = model.crf.marginals(output.logits.double(), batch["word_mask"], constrained=True)[0]
            assert not torch.allclose(expected, output.logits[0].double().softmax(1), atol=1e-3)
        torch.testing.assert_close(found.posteriors[row], expected, atol=1e-4, rtol=1e-3)
        assert found.tags[row] == [model.config.labels[tag] for tag in output.predictions[0].tolist()]
    assert [len(words) for words in found.posteriors] == [len(words) for words in test_split["tokens"]]


def test_the_batch_size_does_not_matter_to_the_posteriors(answers, runs, test_split, arguments):
    single = averaging.answer(runs[0], test_split, arguments, batch_size=1)
    torch.testing.assert_close(single.posteriors, answers[0].posteriors, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(answers[0].posteriors[0], answers[1].posteriors[0], atol=1e-2)


def test_the_record_is_that_of_the_average(finished, answers, runs, test_split):
    (record,) = read_records(finished)
    assert record.run == Run("umt", "averaged", "all", 19) and (finished / f"{record.run.name}.json").is_file()
    gold, tags = read_predictions(finished / "models" / record.run.name / "predictions_test.conll")
    names = test_split.features["ner_tags"].feature.names
    assert gold == [[names[tag] for tag in sentence] for sentence in test_split["ner_tags"]]
    assert tags == decode_averaged(average_posteriors(run.posteriors for run in answers), read_labels(runs))
    predicted = sum(tag.startswith("B-") for sentence in tags for tag in sentence)
    assert record.counts().table[:, :, 1].sum() == predicted > 0


def test_f1_is_seqevals(tmp_path, monkeypatch, capsys, runs, dataset, arguments):
    """With answers that are right in part, which no random model gives."""
    gold = tag_names(load_splits(arguments)["test"])
    wrong = [[tag.replace("PER", "LOC") for tag in sentence] for sentence in gold]
    some = [sentence if row % 3 else wrong[row] for row, sentence in enumerate(gold)]
    given = {runs[0]: gold, runs[1]: wrong, runs[2]: [["O"] * len(sentence) for sentence in gold]}
    monkeypatch.setattr(averaging, "answer", lambda folder, *_: averaging.Answers(given[folder], []))
    monkeypatch.setattr(averaging, "decode_averaged", lambda *_: some)
    average.main([*map(str, runs), "--dataset", dataset, "--output", str(tmp_path), "--name", "all"])
    (record,) = read_records(tmp_path)
    gold, tags = read_predictions(tmp_path / "models" / "all" / "predictions_test.conll")
    f1 = {name: f1_score(gold, found, mode="strict", scheme=IOB2) for name, found in (("wrong", wrong), ("all", tags))}
    assert 0 < f1["wrong"] < f1["all"] < 1 and scores(record.counts())["f1"] == pytest.approx(f1["all"])
    lines = capsys.readouterr().out.splitlines()
    found = [1, f1["wrong"], 0, f1["all"]]
    names = [*(f"umt.all.seed-{seed}" for seed in SEEDS), "all"]
    assert lines == [f"{name}: test F1 (strict) {100 * value:.2f}" for name, value in zip(names, found, strict=True)]


def test_the_record_tells_what_was_averaged_and_no_folders(finished, dataset):
    (record,) = read_records(finished)
    content = record.content
    assert content["averaged"] == [f"umt.all.seed-{seed}" for seed in SEEDS]
    assert content["data"]["name"] == "mini" and content["data"]["config"] == "all" and content["data"]["fingerprint"]
    assert set(record.group("lang")) == set(LANGUAGES) and len(record.pictures) == len(record.counts().table) == 48
    assert {"torch", "device", "revision"} <= set(content["machine"]) and content["seconds"] >= 0
    assert content["command"].endswith("umt.all.seed-21 --dataset mini --dataset_config all")
    text = json.dumps(content)
    assert str(finished.parent) not in text and dataset not in text


def test_the_same_average_can_be_made_again_but_takes_no_other_place(finished, runs):
    average_runs.check_average_name(finished, "umt-averaged.all.seed-19", runs)
    with pytest.raises(ValueError, match="another `--name`"):
        average_runs.check_average_name(finished, "umt-averaged.all.seed-19", runs[:2])
    with pytest.raises(ValueError, match="another `--name`"):
        average_runs.check_average_name(finished, "umt-averaged.all.seed-19", runs, by_entities=True)
    with pytest.raises(ValueError, match="without folders"):
        average_runs.check_average_name(finished, "../umt", runs)


def test_the_place_of_a_trained_model_is_not_taken(tmp_path, runs):
    shutil.copytree(runs[0], tmp_path / "models" / "umt.all.seed-20")
    with pytest.raises(ValueError, match="already has another run named"):
        average_runs.check_average_name(tmp_path, "umt.all.seed-20", runs)
    average_runs.check_average_name(tmp_path, "umt.all.seed-18", runs)


def test_the_names_of_the_runner_are_understood():
    made = plan_runs(["table5", "table6", "table7", "table8", "table9"], seeds=2, only=(*MODELS, *EXTRA_MODELS))
    assert {run.variant for run in made} >= {"", "text", "no-vit"} and any(run.part for run in made)
    assert [average_runs.read_name(run.name) for run in made] == made


@pytest.mark.parametrize("name", ["english", "2m-ner.all", "roberta.all.seed-19", "2m-ner.all.seed-x", "a.b.c.seed-1"])
def test_other_names_are_not(name):
    assert average_runs.read_name(name) is None


def test_folders_of_other_names_tell_their_model_by_their_config(tmp_path, runs):
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, run in zip(folders, runs, strict=False):
        shutil.copytree(run, folder)
    configs = average_runs.read_configs(folders)
    assert average_runs.describe_run(folders, configs, "de") == Run("umt", "averaged", "de", 19)
    assert average_runs.describe_run(folders, configs) == Run("umt", "averaged", "all", 19)


def test_a_part_of_the_data_stays_in_the_name(runs):
    folders = [runs[0].with_name(f"umt.all.part-2-of-5.seed-{seed}") for seed in (20, 19)]
    found = average_runs.describe_run(folders, average_runs.read_configs(runs[:2]))
    assert found == Run("umt", "averaged", "all", 19, "2/5") and "part-2-of-5" in found.name


def fail(runs, *arguments: str, output="nowhere", dataset: str = "nowhere") -> None:
    average.main([*map(str, runs), "--dataset", dataset, "--output", str(output), *arguments])


def test_one_run_is_no_average(runs, tmp_path):
    with pytest.raises(SystemExit, match=r"error: `runs` names 1 run; an average needs at least two"):
        fail(runs[:1])
    with pytest.raises(SystemExit, match="twice"):
        fail([runs[0], runs[0].parent / "." / runs[0].name])
    (tmp_path / "umt.all.seed-22").mkdir()
    with pytest.raises(SystemExit, match=r"no config.json; name run folders .*--keep_models"):
        fail([runs[0], tmp_path / "umt.all.seed-22"])


def test_other_tags_are_refused(save, runs):
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    numbered = {"id2label": dict(enumerate(labels)), "label2id": {label: id for id, label in enumerate(labels)}}
    with pytest.raises(SystemExit, match="must have the same tags in the same order"):
        fail([runs[0], save("umt.all.seed-22", 22, **numbered)])


def test_runs_of_several_kinds_are_refused(save, runs, without_crf, tmp_path):
    with pytest.raises(SystemExit, match=r"must be of one model.*bert\.all\.seed-19 \(bert, languages all\)"):
        fail([runs[0], without_crf])
    for other in ("umt.de.seed-22", "umt.all.part-1-of-5.seed-22"):
        shutil.copytree(runs[1], tmp_path / other)
        with pytest.raises(SystemExit, match="must be of one model in one setting"):
            fail([runs[0], tmp_path / other])
    shutil.copytree(without_crf, tmp_path / "umt.all.seed-23")  # a name is not enough
    with pytest.raises(SystemExit, match="must be of one model"):
        fail([runs[0], tmp_path / "umt.all.seed-23"])


@pytest.mark.parametrize("names", [("umt-text.all.seed-1", "umt-text.all.seed-2"), ("one", "two")])
def test_variants_are_refused(save, names):
    with pytest.raises(SystemExit, match="variant of umt"):
        fail([save(name, seed, use_image=False) for seed, name in enumerate(names)])


def test_wrong_arguments_are_errors(runs, dataset, tmp_path, capsys):
    with pytest.raises(SystemExit, match="`dataset_config` is 'de', but the runs were trained on 'all'"):
        fail(runs, "--dataset_config", "de")
    with pytest.raises(SystemExit, match="2"):
        fail(runs, "--batch_size", "0")
    assert "argument --batch_size: must be at least 1, got 0" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="has only the columns"):
        fail(runs, "--boxes_column", "objects", output=tmp_path, dataset=dataset)
    with pytest.raises(SystemExit, match=r"error: .*nowhere"):
        fail(runs)
    assert not list(tmp_path.iterdir())


def entities_of(folder, split, arguments) -> list[dict[Span, float]]:
    """Posteriors of all entities of a split by the model itself, one sentence at a time."""
    model = averaging.AutoModelForTokenClassification.from_pretrained(folder).eval()
    processor = averaging.AutoProcessor.from_pretrained(folder)
    found = []
    for row in split:
        batch = processor([row["tokens"]], [row["image"]])
        with torch.no_grad():
            logits = model(**batch).logits
        posteriors = TagPosteriors.from_model(model, logits, batch["word_mask"])
        words, kinds = len(row["tokens"]), {label[2:] for label in model.config.labels if label != "O"}
        spans = [Span(kind, *ends) for kind in sorted(kinds) for ends in combinations(range(words + 1), 2)]
        found.append(dict(zip(spans, posteriors.score_spans([spans])[0], strict=True)))
    return found


@pytest.fixture
def command(tmp_path, runs, dataset):
    """Average the entities of some runs; return the record and the tags."""

    def run(*folders):
        options = ["--dataset", dataset, "--entities", "--output", str(tmp_path), "--device", "cpu"]
        average.main([*map(str, folders), *options])
        (record,) = read_records(tmp_path)
        _, tags = read_predictions(tmp_path / "models" / record.run.name / "predictions_test.conll")
        return record, tags

    return run


class TestEntities:
    def test_they_are_those_of_highest_expected_f1_at_the_threshold_that_is_best_on_dev(
        self, command, runs, arguments
    ):
        record, tags = command(*runs)
        assert record.run == Run("umt", "averaged-entities", "all", 19)
        splits = load_splits(arguments)
        expected = {}
        for name in ("validation", "test"):
            single = [entities_of(folder, splits[name], arguments) for folder in runs]
            expected[name] = [
                {span: sum(run[row][span] for run in single) / 3 for span in single[0][row]}
                for row in range(len(splits[name]))
            ]

        def decode(name: str, threshold: float) -> list[list[str]]:
            rows = zip(expected[name], splits[name]["tokens"], strict=True)
            return [spans_to_tags(choose_entities(found, threshold), len(words)) for found, words in rows]

        gold = tag_names(splits["validation"])
        scores = {
            threshold: f1_score(gold, decode("validation", threshold), mode="strict", scheme=IOB2)
            for threshold in THRESHOLDS
        }
        assert record.content["dev_f1"] == pytest.approx({f"{value:g}": f1 for value, f1 in scores.items()})
        assert any(tag != "O" for sentence in tags for tag in sentence)
        assert record.content["threshold"] == max(scores, key=scores.get)
        assert tags == decode("test", record.content["threshold"])
        assert record.content["command"].endswith("--entities")

    def test_a_single_run_is_decoded_alone(self, command, runs, save):
        record, tags = command(runs[0])
        assert record.run == Run("umt", "entities", "all", 20)
        assert record.content["averaged"] == ["umt.all.seed-20"]
        assert all(map(is_valid, tags))

    def test_a_likely_entity_of_one_run_counts_a_third(self):
        runs = [[{Span("PER", 0, 1): 0.9}], [{}], [{Span("LOC", 0, 1): 0.3}]]
        assert average_entities(runs) == [
            {Span("PER", 0, 1): pytest.approx(0.3), Span("LOC", 0, 1): pytest.approx(0.1)}
        ]

    def test_the_threshold_is_chosen_on_dev_and_the_answer_is_that_of_test(
        self, command, runs, arguments, monkeypatch
    ):
        """True entities are likelier than 0.42 on dev and 0.41 on test, and there are false ones of 0.38."""
        splits = load_splits(arguments)

        def answer(folder, dataset, *_):
            gold = tag_names(dataset)
            true = 0.42 if len(dataset) == len(splits["validation"]) else 0.41
            entities = [
                {**dict.fromkeys(entity_spans(tags, strict=True), true), Span("PER", 0, len(tags)): 0.38}
                for tags in gold
            ]
            return averaging.Answers(gold, [], entities)

        assert len(splits["validation"]) != len(splits["test"])
        monkeypatch.setattr(averaging, "answer", answer)
        record, tags = command(*runs)
        assert record.content["threshold"] == 0.4
        assert record.content["dev_f1"]["0.4"] == 1
        assert record.content["dev_f1"]["0.35"] < 1
        assert record.content["dev_f1"]["0.45"] == 0
        assert tags == tag_names(splits["test"])

    def test_a_run_without_finite_scores_is_refused(self, save, runs, dataset, tmp_path):
        broken = save("umt.all.seed-30", 30)
        model = averaging.AutoModelForTokenClassification.from_pretrained(broken)
        with torch.no_grad():
            model.classifier.weight.fill_(float("nan"))
        model.save_pretrained(broken)
        for option in ([], ["--entities"]):
            with pytest.raises(SystemExit, match=r"umt\.all\.seed-30, whose scores .* are not finite"):
                fail([runs[0], broken], *option, output=tmp_path, dataset=dataset)


def test_a_device_that_does_not_exist_is_an_error(runs, dataset, tmp_path):
    for name in ("blah", "cuda:63"):
        with pytest.raises(SystemExit, match=f"`device` is '{name}', which cannot be used"):
            fail(runs, "--device", name, output=tmp_path, dataset=dataset)
