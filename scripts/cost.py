"""Measure how the cost of scoring grows, and estimate what large archives would cost.

    python -m scripts.cost

Writes ``docs/reports/cost.md``, a plot, and the figures as JSON.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.progress import track

from handler.engines import AUTO
from scripts.benchmarking.cost_report import page, plot
from scripts.benchmarking.images import write_images
from scripts.benchmarking.machine import limit, machine
from scripts.benchmarking.services import resident_mb
from scripts.errors import ScriptError
from scripts.paths import ROOT
from scripts.reports import command_line, report
from scripts.training.breakhis import FIELD_SIZE
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field

IMAGES = (100, 1_000, 10_000)
# Engines, and how many processes score.
WAYS = (("local", 1), ("local", 2), ("ray", 2))
# Fields across and down.
SLIDE = (32, 32)
LIMIT_SECONDS = 3.0
# Between two looks at the memory, which take 20 milliseconds.
SAMPLE_SECONDS = 2.0
# Different fields of the slide.
DRAWN = 32


def main() -> None:
    """Run the command line."""
    report(lambda _: "cost", command_line(__doc__), lambda args: measure(args.data), page, plot)


def measure(data: Path) -> dict[str, Any]:
    """Score a slide and archives of growing size by the command line, and the limit in between.

    Parameters
    ----------
    data : Path
        Folder of the data set; fields are drawn where there is none.

    Returns
    -------
    dict
        ``runs``: for each its ``engine``, ``images``, ``workers``, ``seconds`` of the whole
        command, peak ``resident_mb`` of its processes, and ``limit``, images a second in
        process, measured just before and after; ``bytes`` of a mean image; ``slide``
        with its size, ``bytes``, ``fields``, ``seconds`` and ``resident_mb``; and what was
        measured on.
    """
    with tempfile.TemporaryDirectory() as folder:
        png, _, origin = write_images(data, Path(folder))
        archives = {size: _archive(png, size, Path(folder) / str(size)) for size in IMAGES}
        slide = _slide(Path(folder) / "slide.tif")
        runs = []
        before = limit(png, LIMIT_SECONDS, AUTO)["rate"]
        for size, (engine, processes) in track([*product(IMAGES, WAYS)], "Cost"):
            out = Path(folder) / f"{engine}-{processes}-{size}.parquet"
            options = ["--out", str(out), "--workers", str(processes)]
            options += ["--ray", "local"] if engine == "ray" else []
            seconds, peak = _run(["score", str(archives[size]), *options])
            after = limit(png, LIMIT_SECONDS, AUTO)["rate"]
            runs.append(
                {
                    "engine": engine,
                    "images": size,
                    "workers": processes,
                    "seconds": seconds,
                    "resident_mb": peak,
                    "limit": (before + after) / 2,
                }
            )
            before = after
        sizes = [path.stat().st_size for path in png.iterdir()]
    return {
        "machine": machine(),
        "origin": f"{origin}, PNG",
        "distinct": len(sizes),
        "bytes": float(np.mean(sizes)),
        "runs": runs,
        "slide": slide,
    }


def _archive(images: Path, size: int, folder: Path) -> Path:
    """Make a folder of many names for few files."""
    folder.mkdir()
    files = sorted(images.iterdir())
    for i in range(size):
        (folder / f"{i:06}.png").hardlink_to(files[i % len(files)])
    return folder


def _slide(path: Path) -> dict[str, Any]:
    """Draw a slide that is all tissue, and score it."""
    columns, rows = SLIDE
    drawn = [draw_field(seed) for seed in range(DRAWN)]
    across, down = FIELD_SIZE
    width, height = columns * across, rows * down
    places = [(x, y) for y in range(0, height, down) for x in range(0, width, across)]
    regions = {place: drawn[i % DRAWN] for i, place in enumerate(places)}
    write_slide(path, (width, height), regions, levels=(1, 4, 16))
    out = path.with_suffix("")
    seconds, peak = _run(["slide", str(path), "--out", str(out)])
    return {
        "width": width,
        "height": height,
        "bytes": path.stat().st_size,
        "fields": json.loads((out / "summary.json").read_text("utf-8"))["fields"],
        "seconds": seconds,
        "resident_mb": peak,
    }


def _run(command: list[str]) -> tuple[float, float]:
    """Run a command of `breakhis`; return its seconds and the most memory it held, in MB."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "breakhis", *command],
            cwd=ROOT,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        peak = 0.0
        try:
            while process.poll() is None:
                peak = max(peak, sum(resident_mb(psutil.Process(process.pid)).values()))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(SAMPLE_SECONDS)
        finally:
            process.kill()
        seconds = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            raise ScriptError(f"`breakhis {command[0]}` failed:\n{said.read()[-2000:]}")
    return seconds, peak


if __name__ == "__main__":
    main()
