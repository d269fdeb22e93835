"""Uploaded files; a zip stands for the files in it."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import gradio as gr
from gradio.data_classes import FileData, ListFiles

from gradio_ui.errors import UnreadableUpload
from serve.frontend import MAX_BODY_BYTES

# One file at most: most slides scanned at 20x, and a zip with the images of one patient.
MAX_UPLOAD = "1 GB"
# Images that are judged as one patient: at 40X, BreakHis has 24 of each on average.
MAX_IMAGES = 500
# What archivers of some systems add.
CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
# What a broken zip makes the decoders raise.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError),
    *(ValueError, OverflowError, NotImplementedError),
    IndexError,  # of a member without a name
)
DELETED = "The page has already deleted it. Upload the file again."


class UploadedFile(NamedTuple):
    """A file that a visitor has sent: where Gradio has put it, and the visitor's name of it."""

    path: Path
    name: str


class Upload(NamedTuple):
    """One file, by itself or in a zip; `read` returns its content or raises `UnreadableUpload`."""

    name: str
    read: Callable[[], bytes]


def take_as_sent() -> None:
    """Make Gradio's components for images and files hand on a list of `UploadedFile`.

    By themselves, the one opens an image first, and fails on a damaged one before the service
    could say what is wrong with it; the other leaves an empty file behind for good. Set on
    the classes, because Gradio makes a component anew when it is updated.
    """
    for component in (gr.Image, gr.File):
        component.preprocess = _received  # type: ignore


def _received(_: gr.Image | gr.File, payload: FileData | ListFiles | None) -> list[UploadedFile]:
    files = payload if isinstance(payload, ListFiles) else [payload] if payload else []
    return [UploadedFile(Path(f.path), f.orig_name or Path(f.path).name) for f in files]


def find_uploads(files: Sequence[UploadedFile]) -> list[Upload]:
    """List the files, and for each zip those in it.

    A zip that can't be opened is listed itself, and says so when it is read.

    Raises
    ------
    UnreadableUpload
        There are more than `MAX_IMAGES`.
    """
    found = [upload for file in files for upload in _in_file(file)]
    if len(found) > MAX_IMAGES:
        raise UnreadableUpload(
            f"These are {len(found)} images; the page judges at most {MAX_IMAGES} as one "
            "patient. Choose fewer."
        )
    return found


def read_upload(path: Path) -> bytes:
    """Read one uploaded file.

    Raises
    ------
    UnreadableUpload
        It is gone, or larger than the service takes.
    """
    try:
        _require_size(path.stat().st_size)
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableUpload(DELETED) from None


def _in_file(sent: UploadedFile) -> list[Upload]:
    path, name = sent
    try:
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if _is_image(member)]
            return [Upload(m.filename, partial(_read_member, path, m)) for m in members]
    except FileNotFoundError:
        pass  # reading it says so
    except DAMAGED as error:
        return [Upload(name, partial(_raise, _damaged(error)))]
    return [Upload(name, partial(read_upload, path))]


def _is_image(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    return not member.is_dir() and not any(p in CLUTTER or p.startswith(".") for p in parts)


def _read_member(path: Path, member: zipfile.ZipInfo) -> bytes:
    _require_size(member.file_size)
    try:
        # No more is unpacked than the size that the zip states.
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            return file.read(member.file_size)
    except FileNotFoundError:
        raise UnreadableUpload(DELETED) from None
    except DAMAGED as error:
        raise _damaged(error) from None
    except RuntimeError:
        raise UnreadableUpload("It is encrypted. Make the zip again without a password.") from None


def _damaged(error: Exception) -> UnreadableUpload:
    return UnreadableUpload(
        f"The zip is damaged ({type(error).__name__}). Make it again and upload it."
    )


def _raise(error: Exception) -> bytes:
    raise error


def _require_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise UnreadableUpload(
            f"It has {size:,} bytes; at most {MAX_BODY_BYTES:,} can be sent. Use a smaller file."
        )
