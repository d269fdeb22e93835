"""Writes a file whole: under another name, which changes once all is written."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a file its name when it is complete, and leave nothing of one that is not.

    Parameters
    ----------
    path : Path
        What is there already stays until the new file takes its place.

    Yields
    ------
    Path
        Where to write meanwhile, in the same folder.
    """
    # Two programs may write the same file at a time; the last one's stays.
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole, in a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
