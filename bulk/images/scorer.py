"""Images in, rows of the table out. Each worker has one, whatever engine runs it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import torch
import yaml

import handler
from bulk.errors import UnreadableFile
from bulk.images.listing import ImageFile, to_path
from bulk.images.table import Row
from handler.errors import RequestError
from handler.images import Field, read_field
from handler.limits import Limits, check_size
from handler.model import Model

CONFIG = Path(handler.__file__).parent / "model-config.yaml"

Refusal = RequestError | UnreadableFile


class Scorer:
    """Scores images on one core, with the engine and the limits that the service has.

    Images are worked on one by one, so that no verdict depends on its neighbours.

    Parameters
    ----------
    model_store : Path
        Folder of the model.

    Raises
    ------
    BadModel
        See `Model.open`.
    """

    def __init__(self, model_store: Path) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        settings = yaml.safe_load(CONFIG.read_text("utf-8"))["handler"]
        self._limits = Limits(**settings["image_limits"])
        self._model = Model.open(model_store, engine=settings["engine"])
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
            Row.judged(image, next(judged))
            if isinstance(each, Field)
            else Row.refused(image, each, self._model.identity)
            for image, each in zip(images, read, strict=True)
        ]

    def _read(self, image: ImageFile) -> bytes | Refusal:
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

    def _decode(self, content: bytes | Refusal) -> Field | Refusal:
        if not isinstance(content, bytes):
            return content
        try:
            return read_field(content, self._limits)
        except RequestError as error:
            return error
