"""What the machine can do without a server: decode, resize, forward pass, in a tight loop.

    python -m scripts.benchmarking.limit IMAGES SECONDS ENGINE

Prints JSON: images a second of many, milliseconds of one image at a time, the engine's name;
and the same of the forward pass alone.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch

from handler.images import read_field, resize
from handler.model import Model
from scripts.paths import MODEL_STORE

BATCH = 64


def main() -> None:
    """Run the command line."""
    images = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
    seconds = float(sys.argv[2])
    threads = joblib.cpu_count()
    cv2.setNumThreads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Model.open(MODEL_STORE, device, engine=sys.argv[3], threads=threads)
    engine = model.engine

    def prepare(image: bytes) -> np.ndarray:
        return resize(read_field(image).pixels, *model.size)

    inputs = [prepare(image) for image in images]
    batch = [images[i % len(images)] for i in range(BATCH)]
    input_batch = np.stack([inputs[i % len(inputs)] for i in range(BATCH)])
    with ThreadPoolExecutor(threads) as pool:
        measured = {
            "engine": engine.name,
            "milliseconds": _seconds_each(
                lambda i: engine.extract(prepare(images[i % len(images)])[None]), seconds
            )
            * 1000,
            "rate": BATCH
            / _seconds_each(
                lambda _: engine.extract(np.stack(list(pool.map(prepare, batch)))), seconds
            ),
            "forward_milliseconds": _seconds_each(
                lambda i: engine.extract(inputs[i % len(inputs)][None]), seconds
            )
            * 1000,
            "forward_rate": BATCH / _seconds_each(lambda _: engine.extract(input_batch), seconds),
        }
    print(json.dumps(measured))


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


if __name__ == "__main__":
    main()
