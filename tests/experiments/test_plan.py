from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from dataset_scripts.schema import CONFIGS
from experiments.plan import (
    BEYOND,
    IMPROVEMENTS,
    MODELS,
    RUN_FILES,
    TABLES,
    Run,
    plan_runs,
    run_file,
    switches_pictures_off,
)
from modeling_2mner import TwoMNERConfig
from training_2mner.arguments import read_command_line


def test_tables_have_the_papers_rows():
    assert [len(plan_runs([table])) for table in TABLES] == [9 * 5, 10, 5 * 5, 5 * 2 + 1, 3]
    assert len(plan_runs(["table5"], seeds=3)) == 9 * 5 * 3
    assert {run.languages for run in plan_runs(["table6"])} == set(CONFIGS) - {"all"}
    assert {run.part for run in plan_runs(["table8"])} == {"", "1/5", "2/5", "3/5", "4/5", "5/5"}
    assert [run.system for run in plan_runs(["table9"])] == ["2m-ner", "2m-ner-no-resnet", "2m-ner-no-vit"]


def test_a_run_that_several_tables_need_is_made_once():
    runs = plan_runs(TABLES, seeds=2)
    assert len(runs) == len(set(runs)) == len({run.name for run in runs})
    assert len(runs) < sum(len(plan_runs([table], seeds=2)) for table in TABLES)


def test_parts_of_the_training_data_of_a_model_that_is_named_without_2m_ner():
    runs = plan_runs(["table8"], only=["bert-crf"], languages=["en"], settings="english")
    parts = [f"{part}/5" for part in range(1, 6)]
    expected = [Run("bert-crf", "", "en", seed, part) for part in parts for seed in (19, 20)]
    assert runs == [*expected, Run("bert-crf", "", "en", 19)]
    assert {run.model for run in plan_runs(["table8"], only=["bert-crf", "2m-ner"])} == {"2m-ner"}


def test_a_part_of_the_runs():
    runs = plan_runs(["table5", "table7"], only=["umt", "2m-ner"], languages=["en", "de"])
    assert {run.system for run in runs} == {"umt", "2m-ner", "umt-text", "2m-ner-text"}
    assert {run.languages for run in runs} == {"en", "de"} and len(runs) == 8
    assert [run.changes for run in plan_runs(["table5"], only=["adacan-sum"], languages=["all"])] == [
        {"attention_combine": "sum"}
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"tables": ["table4"]}, "`tables` names 'table4'; write any of table5"),
        ({"tables": ["table5"], "only": ["2mner"]}, "`only` names '2mner'.*2m-ner"),
        ({"tables": ["table5"], "languages": ["english"]}, "`languages` names 'english'.*en_de"),
    ],
)
def test_an_unknown_name_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_runs(**arguments)


def test_every_model_has_its_run_files_and_they_parse():
    for settings in ("paper", "demo"):
        for run in [*plan_runs(TABLES, languages=["all"]), Run("adacan-sum")]:
            command = run.command(settings, "somewhere", Path("runs") / run.name)
            model, data, training = read_command_line(command)
            assert model.config_changes == run.changes and data.train_part == (run.part or None)
            assert (data.dataset, data.dataset_config, training.seed) == ("somewhere", run.languages, run.seed)
            assert model.model.removesuffix("-demo") == run.model.removesuffix("-sum")


@pytest.mark.parametrize("settings", ["paper", "demo"])
def test_an_improvement_differs_in_what_its_run_file_says(settings):
    runs = plan_runs([BEYOND], settings=settings)
    assert [run.variant for run in runs] == ["", *IMPROVEMENTS][: len(runs)]
    assert len(runs) == len(IMPROVEMENTS) + (settings == "paper")
    plain = flat(read_command_line(runs[0].command(settings, "somewhere", Path("runs"))))
    for run in runs[1:]:
        found = flat(read_command_line(run.command(settings, "somewhere", Path("runs"))))
        own = flat(read_command_line([str(RUN_FILES / f"{run.system}.yaml")]))
        differing = {name for name in plain if plain[name] != found[name]} - {"config"}
        assert differing and all(found[name] == own[name] for name in differing)
        assert len(differing - {"config_changes"}) <= 1
        TwoMNERConfig(**found["config_changes"])


def flat(settings: tuple) -> dict:
    """All fields of a run, and what `config` changes."""
    given = {entry.name: getattr(part, entry.name) for part in settings for entry in fields(part)}
    return given | {"config_changes": settings[0].config_changes}


def test_the_run_files_of_improvements_are_the_papers_but_for_one_field():
    plain = yaml.safe_load((RUN_FILES / "2m-ner.yaml").read_text(encoding="utf-8"))
    for name in (*IMPROVEMENTS, "grouped"):
        improved = yaml.safe_load((RUN_FILES / f"2m-ner-{name}.yaml").read_text(encoding="utf-8"))
        changed = {field for field in plain.keys() | improved.keys() if plain.get(field) != improved.get(field)}
        assert changed > {"output_dir"} and len(changed) == 2
        assert improved["output_dir"] == f"runs/2m-ner-{name}"


def test_a_missing_run_file_is_an_error():
    with pytest.raises(ValueError, match=r"no english-mkgformer\.yaml.*paper, demo"):
        run_file("mkgformer", "english")
    assert run_file("bert-crf", "english").name == "english-bert-crf.yaml"


@pytest.mark.parametrize("model", ["umt", "umgf", "adacan"])
def test_the_english_run_files_are_of_the_networks_without_pictures(model):
    """A run of Table 5 made with them would call a network without pictures by the name of the one with them."""
    seeing, blind = plan_runs(["table5", "table7"], only=[model], languages=["en"], settings="english")
    assert (seeing.variant, blind.variant) == ("", "text")
    assert seeing.looks_at_pictures and not blind.looks_at_pictures
    assert switches_pictures_off(seeing, "english") and not switches_pictures_off(blind, "english")
    assert not switches_pictures_off(seeing, "demo")
    arguments, _, _ = read_command_line(blind.command("english", "somewhere", Path("runs")))
    assert arguments.config_changes == blind.changes == {"use_image": False}


def test_names_tell_runs_apart():
    assert Run("umt", "text", "en_de", 20).name == "umt-text.en_de.seed-20"
    assert Run("2m-ner", part="2/5").name == "2m-ner.all.part-2-of-5.seed-19"
    assert len(MODELS) == 9
