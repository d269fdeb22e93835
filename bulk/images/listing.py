"""Which images there are to score."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from bulk.breakhis_names import accession_of
from bulk.errors import NothingToScore
from bulk.names import printable

# Names of the formats that the model reads. What a file is, its content tells when it is read.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
# What archivers of some systems add, besides names that begin with a dot.
CLUTTER = "__MACOSX"


class ImageFile(NamedTuple):
    """A file to score.

    Attributes
    ----------
    file : str
        Absolute path; see `to_text`.
    patient : str
        Whose it is: the accession number in a BreakHis name; of another file, its folder, as a path
        from the folder that holds all that was given, so that folders of one name in two places
        are two patients.
    bytes : int or None
        Size; None where the file can't be looked at.
    modified : int or None
        Nanoseconds since 1970.
    """

    file: str
    patient: str
    bytes: int | None
    modified: int | None


def find_images(given: Iterable[str]) -> Iterator[ImageFile]:
    """List images.

    Parameters
    ----------
    given : iterable of str
        Files, folders, or patterns as a shell takes them, where ``**`` stands for any
        folders. A folder stands for all the files in it, at any depth, whose names are those
        of images; what is hidden is left out, and links to folders are not followed.

    Yields
    ------
    ImageFile
        In no order; one that can't be read, too, as can't a folder.

    Raises
    ------
    NothingToScore
        There is nothing of this name.
    """
    given = list(given)
    root = os.path.commonpath(map(_folder, given))
    for each in given:
        # A name may have the brackets of a pattern in it.
        if os.path.lexists(each):
            paths: Iterable[str] = [each]
        else:  # Path.glob takes no absolute pattern
            paths = glob.iglob(each, recursive=True)  # noqa: PTH207
        found = False
        for path in paths:
            found = True
            yield from _in_folder(path, root) if Path(path).is_dir() else [_look_at(path, root)]
        if not found:
            raise NothingToScore(
                f"There is no file or folder {printable(each)}, and as a pattern it matches none."
            )


def to_text(path: str) -> str:
    r"""Write a path as Unicode, which tables want and file names need not be.

    Returns
    -------
    str
        The path; where it is no Unicode, a ``file:`` URI, which no absolute path begins with.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return Path(path).as_uri()
    return path


def to_path(file: str) -> Path:
    """Return the path that `to_text` has written."""
    if file.startswith("file:"):
        return Path(os.fsdecode(unquote_to_bytes(file.removeprefix("file://"))))
    return Path(file)


def _folder(given: str) -> str:
    """Return the folder that all is in which is meant by a file, folder or pattern."""
    path = os.path.abspath(given)  # noqa: PTH100 # as below
    if not os.path.lexists(path):
        while glob.has_magic(path):
            path = os.path.dirname(path)  # noqa: PTH120 # as below
    return path if Path(path).is_dir() else os.path.dirname(path)  # noqa: PTH120 # as below


def _in_folder(folder: str, root: str) -> Iterator[ImageFile]:
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if not name.startswith((".", CLUTTER))]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield _look_at(os.path.join(parent, name), root)  # noqa: PTH118 # three times as fast
    yield from (_look_at(error.filename, root) for error in unreadable)


def _look_at(path: str, root: str) -> ImageFile:
    path = os.path.abspath(path)  # noqa: PTH100 # Path.absolute keeps ".."
    file, patient = to_text(path), _patient(path, root)
    try:
        found = os.stat(path)  # noqa: PTH116 # as above
    except OSError:
        return ImageFile(file, patient, None, None)
    return ImageFile(file, patient, found.st_size, found.st_mtime_ns)


def _patient(path: str, root: str) -> str:
    folder, name = os.path.split(path)
    # Of what lies in the root itself, the root's own name tells more than a dot.
    within = folder[len(root) :].strip("/") or os.path.basename(root)  # noqa: PTH119 # as above
    return accession_of(name) or printable(within)
