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
import sqlite3
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import process_engine
from dataset_scripts.construct.diff import compare_releases
from dataset_scripts.construct.settings import CONFIG, PRESETS, options_of, read_config
from dataset_scripts.construct.stages import ORDER, Work, describe
from reports_2mner.command_line import add_settings, at_least, exit_on_error, make_parser, read_settings
from reports_2mner.files import write_lines
from reports_2mner.tables import Table

PROGRAM = "python -m dataset_scripts.construct"
TO_DO, AGAIN = "to do", "to do again"
COMPLETE = "All stages of the configuration are complete; the README.md of a release says how it is built."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and print what was done."""
    options = read_command_line(arguments)
    with exit_on_error():
        if options.stage == "all":
            run_all(options.arguments)
        elif options.stage == "diff":
            show_difference(options.arguments)
        else:
            print(run_stage(options.stage, options.arguments))


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command; the words behind it are left to its own parser."""
    words = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
    parser = make_parser(PROGRAM, __doc__)
    parser.add_argument("stage", choices=(*ORDER, "all", "diff"), help="what to do; more with `STAGE --help`")
    return argparse.Namespace(stage=parser.parse_args(words[:1]).stage, arguments=words[1:])


def run_stage(stage: str, arguments: Sequence[str]) -> str:
    """Run one stage with the words of its command line; return what it did."""
    options, settings = read_stage(stage, arguments)
    module, work = module_of(stage), _work(options)
    if message := _waits(stage, work, settings):
        raise ValueError(message)
    try:
        with process_engine(options.num_proc, module.__name__) as engine:
            return describe(module.run(work, settings, engine))
    except sqlite3.Error as error:
        raise ValueError(
            f"A database in {work.folder} cannot be used ({error}); free the disk, or remove translations.sqlite or "
            f"pictures/manifest.sqlite, which are only memories of what was made before."
        ) from error


def module_of(stage: str) -> Any:
    """Return the module of a stage; only that one is loaded."""
    return import_module(f"dataset_scripts.construct.{stage}")


def read_stage(stage: str, arguments: Sequence[str]) -> tuple[argparse.Namespace, Any]:
    """Return the options and settings of a stage: from the preset, then construct.yaml, then the command line."""
    module = module_of(stage)
    parser = make_parser(f"{PROGRAM} {stage}", module.__doc__)
    add_settings(parser.add_argument_group(stage), module.Settings)
    _add_common(parser)
    known = parser.parse_args(arguments)
    chosen = parser.parse_args([str(known.work), *options_of(stage, known.preset, _config(known))])
    parser.set_defaults(**vars(chosen))
    options = parser.parse_args(arguments)
    lists = {name: tuple(value) for name, value in vars(options).items() if isinstance(value, list)}
    return options, read_settings(options, module.Settings, **lists)


def run_all(arguments: Sequence[str]) -> None:
    """Run all stages that construct.yaml names, up to the first that needs people.

    python -m dataset_scripts.construct all WORK --config construct.yaml
    """
    parser = make_parser(f"{PROGRAM} all", run_all.__doc__)
    parser.add_argument("--dry_run", action="store_true", help="only show the stages, counts and what is missing")
    _add_common(parser)
    options = parser.parse_args(arguments)
    config, work = _config(options), _work(options)
    named = [stage for stage in ORDER if stage in config]
    if not named:
        raise ValueError(f"`config` names no stage; write a section for each into {options.work / CONFIG}.")
    passed_on = [word for word in arguments if not "--dry_run".startswith(word)]
    if options.dry_run:
        print(_overview(work, named, passed_on))
        return
    for stage in named:
        message = _waits(stage, work, read_stage(stage, passed_on)[1])
        if message and work.manifest(stage) and not options.redo:
            print(f"{stage}: was run by itself; kept")
        elif message:
            print(f"{stage}: waits. {message}\nOptions go to `{stage}:` in {CONFIG}; then run this command again.")
            return
        else:
            print(run_stage(stage, passed_on), flush=True)
    print(COMPLETE)


def show_difference(arguments: Sequence[str]) -> None:
    """Compare two releases, sentence by sentence and entity by entity.

    python -m dataset_scripts.construct diff MMNERD MMNERD-new --changes changes.jsonl
    """
    parser = make_parser(f"{PROGRAM} diff", show_difference.__doc__)
    parser.add_argument("old", type=Path, metavar="OLD", help="folder of a release")
    parser.add_argument("new", type=Path, metavar="NEW", help="folder of a later release")
    parser.add_argument("--changes", type=Path, help="file to write, a line of JSON for each sentence that changed")
    options = parser.parse_args(arguments)
    difference = compare_releases(options.old, options.new)
    if options.changes:
        write_lines(options.changes, (json.dumps(change, ensure_ascii=False) for change in difference.changes))
    print(difference.markdown())


def _overview(work: Work, named: Sequence[str], arguments: Sequence[str]) -> str:
    """Return a table of all stages, with what they have written and wait for, and the next one."""
    rows, following = [], ""
    for stage in ORDER:
        manifest = work.manifest(stage)
        counts = (manifest or {}).get("counts", {})
        asks = stage in named and not manifest
        message = _waits(stage, work, read_stage(stage, arguments)[1]) if asks else None
        missing = "people" if message else "" if stage in named else "not in the configuration"
        state = _state(work, stage, stage in named)
        if state in (TO_DO, AGAIN) and not following:
            following = f"Next: {stage}" + (
                f", which waits. {message}" if message else "; run this without --dry_run."
            )
        rows.append([stage, state, counts.get("read", ""), counts.get("written", ""), missing])
    table = Table(["stage", "state", "read", "written", "waits for"], rows).markdown()
    return f"{table}\n{following or COMPLETE}"


def _state(work: Work, stage: str, is_named: bool) -> str:
    """Return whether a stage is complete, and made from the records that there are now."""
    if work.manifest(stage) is None:
        return TO_DO if is_named else "-"
    try:
        work.check_fresh(stage)
    except ValueError:
        return AGAIN if is_named else "out of date"
    return "complete"


def _waits(stage: str, work: Work, settings: Any) -> str | None:
    """Return what people have to do before a stage can run."""
    waits = getattr(module_of(stage), "waits", None)
    return waits(work, settings) if waits else None


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
    size, text = Work.records_per_part, "records in a part file of captions and tweets (default: %(default)s)"
    add("--records_per_part", type=at_least(1), default=size, help=text)


if __name__ == "__main__":
    main()
