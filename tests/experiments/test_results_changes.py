"""What docs/results.md says of changes, protocols, parts and labels is what the records hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.blind_reading import count_readings, readings_page, wilson
from experiments.counts import scores
from experiments.grid import read_points
from experiments.pairs import HEADER, compare_folders
from experiments.plan import AVERAGED_ENTITIES, ENTITIES, FIRST_SEED
from experiments.records import read_records
from experiments.source_labels import consistency_page
from experiments.tables.layout import columns
from experiments.tables.noise import protocols_table
from reports_2mner.tables import Table
from tests.experiments.results_page import (
    FOLDERS,
    RESULTS,
    ROOT,
    dev_f1,
    documentation,
    means,
    prose,
    read_json,
    read_table,
    runs_of,
    table_at,
    tables_of,
    unbroken,
)
from training_2mner.arguments import TwoMNERTrainingArguments


def test_the_documentation_has_the_table_of_both_protocols():
    """That of the folders that the command beside it names."""
    part = documentation().split("## What choosing the epoch on test is worth")[1].split("\n## ")[0]
    (command,) = re.findall(r"^python -m experiments\.tables (.+)$", unbroken(part), re.MULTILINE)
    folders = [ROOT / name for name in command.split()]
    assert len(folders) > 1
    made = tables_of(protocols_table(folders))
    assert tables_of(part) == made
    prose = " ".join(line for line in part.splitlines() if not line.startswith("|"))
    gains = {folder.name: protocol_gains(folder) for folder in folders}
    multilingual = [gain for name, found in gains.items() if name.startswith("multilingual_") for gain in found]
    same = sum(abs(gain) < 0.005 for gain in multilingual)
    for told in (
        f"{np.mean(gains['mmnerd_en']):.2f} points on average and at most {max(gains['mmnerd_en']):.2f} of a run",
        f"{np.mean(multilingual):.2f} on average of {len(multilingual)} runs, {same} of which are best on dev and on test",
        f"on the tweets {np.mean(gains['tweets']):.2f};",
        f"{np.mean(gains['mini']):.2f} points and up to {max(gains['mini']):.2f}",
    ):
        assert told in " ".join(prose.split())


def protocol_gains(folder: Path) -> list[float]:
    """What the epoch that is best on test adds to the lenient F1 of each run."""
    runs = [record for record in read_records(folder) if record.has("released")]
    return [
        100 * (scores(run.counts("lenient", "released"))["f1"] - scores(run.counts("lenient"))["f1"]) for run in runs
    ]


def test_the_documentation_has_the_consistency_of_the_sources():
    content = read_json("consistency/mmnerd_en.json")
    text = documentation()
    assert set(tables_of(consistency_page(content))) <= set(text.splitlines())
    sources = content["sources"]
    assert f"All {sum(found['sentences'] for found in sources.values()):,} English sentences" in text
    share = {name: one["conflicts"]["in_minority"] / one["conflicts"]["mentions"] for name, one in sources.items()}
    assert round(1 / share["en cc12m"]) == 13 and "one mention in thirteen" in text
    differ = [
        f"{100 * one['pairs']['of these with different types'] / one['pairs']['of one string']:.1f} %"
        for one in (sources["en cc12m"], sources["en twitter2017"])
    ]
    assert f"{differ[0]} have different types in captions, and {differ[1]} in tweets" in prose()
    mentions = [one["conflicts"]["mentions"] for one in (sources["en cc12m"], sources["en twitter2017"])]
    assert round(mentions[0] / mentions[1]) == 7 and "seven times as many" in prose()
    errors = sources["en cc12m"]["errors"]
    assert errors["of these a type that the string has elsewhere"] > errors["wrong types"] / 2
    assert errors["of these on strings with several types"] < errors["on gold entities"] / 2


def test_the_documentation_has_what_the_readings_found():
    first, second = (read_json(f"reading/{name}.json") for name in ("first", "second"))
    counts = count_readings(first, second)
    text = documentation()
    assert set(tables_of(readings_page(counts))) <= set(text.splitlines())
    assert f"verdict; kappa {counts['kappa']:.2f}, and" in text.replace("\n", " ")
    total, wrong = counts["errors"], counts["verdicts"]["label wrong"]
    numbers, one, other, _ = counts["numbers"]
    share = f"{wrong[0] - one} of {total - numbers} in the first reading and {wrong[1] - other} in the second"
    assert total == 100 and share in prose()
    low, high = wilson(wrong[0], total)
    assert low < 2 / 3 < high and "two thirds of the labels in these errors are wrong" in text
    same = sum(found[2] for name, found in counts["verdicts"].items() if not name.startswith("label"))
    assert f"That both give {same} of {total} errors" in prose()
    right = [round(100 * counts["verdicts"]["predicted"][place] / wrong[place]) for place in (0, 1)]
    assert f"in {right[0]} % by the first reading and {right[1]} % by the second" in text.replace("\n", " ")
    assert "had not seen the first" in second["reader"] and "language model" in first["reader"]


def test_the_readings_hold_no_word_of_the_data():
    """Only rows, kinds, spans and verdicts: the sentences may not be passed on."""
    for name in ("first", "second"):
        for error in read_json(f"reading/{name}.json")["errors"]:
            assert set(error) == {"row", "kind", "gold", "predicted", "source", "verdict", "number"}
            for kind, start, end in (*error["gold"], *error["predicted"]):
                assert kind in PAPER_TYPES and 0 <= start < end


def test_the_documentation_has_the_comparisons_of_changes():
    part = documentation().split("### What else helps")[1].split("\n## ")[0]
    (command,) = re.findall(r"^python -m experiments\.compare (.+)$", unbroken(part), re.MULTILINE)
    plain, *changed = (ROOT / name for name in command.split())
    made = Table(HEADER, [found.row for found in compare_folders(plain, changed)]).markdown()
    assert tables_of(table_at(f"| {HEADER[0]} | {HEADER[1]} |")) == tables_of(made)
    assert {path.name for path in changed} == {
        path.name for path in FOLDERS if path.name.startswith("multilingual_") and path.name != "multilingual_en"
    }


@pytest.mark.parametrize(
    "folder", sorted({path.parent.name for path in RESULTS.glob("multilingual_*/*averaged*.json")})
)
def test_the_documentation_has_what_averages_and_entities_gain(folder):
    part = documentation().split("### What else helps")[1].split("\n## ")[0]
    made = read_table(RESULTS / folder / "tables.md", "| Beyond the paper |")
    told = read_table(ROOT / "docs" / "results.md", f"| Answer of finished runs, {folder.replace('_', ' ')} |")
    assert told == made
    for record in read_records(RESULTS / folder):
        if record.run.variant in (ENTITIES, AVERAGED_ENTITIES):
            by_threshold = record.content["dev_f1"]
            assert f"{record.content['threshold']:g}" == max(by_threshold, key=by_threshold.get)
            assert f"{record.content['threshold']:g}" in part


SETTINGS = ("multilingual_en", "multilingual_five_epochs", "multilingual_crf_rate", "multilingual_paper_rate")


def test_the_documentation_has_the_settings_that_were_tried():
    """Seed 19: F1 on dev, by which a setting is chosen, and on test."""
    told = read_table(ROOT / "docs" / "results.md", "| Settings, seed 19 |")
    made = {}
    for folder in filter(Path.is_dir, (RESULTS / name for name in SETTINGS)):
        (record,) = (one for one in read_records(folder) if one.run.name == "bert-crf.en.seed-19")
        dev, test = record.content["dev"]["f1"], scores(record.counts())["f1"]
        made[settings_in_words(record.content["changed"])] = [f"{100 * dev:.2f}", f"{100 * test:.2f}"]
    for point, content in read_points(RESULTS / "multilingual_rates"):
        rates = {"learning_rate": point.learning_rate, "encoder_learning_rate": point.encoder_learning_rate}
        made.setdefault(settings_in_words(rates), [f"{100 * content['dev']['f1']:.2f}", ""])
    assert told == made
    best = max(told, key=lambda name: float(told[name][0]))
    assert f"Best on dev with seed 19: {best}." in prose()


def settings_in_words(changed: dict) -> str:
    """The rates and epochs of a run, by what its record says was changed."""
    rate = changed.get("learning_rate", TwoMNERTrainingArguments.learning_rate)
    encoder, crf = (changed.get(f"{part}_learning_rate") or rate for part in ("encoder", "crf"))
    parts = [f"encoder {encoder:g}", *([f"CRF {crf:g}"] if crf != rate else []), f"others {rate:g}"]
    parts += [f"{changed.get('num_train_epochs', 3):g} epochs"]
    return ", ".join(parts + ([f"warm-up {changed['warmup_steps']:g}"] if "warmup_steps" in changed else []))


def test_the_documentation_has_the_fifths_of_the_training_sentences():
    told = read_table(ROOT / "docs" / "results.md", "| Trained on | Runs |")
    paper = json.loads((ROOT / "experiments" / "tables" / "paper.json").read_text(encoding="utf-8"))["table8"]
    of_paper = {part: row["f1"] for part, row in paper.items()}
    by_part: dict[str, list[dict]] = {}
    for record in read_records(RESULTS / "fifths_en"):
        by_part.setdefault(record.run.part, []).append(scores(record.counts()))
    whole, parts = by_part.pop(""), dict(sorted(by_part.items()))
    mean = np.mean([of_paper[part] for part in parts])
    rows = {f"Part {part}": (found, of_paper[part]) for part, found in parts.items()}
    rows |= {"Mean of the parts": ([one for found in parts.values() for one in found], mean)}
    rows |= {"All of them": (whole, of_paper["all"])}
    assert told == {
        title: [
            str(len(found)),
            *means([one[column] for one in found] for column in columns(PAPER_TYPES)),
            f"{figure:.2f}",
        ]
        for title, (found, figure) in rows.items()
    }
    f1 = np.array([[100 * one["f1"] for one in found] for found in parts.values()])
    low, high, apart = f1.mean(axis=1).min(), f1.mean(axis=1).max(), np.ptp(f1, axis=1).max()
    assert f1.shape == (5, 2)
    assert f"lie between {low:.2f} and {high:.2f}, two runs on one fifth up to {apart:.2f} apart" in prose()
    gains = 100 * whole[0]["f1"] - f1.mean(), of_paper["all"] - mean
    assert "gain {:.2f} points (in the paper {:.2f})".format(*gains) in prose()


def test_the_documentation_has_what_settings_gain_on_dev():
    plain = runs_of("multilingual_en")

    def gains(folder: str) -> str:
        found = runs_of(folder)
        assert list(found) == [19, 20, 21]
        first, second, third = (f"{100 * (dev_f1(found[seed]) - dev_f1(plain[seed])):+.2f}" for seed in found)
        return f"{first}, {second} and {third}"

    rates, epochs = gains("multilingual_crf_rate"), gains("multilingual_five_epochs")
    means_on_dev, together = [], []
    for folder in ("multilingual_crf_rate", "multilingual_five_epochs"):
        means_on_dev.append(f"{100 * np.mean([dev_f1(record) for record in runs_of(folder).values()]):.2f}")
        averaged = [r for r in read_records(RESULTS / folder) if r.run.system == "bert-crf-averaged-entities"]
        together.append(f"{100 * dev_f1(averaged[0]):.2f}")
    assert f"level on dev ({means_on_dev[0]} and {means_on_dev[1]})" in prose()
    assert together[0] == together[1] and f"three runs together ({together[0]} both)" in prose()
    assert f"gains {rates} points on dev with the seeds 19, 20 and 21, five epochs {epochs}" in prose()


def test_the_documentation_has_what_word_dropout_gains_on_dev():
    hidden, plain = (runs_of(f"multilingual_{name}")[FIRST_SEED] for name in ("word_dropout", "en"))
    assert f"({100 * dev_f1(hidden):.2f} against {100 * dev_f1(plain):.2f}) and worse on test" in prose()
    assert scores(hidden.counts())["f1"] < scores(plain.counts())["f1"] and dev_f1(hidden) > dev_f1(plain)


def test_the_documentation_has_where_the_suspects_are_missed():
    without, plain = runs_of("multilingual_without_suspects"), runs_of("multilingual_en")
    told = []
    for source in ("cc12m", "twitter2017"):
        f1 = [
            np.mean(
                [scores(runs[seed].counts().select(runs[seed].group("source") == source))["f1"] for seed in without]
            )
            for runs in (without, plain)
        ]
        told.append(f"{100 * (f1[0] - f1[1]):+.2f}")
    assert f"{told[0]} on captions and {told[1]} on tweets, of which nothing was left out" in prose()
