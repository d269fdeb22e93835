"""What the machine can do without a server: decode, resize, forward pass, in a tight loop.

    python -m scripts.benchmarking.limit IMAGES SECONDS

Prints JSON: images a second of many, milliseconds of one image at a time, the engine's name.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch

from handler import MANIFEST
from handler.engines import AUTO, open_engine
from handler.features import load_trunk
from handler.images import read_field, resize
from scripts.learning.places import MODEL_STORE

BATCH = 64


def main() -> None:
    """Run the command line."""
    images = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
    seconds = float(sys.argv[2])
    threads = joblib.cpu_count()
    cv2.setNumThreads(1)
    manifest = json.loads((MODEL_STORE / MANIFEST).read_text("utf-8"))
    preprocessing = manifest["preprocessing"]
    size = preprocessing["width"], preprocessing["height"]
    weights = (MODEL_STORE / manifest["files"]["weights"]["name"]).read_bytes()
    engine = open_engine(
        AUTO,
        load_trunk(weights, preprocessing["mean"], preprocessing["std"]),
        size=size,
        maxima=manifest["activation_maxima"],
        device="cuda" if torch.cuda.is_available() else "cpu",
        threads=threads,
    )

    def prepare(image: bytes) -> np.ndarray:
        return resize(read_field(image).pixels, *size)

    alone: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        engine.extract(prepare(images[len(alone) % len(images)])[None])
        alone.append(time.perf_counter() - began)
    batch = [images[i % len(images)] for i in range(BATCH)]
    n, began = 0, time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() - began < seconds:
            engine.extract(np.stack(list(pool.map(prepare, batch))))
            n += BATCH
    rate = n / (time.perf_counter() - began)
    one = 1000 * float(np.median(alone))
    print(json.dumps({"rate": rate, "milliseconds": one, "engine": engine.name}))


if __name__ == "__main__":
    main()
