"""Download BreakHis v1 from its authors, or verify a copy of it.

    python -m scripts.fetch_breakhis FOLDER

A stopped download goes on where it was. A folder that already holds ``BreaKHis_v1``
is only verified; without a network, put the authors' archive into the folder by hand.
"""

import argparse
import hashlib
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import requests
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    track,
)

from bulk.breakhis_names import BREAKHIS_NAME
from scripts.errors import DataSetError, DownloadError, ScriptError

URL = "http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz"
PAGE = "https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/"
ARCHIVE = "BreaKHis_v1.tar.gz"
FOLDER = "BreaKHis_v1"

# One row for each slide and magnification of the full set: what the file names begin
# with, number of images, sha256 of the sorted lines "file name sha256".
CHECKSUMS = Path(__file__).parent / "training" / "breakhis_v1.tsv"

SECONDS_WITHOUT_DATA = 60
CHUNK = 1 << 16


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the data set lies or shall lie")
    args = parser.parse_args()
    try:
        fetch(args.folder)
    except ScriptError as error:
        parser.exit(1, f"{error}\n")
    print(f"{args.folder / FOLDER} is complete: every image is the authors'.")


def fetch(folder: Path, url: str = URL, checksums: Path = CHECKSUMS) -> None:
    """Bring the data set into a folder, as far as it is not there, and verify it.

    Parameters
    ----------
    folder : Path
    url : str
        Address of the authors' archive.
    checksums : Path
        Table that the images are compared with.

    Raises
    ------
    DownloadError
        The archive can't be had, or is damaged.
    DataSetError
        Images are missing or differ; the message names them.
    """
    data, archive = folder / FOLDER, folder / ARCHIVE
    if not data.exists():
        if not archive.exists():
            folder.mkdir(parents=True, exist_ok=True)
            download(url, archive)
        unpack(archive, data)
    problems = verify(data, checksums)
    if problems:
        shown = "\n".join(problems[:20] + ["..."] * (len(problems) > 20))
        raise DataSetError(
            f"{data} is not the full data set:\n{shown}\n"
            f"It can be trained on as it is. For the full set, delete it and run again."
        )


def download(url: str, archive: Path) -> None:
    """Download a file; what an earlier, stopped try has left is gone on with.

    Raises
    ------
    DownloadError
        The server can't be reached, or sends nothing more.
    """
    partial = archive.with_name(archive.name + ".part")
    columns = (TextColumn("Downloading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("", total=None)
        while True:
            before = partial.stat().st_size if partial.exists() else 0
            try:
                for done, total in _append(url, partial, before):
                    progress.update(task, completed=done, total=total)
                break
            except requests.RequestException as error:
                # As long as every try brings something, the next one may bring the rest.
                if partial.exists() and partial.stat().st_size > before:
                    continue
                raise DownloadError(
                    f"{url} can't be downloaded ({type(error).__name__}). Run this again to go "
                    f"on later, or get {ARCHIVE} by hand from {PAGE} and put it at {archive}."
                ) from error
    partial.replace(archive)


def _append(url: str, partial: Path, start: int) -> Iterable[tuple[int, int | None]]:
    """Append what is missing from byte `start` on; yields bytes done and in all."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    with requests.get(url, headers=headers, stream=True, timeout=SECONDS_WITHOUT_DATA) as response:
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if whole == str(start):
                return
            partial.unlink()  # Longer than the file on the server: not of that file.
        response.raise_for_status()
        resumes = response.status_code == requests.codes.partial_content
        done = start if resumes else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with partial.open("ab" if resumes else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                yield done, total


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Unpack a file of an archive; what leads out of the folder, or is no file, is refused.

    The filters of `tarfile` came with Python 3.11.4, and Debian 12 has 3.11.2.
    """
    target = (folder / member.name).resolve()
    if not target.is_relative_to(folder.resolve()) or not (member.isfile() or member.isdir()):
        raise tarfile.TarError(f"{member.name} is no file of the data set")
    content = tar.extractfile(member)
    if content is not None:  # else it is a folder
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as file:
            shutil.copyfileobj(content, file)


def unpack(archive: Path, data: Path) -> None:
    """Unpack the archive's folder under a temporary name, and rename it.

    Raises
    ------
    DownloadError
        The archive is damaged or holds no such folder.
    """
    scratch = data.with_name(data.name + ".part")
    try:
        with tarfile.open(archive) as tar:
            for member in track(tar, "Unpacking  ", total=None):
                _extract(tar, member, scratch)
        (scratch / FOLDER).replace(data)
        scratch.rmdir()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DownloadError(
            f"{archive} can't be unpacked ({error}). If it is damaged, delete it and run again."
        ) from error


def verify(data: Path, checksums: Path = CHECKSUMS) -> list[str]:
    """Compare the images of a folder with the authors'.

    Parameters
    ----------
    data : Path
        In the official layout or any other: images are known by their names.
    checksums : Path

    Returns
    -------
    list of str
        What is missing, too many or different, by slide and magnification.
    """
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in data.rglob("*.png"):
        if BREAKHIS_NAME.fullmatch(path.name):
            found[path.name.rpartition("-")[0]][path.name] = path
    problems = []
    rows = [line.split("\t") for line in checksums.read_text("utf-8").splitlines()]
    for group, count, expected in track(rows, "Verifying  "):
        images = found.pop(group, {})
        if len(images) != int(count):
            problems.append(f"{group}: {len(images)} of {count} images")
        elif _digest(images) != expected:
            problems.append(f"{group}: an image is not the authors'")
    return problems + [f"{group}: is not part of BreakHis v1" for group in sorted(found)]


def _digest(images: dict[str, Path]) -> str:
    lines = (
        f"{name} {hashlib.sha256(images[name].read_bytes()).hexdigest()}\n"
        for name in sorted(images)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    main()
