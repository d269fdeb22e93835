"""The machine that is measured on: what it is, and what it can do without a server."""

import multiprocessing
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from handler.images import read_field, resize
from handler.settings import HandlerSettings
from scripts.paths import MODEL_STORE

# What the speed of 8-bit integers depends on.
INSTRUCTIONS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")
BATCH = 64


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
    """Decode, resize and put through the ResNet18, in a tight loop in a process of its own.

    Parameters
    ----------
    images : Path
        Folder of the images.
    seconds : float
        How long each figure is measured.
    engine : str
        See `handler.engines.open_engine`.

    Returns
    -------
    dict
        ``rate``, images a second of many; ``milliseconds`` of one image at a time; the same of
        the forward pass alone; and the ``engine``'s name.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_limit, images, seconds, engine).result()


def _limit(folder: Path, seconds: float, engine_name: str) -> dict[str, Any]:
    threads = joblib.cpu_count()
    settings = replace(HandlerSettings.read(), engine=engine_name, threads=threads)
    model = settings.open_model(MODEL_STORE, gpu=0)
    extract = model.engine.extract
    images = [path.read_bytes() for path in sorted(folder.iterdir())]
    batch = [images[i % len(images)] for i in range(BATCH)]

    def prepare(image: bytes) -> np.ndarray:
        return resize(read_field(image, seen_at=model.size).pixels, *model.size)

    one, many = prepare(images[0])[None], np.stack([prepare(image) for image in batch])
    with ThreadPoolExecutor(threads) as pool:
        works: dict[str, Callable[[int], object]] = {
            "milliseconds": lambda i: extract(prepare(images[i % len(images)])[None]),
            "rate": lambda _: extract(pool.map(prepare, batch)),
            "forward_milliseconds": lambda _: extract(one),
            "forward_rate": lambda _: extract(many),
        }
        measured = {figure: _seconds_each(work, seconds) for figure, work in works.items()}
    return {
        "engine": model.engine.name,
        **{
            figure: BATCH / value if figure.endswith("rate") else 1000 * value
            for figure, value in measured.items()
        },
    }


def _seconds_each(work: Callable[[int], object], seconds: float) -> float:
    """Return the median time of one call."""
    work(0)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        work(len(times))
        times.append(time.perf_counter() - began)
    return float(np.median(times))
