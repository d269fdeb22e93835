"""Fetching the data set, from a real HTTP server that can stop half-way."""

import hashlib
import re
import subprocess
import sys
import tarfile
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.errors import DataSetError, DownloadError
from scripts.fetch_breakhis import CHECKSUMS, fetch, unpack, verify
from scripts.training.breakhis import EXPECTED_COUNTS, FieldImage
from serve.drawn_tissue import draw_field, encode
from tests.conftest import ROOT
from tests.scripts.test_breakhis import SHARED, needs_data

NAMES = [
    f"SOB_{kind}-14-{n}-40-{i:03}.png" for kind, n in (("B_A", 1), ("M_DC", 2)) for i in (1, 2)
]


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A small data set in the official layout, its archive, and its table of checksums."""
    folder = tmp_path_factory.mktemp("original")
    groups = defaultdict(list)
    for seed, name in enumerate(NAMES):
        path = folder / "BreaKHis_v1" / "histology_slides" / "breast" / name[:14] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(draw_field(seed)))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        groups[name.rpartition("-")[0]].append(f"{name} {digest}\n")
    with tarfile.open(folder / "BreaKHis_v1.tar.gz", "w:gz") as tar:
        tar.add(folder / "BreaKHis_v1", "BreaKHis_v1")
    (folder / "sums.tsv").write_text(
        "".join(
            f"{group}\t{len(lines)}\t{hashlib.sha256(''.join(lines).encode()).hexdigest()}\n"
            for group, lines in groups.items()
        )
    )
    return folder


@pytest.fixture
def server(original):
    """Serves the archive; `cuts` holds after how many bytes the next answers break off."""
    content = (original / "BreaKHis_v1.tar.gz").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            self.server.starts.append(start)
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cut = self.server.cuts.pop(0) if self.server.cuts else len(content)
            self.wfile.write(content[start : start + cut])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.starts, server.cuts, server.size = [], [], len(content)
    server.url = f"http://127.0.0.1:{server.server_port}/BreaKHis_v1.tar.gz"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_download_that_breaks_off_goes_on_where_it_was(server, original, tmp_path):
    server.cuts = [200_000, 0]
    with pytest.raises(DownloadError, match=r"put it at .*BreaKHis_v1\.tar\.gz"):
        fetch(tmp_path, server.url, original / "sums.tsv")
    assert not (tmp_path / "BreaKHis_v1").exists()
    fetch(tmp_path, server.url, original / "sums.tsv")
    assert server.starts == [0, 200_000, 200_000]  # all that came is kept
    assert sorted(p.name for p in (tmp_path / "BreaKHis_v1").rglob("*.png")) == sorted(NAMES)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("surplus", [0, 7])
def test_a_partial_file_as_long_as_the_archive_or_longer(server, original, tmp_path, surplus):
    partial = tmp_path / "BreaKHis_v1.tar.gz.part"
    partial.write_bytes((original / "BreaKHis_v1.tar.gz").read_bytes() + b"x" * surplus)
    if surplus:
        with pytest.raises(DownloadError):
            fetch(tmp_path, server.url, original / "sums.tsv")
    fetch(tmp_path, server.url, original / "sums.tsv")
    assert server.starts == [server.size + surplus] + [0] * bool(surplus)


def test_an_archive_put_there_by_hand_needs_no_network(original, tmp_path):
    archive = tmp_path / "BreaKHis_v1.tar.gz"
    archive.write_bytes((original / "BreaKHis_v1.tar.gz").read_bytes())
    fetch(tmp_path, "http://127.0.0.1:9/nowhere", original / "sums.tsv")


def test_a_damaged_archive_is_refused(original, tmp_path):
    content = (original / "BreaKHis_v1.tar.gz").read_bytes()
    (tmp_path / "BreaKHis_v1.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DownloadError, match="damaged"):
        fetch(tmp_path, "http://127.0.0.1:9/nowhere", original / "sums.tsv")
    assert not (tmp_path / "BreaKHis_v1").exists()


@pytest.mark.parametrize("name", ["../outside.png", "/outside.png", "BreaKHis_v1/link.png"])
def test_what_leads_out_of_the_archive_is_not_unpacked(tmp_path, name):
    with tarfile.open(tmp_path / "BreaKHis_v1.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        if "link" in name:
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DownloadError, match="is no file of the data set"):
        unpack(tmp_path / "BreaKHis_v1.tar.gz", tmp_path / "data" / "BreaKHis_v1")
    assert [path.name for path in tmp_path.rglob("*.png")] == []


def test_no_network_says_where_to_put_the_file(tmp_path):
    with pytest.raises(DownloadError, match="by hand") as caught:
        fetch(tmp_path, "http://127.0.0.1:9/nowhere")
    assert str(tmp_path / "BreaKHis_v1.tar.gz") in str(caught.value)


def test_what_is_missing_altered_or_foreign_is_named(original, tmp_path):
    for path in (original / "BreaKHis_v1").rglob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert verify(tmp_path, original / "sums.tsv") == []
    (tmp_path / NAMES[0]).unlink()
    (tmp_path / NAMES[2]).write_bytes(encode(draw_field(9)))
    (tmp_path / "SOB_B_A-14-3-40-001.png").write_bytes(b"")
    assert verify(tmp_path, original / "sums.tsv") == [
        "SOB_B_A-14-1-40: 1 of 2 images",
        "SOB_M_DC-14-2-40: an image is not the authors'",
        "SOB_B_A-14-3-40: is not part of BreakHis v1",
    ]
    with pytest.raises(DataSetError, match="0 of 2 images"):
        (tmp_path / "BreaKHis_v1").mkdir()
        fetch(tmp_path, checksums=original / "sums.tsv")


def test_the_table_covers_the_full_set():
    counts: defaultdict[tuple[int, bool], int] = defaultdict(int)
    for line in CHECKSUMS.read_text().splitlines():
        group, count, digest = line.split("\t")
        assert len(digest) == 64
        image = FieldImage.from_path(Path(f"{group}-001.png"))
        counts[image.magnification, image.malignant] += int(count)
    assert {m: (counts[m, False], counts[m, True]) for m in EXPECTED_COUNTS} == EXPECTED_COUNTS


@needs_data
def test_the_table_is_that_of_the_published_checksums():
    groups = defaultdict(list)
    for line in (SHARED / "BreaKHis_v1_sha256.tsv").read_text().splitlines():
        name, digest, _ = line.split("\t")
        groups[name.rpartition("-")[0]].append(f"{name} {digest}\n")
    for line in CHECKSUMS.read_text().splitlines():
        group, count, digest = line.split("\t")
        lines = sorted(groups.pop(group))
        assert len(lines) == int(count)
        assert hashlib.sha256("".join(lines).encode()).hexdigest() == digest
    assert not groups


def test_the_command_names_what_a_copy_lacks(tmp_path):
    (tmp_path / "BreaKHis_v1").mkdir()
    command = [sys.executable, "-m", "scripts.fetch_breakhis", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "SOB_B_A-14-22549AB-40: 0 of" in done.stderr
    assert "Traceback" not in done.stderr
