"""Command line of everything: the service, the versions of its model, and work without it.

    python -m breakhis COMMAND

Exit codes: 0 success, 1 it can't be done, 2 an image was refused.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from bulk.errors import BulkError
from handler import RESEARCH_ONLY
from serve import commands, models
from serve.errors import ServeError
from serve.settings import Settings


def score(settings: Settings, given: argparse.Namespace) -> int:
    """Score images into a table."""
    # With its libraries, which take a second to import.
    from bulk.images import run  # noqa: PLC0415

    return run.score(settings.model_store, given.images, given.out, given.workers, given.ray)


def slide(settings: Settings, given: argparse.Namespace) -> int:
    """Judge a whole slide."""
    # With the model and its libraries, which take seconds to import.
    from bulk.slides import run  # noqa: PLC0415

    return run.judge_slide(settings.model_store, given.slide, given.out)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m breakhis",
        description="Run the BreakHis service, ask it, or score images without it.",
        epilog=RESEARCH_ONLY,
    )
    subparsers = parser.add_subparsers(required=True)
    commands.add_commands(subparsers)
    models.add_commands(subparsers)
    _add_bulk_commands(subparsers)
    given = parser.parse_args()
    try:
        return given.run(Settings.from_environment(), given)
    except (ServeError, BulkError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 1


def _add_bulk_commands(subparsers: Any) -> None:
    command = subparsers.add_parser(
        "slide", help="judge the tissue of a whole slide, without the service"
    )
    command.add_argument("slide", type=Path, metavar="SLIDE", help="TIFF, SVS, NDPI or DICOM")
    command.add_argument("--out", type=Path, metavar="FOLDER", help="for the results")
    command.set_defaults(run=slide)

    command = subparsers.add_parser(
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


if __name__ == "__main__":
    sys.exit(main())
