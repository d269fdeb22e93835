"""Loads a running service, from a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarking.services import RunningService
from scripts.errors import ScriptError
from scripts.paths import ROOT


@dataclass(frozen=True)
class LoadResult:
    """What came of a load.

    Attributes
    ----------
    seconds : float
        How long was measured.
    milliseconds : list of float
        From a request to its end, of every request.
    errors : list of str
        What those that failed were answered.
    statuses : dict of str to int
        How many requests got which HTTP status; 0 where the connection failed.
    """

    seconds: float
    milliseconds: list[float]
    errors: list[str]
    statuses: dict[str, int]


def send(
    running: RunningService,
    images: Path,
    connections: int,
    seconds: float,
    warm_up: float,
    *,
    rate: float | None = None,
) -> LoadResult:
    """Send image after image.

    Parameters
    ----------
    running : RunningService
    images : Path
        Folder of the images, which are sent in turn.
    connections : int
    seconds, warm_up : float
        How long is measured, and how long is waited before that.
    rate : float, optional
        Requests a second, of all connections together; else each connection sends again as
        soon as it has its answer.

    Raises
    ------
    ScriptError
        The sender failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        settings = {
            "url": running.url,
            "headers": running.headers,
            "as_form": running.as_form,
            "images": str(images),
            "warm_up": warm_up,
            "rate": rate and rate / connections,
            "report": str(report),
        }
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
                *("-f", str(ROOT / "scripts" / "benchmarking" / "locustfile.py")),
                *("--users", str(connections), "--spawn-rate", str(connections)),
                *("--run-time", f"{warm_up + seconds:.0f}s", "--stop-timeout", "0"),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BENCHMARK_LOAD": json.dumps(settings)},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise ScriptError(f"Locust failed. It said last:\n{finished.stderr[-2000:]}")
        return LoadResult(**json.loads(report.read_text("utf-8")))
