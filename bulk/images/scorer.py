"""Images in, answers out. Each worker has one, whatever engine runs it."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bulk.errors import UnreadableFile
from bulk.images.listing import ImageFile, to_path
from handler.errors import RequestError
from handler.prediction import Prediction

if TYPE_CHECKING:  # what opens a model takes a second to import, and only the workers open one
    from handler.images import Field
    from handler.limits import Limits
    from handler.model import Model

Problem = (RequestError, UnreadableFile)
Judged = tuple[ImageFile, Prediction | RequestError | UnreadableFile]


@dataclass(frozen=True)
class Scorer:
    """Scores images on one core, with the engine and the limits that the service has.

    The model is opened when it is first called.

    Attributes
    ----------
    model_store : Path
        Folder of the model.
    """

    model_store: Path

    @cached_property
    def _opened(self) -> "tuple[Model, Limits]":
        from handler.settings import HandlerSettings  # noqa: PLC0415 # as above

        settings = replace(HandlerSettings.read(), threads=1)
        return settings.open_model(self.model_store, gpu=None), settings.limits

    def __call__(self, images: Sequence[ImageFile]) -> list[Judged]:
        """Score images one by one, so that no verdict depends on its neighbours.

        Parameters
        ----------
        images : sequence of ImageFile
            Few enough to be in memory at once.

        Returns
        -------
        list of Judged
            Each image with what is said of it, or why nothing is.

        Raises
        ------
        UnknownEngine, BadModel
            See `Model.open`.
        """
        model, limits = self._opened
        with ThreadPoolExecutor(1) as reader:
            # Files are read while those before them are decoded.
            contents = [reader.submit(_read, image, limits) for image in images]
            read = [_decode(content, limits, model.size) for content in contents]
        judged = iter(model.classify([each for each in read if not isinstance(each, Problem)]))
        return [
            (image, each if isinstance(each, Problem) else next(judged))
            for image, each in zip(images, read, strict=True)
        ]


def _read(image: ImageFile, limits: "Limits") -> bytes:
    from handler.limits import check_size  # noqa: PLC0415 # as above

    path = to_path(image.file)
    check_size(image.bytes or 0, limits)
    try:
        # To open a pipe would mean to wait for who writes to it.
        if path.exists() and not path.is_file():
            raise UnreadableFile("This is no file, or a folder that can't be opened.")
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)  # it may have grown since
    except OSError as error:
        raise UnreadableFile(f"{error.strerror}.") from None


def _decode(
    content: Future[bytes], limits: "Limits", seen_at: tuple[int, int]
) -> "Field | RequestError | UnreadableFile":
    from handler.images import read_field  # noqa: PLC0415 # as above

    try:
        return read_field(content.result(), limits, seen_at=seen_at)
    except Problem as error:
        return error
