"""Writes a file or a folder whole: under another name, which changes once all is written."""

import os
import secrets
import shutil
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


def replace_folder(folder: Path, new: Path, *, keep: str) -> None:
    """Put a new folder in a folder's place, all of it at once.

    Parameters
    ----------
    folder : Path
        On the same file system as `new`; it may not exist yet.
    new : Path
        Gone afterwards.
    keep : str
        Pattern of the files of the old folder that stay.
    """
    old = folder.with_name(f"{folder.name}.old")
    if folder.exists():
        for file in folder.glob(keep):
            os.link(file, new / file.name)
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
