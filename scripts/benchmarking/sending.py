"""Loads a running service, from a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarking.services import RunningService
from scripts.errors import ScriptError
from scripts.paths import ROOT

# That the first answer may take.
MOST_SECONDS = 120


def send(
    running: RunningService,
    images: Path,
    connections: int,
    seconds: float,
    warm_up: float,
    *,
    rate: float | None = None,
) -> dict[str, Any]:
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

    Returns
    -------
    dict
        ``offered`` and ``rate``: requests a second that were sent, and that were answered with
        200. ``p50``, ``p95`` and ``p99`` in milliseconds, of all. ``statuses``: how many got
        which HTTP status, 0 where the connection failed; ``errors``: how many not 200.

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
            "seconds": seconds,
            "rate": rate and rate / connections,
            "report": str(report),
        }
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
                *("-f", str(ROOT / "scripts" / "benchmarking" / "locustfile.py")),
                *("--users", str(connections), "--spawn-rate", str(connections)),
                # It ends by itself, unless nothing answers.
                *("--run-time", f"{MOST_SECONDS + seconds:.0f}s", "--stop-timeout", "0"),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BENCHMARK_LOAD": json.dumps(settings)},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise ScriptError(f"Locust failed. It said last:\n{finished.stderr[-2000:]}")
        seen = json.loads(report.read_text("utf-8"))
    total, answered = sum(seen["statuses"].values()), seen["statuses"].get("200", 0)
    p50, p95, p99 = np.percentile(seen["milliseconds"] or [np.nan], (50, 95, 99)).tolist()
    return {
        "offered": total / seen["seconds"],
        "rate": answered / seen["seconds"],
        **{"p50": p50, "p95": p95, "p99": p99},
        "statuses": seen["statuses"],
        "errors": total - answered,
    }
