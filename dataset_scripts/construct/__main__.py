"""Make a multilingual data set of the form of MMNERD from public captions and tweets, one command a stage.

    python -m dataset_scripts.construct tweets WORK --mmnerd MMNERD --only_persons

Commands: STAGE WORK, with the stages captions, tweets, recognise, translate, project, fetch, tasks, collect, agree,
adjudicate, errors and release, each with `--help`; `all WORK --config construct.yaml` runs those that the file names
until people are needed, with `--dry_run` only shows them; `diff OLD NEW` compares two releases. A stage that was
stopped goes on when it is started again, and one whose inputs and settings are those of its manifest is skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dataset_scripts.build.engine import process_engine
from dataset_scripts.construct import (
    adjudicate,
    agree,
    captions,
    collect,
    errors,
    fetch,
    project,
    recognise,
    release,
    tasks,
    translate,
    tweets,
)
from dataset_scripts.construct.diff import compare_releases
from dataset_scripts.construct.settings import CONFIG, PRESETS, options_of, read_config
from dataset_scripts.construct.stages import ORDER, Work, describe
from reports_2mner.command_line import add_settings, at_least, exit_on_error, make_parser, read_settings
from reports_2mner.files import write_lines
from reports_2mner.tables import Table

PROGRAM = "python -m dataset_scripts.construct"
STAGES: dict[str, ModuleType] = {  # in the order of `stages.ORDER`
    "captions": captions,
    "tweets": tweets,
    "recognise": recognise,
    "translate": translate,
    "project": project,
    "fetch": fetch,
    "tasks": tasks,
    "collect": collect,
    "agree": agree,
    "adjudicate": adjudicate,
    "errors": errors,
    "release": release,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and print what was done."""
    options = read_command_line(arguments)
    with exit_on_error():
        if options.stage == "all":
            run_all(options)
        elif options.stage == "diff":
            show_difference(options)
        else:
            print(run_stage(options.stage, options.arguments))


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command; the options of a stage are left to its own parser."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser(PROGRAM, __doc__)
    parser.add_argument("stage", choices=[*STAGES, "all", "diff"], help="what to do", metavar="STAGE")
    if arguments[:1] == ["all"]:
        parser = make_parser(f"{PROGRAM} all", run_all.__doc__)
        parser.add_argument("--dry_run", action="store_true", help="only show the stages, counts and what is missing")
        _add_common(parser)
        return argparse.Namespace(stage="all", **vars(parser.parse_args(arguments[1:])))
    if arguments[:1] == ["diff"]:
        parser = make_parser(f"{PROGRAM} diff", show_difference.__doc__)
        parser.add_argument("old", type=Path, metavar="OLD", help="folder of a release")
        parser.add_argument("new", type=Path, metavar="NEW", help="folder of a later release")
        parser.add_argument(
            "--changes", type=Path, help="file to write, with a line of JSON for each sentence that changed"
        )
        return argparse.Namespace(stage="diff", **vars(parser.parse_args(arguments[1:])))
    return argparse.Namespace(stage=parser.parse_args(arguments[:1]).stage, arguments=arguments[1:])


def run_stage(stage: str, arguments: Sequence[str]) -> str:
    """Run one stage with the words of its command line; return what it did."""
    options, settings = read_stage(stage, arguments)
    module = STAGES[stage]
    if hasattr(module, "waits") and (message := module.waits(_work(options), settings)):
        raise ValueError(message)
    with process_engine(options.num_proc, module.__name__) as engine:
        return describe(module.run(_work(options), settings, engine))


def read_stage(stage: str, arguments: Sequence[str]) -> tuple[argparse.Namespace, Any]:
    """Return the options and settings of a stage: from the preset, then construct.yaml, then the command line."""
    parser = make_parser(f"{PROGRAM} {stage}", STAGES[stage].__doc__)
    add_settings(parser.add_argument_group(stage), STAGES[stage].Settings)
    _add_common(parser)
    known = parser.parse_args(arguments)
    chosen = parser.parse_args([str(known.work), *options_of(stage, known.preset, _config(known))])
    parser.set_defaults(**vars(chosen))
    options = parser.parse_args(arguments)
    lists = {name: tuple(value) for name, value in vars(options).items() if isinstance(value, list)}
    return options, read_settings(options, STAGES[stage].Settings, **lists)


def run_all(options: argparse.Namespace) -> None:
    """Run all stages that construct.yaml names, up to the first that needs people.

    python -m dataset_scripts.construct all WORK --config construct.yaml
    """
    config, work = _config(options), _work(options)
    named = [stage for stage in ORDER if stage in config]
    if not named:
        raise ValueError(f"`config` names no stage; write a section for each into {options.work / CONFIG}.")
    if absent := [stage for stage in named if stage not in STAGES]:
        raise ValueError(f"`config` names stages that this version does not have: {', '.join(absent)}.")
    if options.dry_run:
        print(_overview(work, named, options).markdown())
        return
    for stage in named:
        arguments = _arguments(options)
        settings = read_stage(stage, arguments)[1]
        message = STAGES[stage].waits(work, settings) if hasattr(STAGES[stage], "waits") else None
        if message:
            print(f"{stage}: waits. {message}")
            return
        print(run_stage(stage, arguments), flush=True)


def show_difference(options: argparse.Namespace) -> None:
    """Compare two releases, sentence by sentence and entity by entity.

    python -m dataset_scripts.construct diff MMNERD MMNERD-new --changes changes.jsonl
    """
    difference = compare_releases(options.old, options.new)
    if options.changes:
        write_lines(options.changes, (json.dumps(change, ensure_ascii=False) for change in difference.changes))
    print(difference.markdown())


def _overview(work: Work, named: Sequence[str], options: argparse.Namespace) -> Table:
    """Return a table of all stages: whether they run, what they have written, and what they wait for."""
    rows = []
    for stage in ORDER:
        manifest = work.manifest(stage)
        counts = (manifest or {}).get("counts", {})
        missing = "" if stage in named else "not in the configuration"
        if stage in named and hasattr(STAGES[stage], "waits"):
            missing = STAGES[stage].waits(work, read_stage(stage, _arguments(options))[1]) or ""
        state = "complete" if manifest else "to do" if stage in named else "-"
        rows.append([stage, state, counts.get("read", ""), counts.get("written", ""), missing])
    return Table(["stage", "state", "read", "written", "missing"], rows)


def _arguments(options: argparse.Namespace) -> list[str]:
    """Return the common options again as words of a command line."""
    words = [str(options.work), f"--num_proc={options.num_proc}", f"--records_per_part={options.records_per_part}"]
    words += [f"--{name}={value}" for name in ("config", "preset") if (value := getattr(options, name))]
    return words + (["--redo"] if options.redo else [])


def _config(options: argparse.Namespace) -> dict[str, Any]:
    beside = options.work / CONFIG
    return read_config(options.config or (beside if beside.is_file() else None))


def _work(options: argparse.Namespace) -> Work:
    return Work(options.work, options.redo, records_per_part=options.records_per_part)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("work", type=Path, metavar="WORK", help="work folder, made if needed")
    add("--config", type=Path, help=f"options of all stages (default: WORK/{CONFIG}, if there is one)")
    add("--preset", choices=list(PRESETS), help="rules of the data set (default: that of the config, or clean)")
    add("--redo", action="store_true", help="run the stage even if nothing has changed")
    add("--num_proc", type=at_least(1), default=1, help="number of processes (default: %(default)s)")
    add(
        "--records_per_part",
        type=at_least(1),
        default=Work.records_per_part,
        help="records in a part file, in captions and tweets (default: %(default)s)",
    )


if __name__ == "__main__":
    main()
