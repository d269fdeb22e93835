"""Images in, rows of the table out. Each worker has one, whatever engine runs it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from bulk.errors import UnreadableFile
from bulk.images.listing import ImageFile, to_path
from bulk.images.table import Refusal, Row
from handler.errors import RequestError
from handler.images import Field, read_field
from handler.limits import check_size
from handler.settings import HandlerSettings

Problem = RequestError | UnreadableFile


class Scorer:
    """Scores images on one core, with the engine and the limits that the service has.

    Images are worked on one by one, so that no verdict depends on its neighbours.

    Parameters
    ----------
    model_store : Path
        Folder of the model.

    Raises
    ------
    UnknownEngine, BadModel
        See `Model.open`.
    """

    def __init__(self, model_store: Path) -> None:
        settings = replace(HandlerSettings.read(), threads=1)
        self._limits = settings.limits
        self._model = settings.open_model(model_store, gpu=None)
        self._reader = ThreadPoolExecutor(1)

    def score(self, images: Sequence[ImageFile]) -> list[Row]:
        """Score images.

        Parameters
        ----------
        images : sequence of ImageFile
            Few enough to be in memory at once.

        Returns
        -------
        list of Row
            In the order of `images`.
        """
        # Files are read while those before them are decoded.
        read = [self._decode(content) for content in self._reader.map(self._read, images)]
        judged = iter(self._model.classify([each for each in read if isinstance(each, Field)]))
        return [
            Row(
                image,
                next(judged) if isinstance(each, Field) else Refusal.of(each, self._model.identity),
            )
            for image, each in zip(images, read, strict=True)
        ]

    def _read(self, image: ImageFile) -> bytes | Problem:
        path = to_path(image.file)
        try:
            check_size(image.bytes or 0, self._limits)
            # To open a pipe would mean to wait for who writes to it.
            if path.exists() and not path.is_file():
                return UnreadableFile("This is no file, or a folder that can't be opened.")
            with path.open("rb") as file:
                return file.read(self._limits.max_bytes + 1)  # it may have grown since
        except RequestError as error:
            return error
        except OSError as error:
            return UnreadableFile(f"{error.strerror}.")

    def _decode(self, content: bytes | Problem) -> Field | Problem:
        if not isinstance(content, bytes):
            return content
        try:
            return read_field(content, self._limits, seen_at=self._model.size)
        except RequestError as error:
            return error
