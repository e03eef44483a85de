"""Put the shards of a prediction together, after checking that they are all there.

    python -m training_2mner.predict.merge predictions.jsonl
    python -m training_2mner.predict.merge predictions.jsonl machine-1/*.shard-*.jsonl machine-2/*.shard-*.jsonl

The first takes the shards beside the output. The result is, byte for byte, what one process would have written. Missing,
doubled or damaged shards, and those of another input, model or setting, are errors that name them. Shards stay where they are.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from glob import escape
from pathlib import Path

from reports_2mner.command_line import exit_on_error, make_parser
from reports_2mner.files import whole_file
from reports_2mner.locks import only_writer
from training_2mner.predict.shards import Manifest, check_shards


def merge(output: Path, shards: Sequence[Path] = (), overwrite: bool = False) -> list[Path]:
    """Write the shards of a prediction as one file; return their files in order.

    Args:
        output: the file to write.
        shards: their files; by default those beside `output`, of its name.
        overwrite: replace the output.

    Raises:
        ValueError: for an output that exists, and for shards that are not all the parts of one prediction.
    """
    if output.exists() and not overwrite:
        raise ValueError(f"`output` {output} exists already; name another file, or replace it with --overwrite.")
    with only_writer(output, "output"):
        paths = list(shards) or sorted(output.parent.glob(f"{escape(output.stem)}.shard-*-of-*{output.suffix}"))
        if not paths:
            raise ValueError(
                f"there are no shards {output.stem}.shard-*-of-*{output.suffix} beside {output}; name their files, or make "
                "them with `python -m training_2mner.predict ... --shard 1/4`."
            )
        ordered = check_shards([(path, Manifest.load(path)) for path in paths])
        with whole_file(output) as draft, draft.open("wb") as file:
            for path in ordered:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, file)
    return ordered


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.predict.merge", __doc__)
    parser.add_argument("output", type=Path, help="file to write; the `--output` of the shards")
    parser.add_argument("shards", type=Path, nargs="*", help="their files (default: those beside the output)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Merge from the command line and print what was written."""
    options = read_command_line(arguments)
    with exit_on_error(OSError):
        merged = merge(options.output, options.shards, options.overwrite)
    print(f"{len(merged)} shards written to {options.output}.")


if __name__ == "__main__":
    main()
