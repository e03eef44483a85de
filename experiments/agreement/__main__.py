"""Compare projected labels with the answers of a second method on the same sentences.

    python -m experiments.agreement WORK --recogniser 2mner:runs/english-multilingual --languages en es fr --split test \\
        --output agreement.json
    python -m experiments.agreement WORK --recogniser spacy:en=en_core_web_sm,fr=fr_core_news_sm --languages en fr \\
        --output agreement-spacy.json

Projected labels (`python -m dataset_scripts.construct project`) are silver: nobody has read them. A method that knows nothing of
the projection cannot say that they are right, but where both agree, a mistake of the projection is unlikely. English sentences
have original labels; how far the method agrees with these shows what to expect. The sentences are the same tweets or captions in
each language, chosen by a hash of the picture's name. Writes the counts of each sentence, and prints F1 with its 95 % interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_scripts.schema import SPLITS
from reports_2mner.command_line import at_least, exit_on_error, make_parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, write the record and print the table."""
    options = read_command_line(arguments)
    from experiments.agreement.comparison import compare, table  # these take seconds, and the help does not need them
    from experiments.records import write_line

    with exit_on_error(OSError):
        record = compare(options)
        write_line(options.output, **record)
    print(table(record))


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.agreement", __doc__)
    add = parser.add_argument
    add("work", type=Path, metavar="WORK", help="work folder of dataset_scripts.construct, up to `project`")
    add("--recogniser", required=True, metavar="ENGINE:NAME", help="the second method, as for `construct recognise`")
    add("--label_map", default="clean", help="what its labels are called, likewise (default: %(default)s)")
    add("--languages", nargs="+", required=True, metavar="CODE", help="languages to compare")
    add(
        "--split",
        choices=SPLITS,
        help="only sentences of this split of the released files, unseen by the method (default: all)",
    )
    add("--sentences", type=at_least(1), default=300, help="sentences of each language (default: %(default)s)")
    add("--output", type=Path, required=True, help="JSON file to write")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
