"""`breakhis score`: stopped, killed, gone on with, and on a Ray cluster."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulk.images import workers
from bulk.images.listing import ImageFile, find_images
from bulk.images.scorer import Scorer
from handler import RESEARCH_ONLY
from serve.drawn_tissue import draw_field, encode
from serve.settings import MODEL_STORE
from tests.conftest import ROOT, wait_until

pytestmark = pytest.mark.slow
# Several times what the workers do between two looks at the ledger.
IMAGES = 96
BAD = {
    "cut.png": "The image is damaged",
    "none.png": "This is not an image",
    "gone.png": "No such file or directory",
    "pipe.png": "This is no file",
    os.fsdecode(b"\xff\n.png"): "The image is empty",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    drawn = [encode(draw_field(seed)) for seed in range(8)]
    for i in range(IMAGES):
        path = folder / f"patient {i % 3}" / "x.png" / f"SOB_B_A-14-{i % 4}-40-{i:03}.png"
        if i % 2:
            path = path.parents[1] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn[i % len(drawn)])
    (folder / "cut.png").write_bytes(drawn[0][:9999])
    (folder / "none.png").write_text("no image")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.png")
    (folder / os.fsdecode(b"\xff\n.png")).touch()
    return folder


@contextmanager
def scoring(*arguments: object, **variables: object) -> Iterator[subprocess.Popen]:
    """A run, as from a terminal of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "breakhis", "score", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rows_so_far(out: Path, folder: Path) -> int:
    """Count the rows that a run has kept, in a copy of its ledger."""
    for ending in (".partial", ".partial-wal"):
        copy = folder / f"copy{ending}"
        try:
            shutil.copy(f"{out}{ending}", copy)
        except FileNotFoundError:
            copy.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(folder / "copy.partial")) as database:
            return database.execute("SELECT COUNT(*) FROM scored").fetchone()[0]
    except sqlite3.Error:  # copied while it was written
        return 0


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The copies of the process that has imported what they need."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [child for child in below if child.ppid() != process.pid]


def scored_already(stderr: str) -> int:
    return int(re.search(r"([\d,]+) of them scored already", stderr)[1])


def spoil(files: list[str]) -> None:
    """Make files no images, and look as if they had not changed."""
    for file in files:
        stat = Path(file).stat()
        Path(file).write_bytes(bytes(stat.st_size))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def busy_on(cluster: str) -> dict[int, psutil.Process]:
    """The workers of a cluster on this machine that judge, by the process of their node."""
    workers = (process for process in psutil.process_iter(["name", "cmdline"]))
    judging = [
        process
        for process in workers
        if (process.info["cmdline"] or [""])[0] == "ray::_judge"
        and any(cluster in part for part in process.parent().cmdline())
    ]
    return {process.ppid(): process for process in judging}


@pytest.fixture(scope="module")
def by_ray(images: Path, cluster: str, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The table from a cluster of two nodes, of which a worker was killed."""
    out = tmp_path_factory.mktemp("ray") / "table.parquet"
    with scoring(images, "--out", out, "--ray", cluster) as process:
        wait_until(lambda: len(busy_on(cluster)) == 2, 300, every=0.2)  # one on each node
        next(iter(busy_on(cluster).values())).kill()
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 3, stderr
    return pq.read_table(out)


def test_a_cluster_whose_model_can_t_be_opened_says_so(images, cluster, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(MODEL_STORE, store)
    (store / "weights.safetensors").unlink()
    arguments = (images / "none.png", "--out", tmp_path / "table.parquet", "--ray", cluster)
    with scoring(*arguments, BREAKHIS_MODEL_STORE=store) as process:
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 1
    assert stderr.splitlines()[-1] == (
        "weights.safetensors is missing from the model. Build the archive again."
    )
    assert "Traceback" not in stderr


def test_stopped_killed_and_gone_on_with(images, by_ray, tmp_path):
    """Run after the cluster has scored the images, which are spoilt here once they are scored."""
    out = tmp_path / "new folder" / "table.parquet"
    arguments = (images, "--out", out, "--workers")

    with scoring(*arguments, 1) as process:
        wait_until(lambda: rows_so_far(out, tmp_path), 300)
        (worker,) = workers_of(process)
        process.kill()
        assert "scored already" in process.stderr.readline()
    wait_until(lambda: not worker.is_running())
    assert not out.exists()
    first = rows_so_far(out, tmp_path)
    assert 0 < first < IMAGES
    kept = by_ray.slice(0, first).to_pylist()  # files are scored in the table's order
    spoil([row["file"] for row in kept if row["verdict"]])
    # What could not be read is tried again.
    known = sum(row["error"] != "UnreadableFile" for row in kept)

    with scoring(*arguments, 1) as process:
        wait_until(lambda: rows_so_far(out, tmp_path) > first, 300)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 1
    assert scored_already(stderr) == known
    assert "The same command goes on from here" in stderr
    assert "Traceback" not in stderr
    second = rows_so_far(out, tmp_path)
    assert first < second < IMAGES

    with scoring(*arguments, 2) as process:
        wait_until(lambda: rows_so_far(out, tmp_path) > second, 300)
        workers_of(process)[0].kill()
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 3
    assert scored_already(stderr) >= second - 2
    for name, reason in BAD.items():
        shown = name.replace("\udcff\n", "%FF%0A")
        assert f"/{shown}: {reason}" in stderr
    assert "Traceback" not in stderr
    assert "patient 0" in stdout
    assert RESEARCH_ONLY in stdout
    assert [path.name for path in sorted(out.parent.iterdir())] == [
        *("table.parquet", "table.patients.csv")
    ]

    # Had any been scored twice, it would have been refused.
    table = pq.read_table(out)
    assert table.num_rows == IMAGES + len(BAD)
    assert table["verdict"].null_count == len(BAD)
    assert table.equals(by_ray)

    for name in ("gone.png", "pipe.png"):  # what could not be read would be tried again
        (images / name).unlink()
    with scoring(*arguments, 2) as process:
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 3
    assert scored_already(stderr) == table.num_rows - 2
    assert pq.read_table(out).equals(table)


def test_a_worker_that_ends_while_it_has_nothing_to_do_is_replaced(images):
    (first, second, *_) = find_images([str(images / "patient 1")])

    def chunks() -> Iterator[list[ImageFile]]:
        yield [first]
        for idle in workers_of(psutil.Process()):
            if "forkserver" in " ".join(idle.cmdline()):
                idle.kill()
        time.sleep(2)  # it is noticed
        yield [second]

    scored = list(workers.work(Scorer(MODEL_STORE), 1, chunks()))
    assert [image for judged in scored for image, _ in judged] == [first, second]
