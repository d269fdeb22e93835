"""The manifest of a model: which one it is, and what it was trained on, without opening it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handler import MANIFEST
from handler.errors import BadModel
from handler.prediction import ModelId


@dataclass(frozen=True)
class TrainingField:
    """What the model takes for one whole field: the manifest's ``field``.

    Attributes
    ----------
    width, height : int
        In pixels.
    micrometres_per_pixel : float
        In the specimen.
    """

    width: int
    height: int
    micrometres_per_pixel: float

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"

    @property
    def aspect_ratio(self) -> float:
        """Width over height."""
        return self.width / self.height


def read_manifest(folder: Path) -> tuple[ModelId, dict[str, Any]]:
    """Read the manifest of the model in a folder, and whose it is.

    Raises
    ------
    BadModel
        There is none.
    """
    raw = read_file(folder / MANIFEST)
    manifest = json.loads(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    return ModelId(manifest["name"], manifest["version"], sha256), manifest


def read_file(path: Path) -> bytes:
    """Read a file of the model; raises `BadModel` if it is missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadModel(f"{path.name} is missing from the model. Build the archive again.") from None
