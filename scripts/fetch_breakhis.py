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
from pathlib import Path

import requests
from rich.progress import track, wrap_file
from urllib3.exceptions import HTTPError

from bulk.breakhis_names import BREAKHIS_NAME
from scripts.errors import DataSetError, DownloadError

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
    fetch(args.folder)
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
    before, done = -1, _size(partial)
    # As long as every try brings something, the next one may bring the rest.
    while done > before:
        try:
            _append(url, partial, done)
            partial.replace(archive)
            return
        except (requests.RequestException, HTTPError) as error:
            failed = error
        before, done = done, _size(partial)
    raise DownloadError(
        f"{url} can't be downloaded ({type(failed).__name__}). Run this again to go "
        f"on later, or get {ARCHIVE} by hand from {PAGE} and put it at {archive}."
    ) from failed


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _append(url: str, partial: Path, start: int) -> None:
    """Append what is missing from byte `start` on."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    with requests.get(url, headers=headers, stream=True, timeout=SECONDS_WITHOUT_DATA) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range", "").endswith(f"/{start}"):
                return
            partial.unlink()  # Longer than the file on the server: not of that file.
        response.raise_for_status()
        resumes = response.status_code == requests.codes.partial_content
        to_come = int(response.headers.get("Content-Length", 0))
        with (
            wrap_file(response.raw, to_come, description="Downloading") as content,
            partial.open("ab" if resumes else "wb") as file,
        ):
            shutil.copyfileobj(content, file, CHUNK)


def unpack(archive: Path, data: Path) -> None:
    """Unpack the archive's folder under a temporary name, and rename it.

    What leads out of the folder, or is no file, is refused. (The filters of `tarfile`, which do
    that, came with Python 3.11.4, and Debian 12 has 3.11.2.)

    Raises
    ------
    DownloadError
        The archive is damaged or holds no such folder.
    """
    scratch = data.with_name(data.name + ".part").resolve()
    try:
        with tarfile.open(archive) as tar:
            for member in track(tar, "Unpacking  ", total=None):
                target = (scratch / member.name).resolve()
                if not target.is_relative_to(scratch) or not (member.isfile() or member.isdir()):
                    raise tarfile.TarError(f"{member.name} is no file of the data set")
                content = tar.extractfile(member)
                if content is not None:  # else it is a folder
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with content, target.open("wb") as file:
                        shutil.copyfileobj(content, file)
        (scratch / FOLDER).replace(data)
        scratch.rmdir()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DownloadError(
            f"{archive} can't be unpacked ({error}). If it is damaged, delete it and run again."
        ) from error


def verify(data: Path, checksums: Path) -> list[str]:
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
    digests = ((name, hashlib.sha256(images[name].read_bytes())) for name in sorted(images))
    lines = (f"{name} {digest.hexdigest()}\n" for name, digest in digests)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    main()
