"""What happens where results can't be written."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulk.errors import OutputUnusable
from bulk.names import printable


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn what keeps a file or folder, or what lies beside it, from being written into our error.

    Raises
    ------
    OutputUnusable
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise OutputUnusable(
            f"{printable(str(out))} can't be written ({error}). Choose another --out, or make room "
            "there: the same command goes on from where it was."
        ) from None
