"""A model archive in the model store: which version it holds."""

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from handler import MANIFEST
from serve.errors import ArchiveUnusable
from serve.settings import MODEL_NAME


@dataclass(frozen=True)
class Archive:
    """What an archive says of itself.

    Attributes
    ----------
    file : str
        Its name in the model store, by which TorchServe knows it.
    version : str
        Under which TorchServe registers it, such as "1.3".
    manifest_sha256 : str
        Of the model's manifest, which answers name.
    """

    file: str
    version: str
    manifest_sha256: str

    @classmethod
    def open(cls, store: Path, name: str | Path) -> "Archive":
        """Read an archive, and compare each of its files with its checksum.

        Parameters
        ----------
        store : Path
            The model store.
        name : str or Path
            The archive's file name, or a path to it.

        Raises
        ------
        ArchiveUnusable
            It is not in the store, is damaged, or holds another model.
        """
        path = store / Path(name).name
        given = Path(name)
        if not path.is_file() or (given.parent != Path() and not _same(given, path)):
            raise ArchiveUnusable(
                f"{name} is not in the model store. Copy it to {store}, out of which alone "
                "TorchServe loads archives, or build it with: "
                "python -m scripts.build_mar --versioned"
            )
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise zipfile.BadZipFile(f"bad checksum of {damaged}")
                described = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]
                manifest = archive.read(MANIFEST)
            model, version = described["modelName"], described["modelVersion"]
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise ArchiveUnusable(
                f"{path.name} is damaged or no model archive ({error}). Build it again."
            ) from None
        if model != MODEL_NAME:
            raise ArchiveUnusable(f"{path.name} holds the model {model}, not {MODEL_NAME}.")
        # TorchServe compares versions as floating-point numbers.
        if not re.fullmatch(r"\d+(\.\d+)?", version) or float(version) == 0:
            raise ArchiveUnusable(
                f"The version {version!r} in {path.name} is not a positive number such as 1.3, "
                "which TorchServe needs. Change it in the model's manifest and build again."
            )
        return cls(path.name, version, hashlib.sha256(manifest).hexdigest())


def _same(given: Path, path: Path) -> bool:
    return given.exists() and given.samefile(path)
