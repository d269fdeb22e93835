"""Command line: score an archive of images."""

import argparse
from pathlib import Path
from typing import Any

from serve.settings import Settings


def score(settings: Settings, given: argparse.Namespace) -> int:
    """Score images into a table."""
    from serve.scoring import run  # noqa: PLC0415 # takes a second, which other commands need not

    return run.score(settings, given)


def add_command(commands: Any) -> None:
    """Add ``score`` to the command line.

    Parameters
    ----------
    commands : argparse's sub-parsers
    """
    command = commands.add_parser(
        "score",
        help="classify thousands of images into a table, without TorchServe",
        description="Score images into a Parquet file, and their patients into a CSV file beside "
        "it. A run that was stopped goes on where it was, and what the table holds already is "
        "scored again only where the file has changed.",
    )
    command.add_argument(
        "images", nargs="+", metavar="FOLDER_OR_GLOB", help="such as slides or 'slides/**/*.png'"
    )
    command.add_argument("--out", required=True, type=Path, metavar="FILE.parquet")
    command.add_argument("--workers", type=_count, help="processes; by default one for each core")
    command.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="work on the Ray cluster at this address (auto: the one that this machine is part "
        "of), or on one that is started here for the purpose",
    )
    command.set_defaults(run=score)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
