"""Model archives, as TorchServe loads them: packed from handler and model, and read again.

The same inputs give a byte-identical archive, so its sha256 names what is served.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from handler import CARD, EVALUATION, MANIFEST, MODEL_NAME, PLOTS
from handler.whole_file import write_whole
from serve.errors import VersionError
from serve.settings import MODEL_STORE, ROOT

# Where an archive says what it is.
DESCRIPTION = "MAR-INF/MANIFEST.json"
# Zip knows no earlier time; any fixed one will do.
EPOCH = (1980, 1, 1, 0, 0, 0)
# What the command torch-model-archiver runs, wherever pip has put that.
ARCHIVER = "from model_archiver.model_packaging import generate_model_archive as run; run()"


@dataclass(frozen=True)
class Archive:
    """What an archive says of itself.

    Attributes
    ----------
    file : str
        Its name in the model store, by which TorchServe knows it.
    version : str
        Under which TorchServe registers it, such as "1.4".
    manifest_sha256 : str
        Checksum of the model's manifest, which answers name.
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
        VersionError
            It is not in the store, is damaged, or holds another model.
        """
        path = store / Path(name).name
        given = Path(name)
        if not path.is_file() or (given.parent != Path() and not _same(given, path)):
            raise VersionError(
                f"{name} is not in the model store. Copy it to {store}, out of which alone "
                "TorchServe loads archives, or build it with: "
                "breakhis build --versioned"
            )
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise zipfile.BadZipFile(f"bad checksum of {damaged}")
                described = json.loads(archive.read(DESCRIPTION))["model"]
                manifest = archive.read(MANIFEST)
            model, version = described["modelName"], described["modelVersion"]
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise VersionError(
                f"{path.name} is damaged or no model archive ({error}). Build it again."
            ) from None
        if model != MODEL_NAME:
            raise VersionError(f"{path.name} holds the model {model}, not {MODEL_NAME}.")
        # TorchServe compares versions as floating-point numbers.
        if not re.fullmatch(r"\d+(\.\d+)?", version) or float(version) == 0:
            raise VersionError(
                f"The version {version!r} in {path.name} is not a positive number such as 1.4, "
                "which TorchServe needs. Change it in the model's manifest and build again."
            )
        return cls(path.name, version, hashlib.sha256(manifest).hexdigest())


def _same(given: Path, path: Path) -> bool:
    return given.exists() and given.samefile(path)


def build(model: Path = MODEL_STORE, archive: Path = MODEL_STORE / f"{MODEL_NAME}.mar") -> str:
    """Build the archive.

    Parameters
    ----------
    model : Path
        Folder with the manifest, the files that it names, the figures, plots and the card.
    archive : Path
        File to write, replaced as a whole once it is complete.

    Returns
    -------
    str
        The archive's sha256.
    """
    manifest = json.loads((model / MANIFEST).read_text("utf-8"))
    with tempfile.TemporaryDirectory() as stage:
        shutil.copytree(
            ROOT / "handler",
            Path(stage, "handler"),
            ignore=shutil.ignore_patterns("__pycache__", "breakhis_handler.py", "*.yaml"),
        )
        for name in (
            MANIFEST,
            EVALUATION,
            CARD,
            *(entry["name"] for entry in manifest["files"].values()),
        ):
            shutil.copy(model / name, stage)
        shutil.copytree(model / PLOTS, Path(stage, PLOTS))
        return pack(
            archive,
            MODEL_NAME,
            manifest["version"],
            handler=ROOT / "handler" / "breakhis_handler.py",
            config=ROOT / "handler" / "model-config.yaml",
            extra_files=Path(stage),
        )


def pack(
    archive: Path,
    name: str,
    version: str,
    *,
    handler: Path,
    config: Path,
    extra_files: Path | None = None,
) -> str:
    """Write an archive, replaced as a whole once it is complete.

    Parameters
    ----------
    archive : Path
        File to write.
    name, version : str
        The model's.
    handler, config : Path
        The handler's module and ``model-config.yaml``.
    extra_files : Path, optional
        Folder whose content is added.

    Returns
    -------
    str
        The archive's sha256.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out, tmp = (Path(scratch, name) for name in ("out", "tmp"))
        out.mkdir()
        tmp.mkdir()
        # The archiver works in, and afterwards deletes, a folder named like the
        # model in the temporary directory: it gets one of its own.
        subprocess.run(
            [
                *(sys.executable, "-c", ARCHIVER),
                *("--model-name", name),
                *("--version", version),
                *("--handler", handler),
                *("--config-file", config),
                *(("--extra-files", extra_files) if extra_files else ()),
                *("--export-path", out),
            ],
            check=True,
            env={**os.environ, "TMPDIR": str(tmp)},
        )
        content = _normalised(out / f"{name}.mar")
    write_whole(archive, content)
    return hashlib.sha256(content).hexdigest()


def _normalised(archive: Path) -> bytes:
    """Rewrite the archive with sorted entries, a fixed date and no creation time."""
    rewritten = archive.with_suffix(".zip")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(rewritten, "w") as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == DESCRIPTION:
                manifest = json.loads(data)
                del manifest["createdOn"]
                data = json.dumps(manifest, indent=2, sort_keys=True).encode()
            entry = zipfile.ZipInfo(name, date_time=EPOCH)
            entry.external_attr = 0o644 << 16
            # Weights don't shrink, and the archive unpacks sooner uncompressed.
            target.writestr(entry, data, zipfile.ZIP_STORED)
    return rewritten.read_bytes()
