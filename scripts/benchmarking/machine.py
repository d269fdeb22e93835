"""The machine that is measured on: what it is, and what it can do without a server."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib

from scripts.errors import ScriptError
from scripts.paths import ROOT

# What the speed of 8-bit integers depends on.
INSTRUCTIONS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")


def machine() -> dict[str, Any]:
    """Describe the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    about = {key.strip(): value.strip() for key, _, value in (row.partition(":") for row in lines)}
    family = [f"{key} {about[key]}" for key in ("cpu family", "model") if key in about]
    return {
        "cpu": ", ".join([about.get("model name", platform.processor()), *family]),
        "cores": joblib.cpu_count(),
        "instructions": [name for name in INSTRUCTIONS if name in about.get("flags", "").split()],
    }


def limit(images: Path, seconds: float, engine: str) -> dict[str, Any]:
    """Measure what the machine can do without a server; see `scripts.benchmarking.limit`.

    Parameters
    ----------
    images : Path
        Folder of the images.
    seconds : float
        How long each figure is measured.
    engine : str
        See `handler.engines.open_engine`.

    Raises
    ------
    ScriptError
        The limit could not be measured.
    """
    command = [sys.executable, "-m", "scripts.benchmarking.limit"]
    finished = subprocess.run(
        [*command, str(images), str(seconds), engine],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise ScriptError(f"The limit could not be measured:\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout)
