"""Which model lies in a folder, without opening it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handler import MANIFEST
from handler.errors import BadModel


@dataclass(frozen=True)
class ModelId:
    """Which model answered; ``sha256`` is that of its manifest, which holds the others."""

    name: str
    version: str
    sha256: str


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
