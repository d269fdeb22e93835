"""Measure the service beside its peers and the machine's limit, in turn, in one run.

    python -m scripts.bench

Every service gets the same images and, but for its own preprocessing, the same weights.
Writes ``docs/reports/bench.md``, a plot, and the figures as JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import requests
from rich.progress import Progress
from urllib3 import encode_multipart_formdata

from handler.engines import AUTO
from handler.whole_file import write_whole
from scripts.benchmarking import report, services
from scripts.benchmarking.images import write_images
from scripts.benchmarking.machine import limit, machine
from scripts.benchmarking.sending import send
from scripts.benchmarking.services import RunningService, Start, resident_mb
from scripts.errors import ScriptError
from scripts.paths import REPORTS, add_data_argument
from serve.archive import build

OWN = "this service"
ENGINES = ("torch-fp32", "openvino-fp32", "openvino-int8")
FORM = 64


@dataclass(frozen=True)
class Plan:
    """How long is measured.

    Attributes
    ----------
    connections : tuple of int
        At each of which is measured; 1 and 16 among them.
    rounds : int
        How often each service has its turn.
    seconds, warm_up : float
        Length of each measurement, and of the load before it.
    soak : float
        Seconds of the long run at the most connections.
    thorough : bool
        Whether the peers' best settings are searched for, and all engines measured.
    """

    connections: tuple[int, ...]
    rounds: int
    seconds: float
    warm_up: float
    soak: float
    thorough: bool


FULL = Plan(connections=(1, 4, 16, 64), rounds=2, seconds=8, warm_up=4, soak=60, thorough=True)
QUICK = Plan(connections=(1, 16), rounds=1, seconds=2, warm_up=1, soak=3, thorough=False)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    parser.add_argument(
        "--quick", action="store_true", help="three minutes: peers at one setting, coarse figures"
    )
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder for the results")
    args = parser.parse_args()
    build()
    try:
        results = measure(args.data, QUICK if args.quick else FULL)
    except ScriptError as error:
        parser.exit(1, f"{error}\n")
    write_whole(args.out / "bench.json", json.dumps(results, indent=1).encode())
    write_whole(args.out / "bench.svg", report.plot(results))
    page = report.page(results)
    write_whole(args.out / "bench.md", page.encode())
    print(page)


def measure(data: Path, plan: Plan) -> dict[str, Any]:
    """Measure everything.

    Parameters
    ----------
    data : Path
        Folder of the data set; fields are drawn where there is none.
    plan : Plan

    Returns
    -------
    dict
        What is written to ``bench.json``.
    """
    cores = joblib.cpu_count()
    candidates: dict[str, dict[str, Start]] = {
        name: {
            f"{workers} workers, {threads} threads": start(workers, threads)
            for workers, threads in ((1, cores), (cores, 1))
        }
        for name, start in (
            ("TorchServe image_classifier", services.stock),
            ("LitServe", services.litserve),
        )
    }
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        png, jpeg, images_from = write_images(data, Path(folder))
        trials = sum(len(starts) for starts in candidates.values()) if plan.thorough else 0
        turns = plan.rounds * ((len(candidates) + 2) * len(plan.connections) + 1)
        task = progress.add_task("Benchmark", total=trials + turns + 3)

        def advance() -> None:
            progress.advance(task)

        settings = {name: _best(starts, png, plan, advance) for name, starts in candidates.items()}
        turn_of: dict[str, Start] = {
            OWN: services.own,
            **{name: candidates[name][best] for name, best in settings.items()},
            "Flask": services.flask,
        }
        measured: dict[str, list[dict[str, Any]]] = {name: [] for name in turn_of}
        limits: list[dict[str, Any]] = []
        extras: dict[str, Any] = {}
        for _ in range(plan.rounds):
            for name, start in turn_of.items():
                with start(_first(png)) as running:
                    # The most first, so that everybody is warm for one request at a time.
                    load = {}
                    for connections in reversed(plan.connections):
                        load[connections] = _load(running, png, connections, plan)
                        advance()
                    measured[name].append(
                        {
                            "start_seconds": running.start_seconds,
                            "resident_mb": resident_mb(running.process),
                            "load": {str(c): load[c] for c in plan.connections},
                        }
                    )
                    if name == OWN and not extras:
                        extras = _extras(running, png, jpeg, plan, advance)
            limits.append(limit(png, plan.seconds / 2, AUTO))
            advance()
        engines = [limit(png, plan.seconds / 2, engine) for engine in ENGINES if plan.thorough]
    return report.summarise(
        {
            "machine": machine(),
            "engine": limits[0]["engine"],
            "images": images_from,
            "peer_settings": settings,
            "services": measured,
            "limit": limits,
            "engines": engines,
            **extras,
        },
        own=OWN,
    )


def _best(starts: dict[str, Start], images: Path, plan: Plan, advance: Callable[[], None]) -> str:
    """Try each setting of a peer at 16 connections, and return the fastest's name."""
    if not plan.thorough:
        return next(iter(starts))
    rates = {}
    for setting, start in starts.items():
        with start(_first(images)) as running:
            rates[setting] = _load(running, images, 16, plan)["rate"]
        advance()
    return max(rates, key=lambda setting: rates[setting])


def _load(
    running: RunningService,
    images: Path,
    connections: int,
    plan: Plan,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Load a running service without a pause."""
    seen = send(running, images, connections, seconds or plan.seconds, plan.warm_up)
    p50, p95, p99 = np.percentile(seen.milliseconds or [np.nan], (50, 95, 99)).tolist()
    answered = len(seen.milliseconds) - len(seen.errors)
    return {
        "rate": answered / seen.seconds,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "errors": len(seen.errors),
    }


def _extras(
    running: RunningService, png: Path, jpeg: Path, plan: Plan, advance: Callable[[], None]
) -> dict[str, Any]:
    """Measure what only the service itself is asked for."""
    formats: dict[str, list[float]] = {"PNG": [], "JPEG": []}
    for _ in range(2):
        for name, images in (("PNG", png), ("JPEG", jpeg)):
            formats[name].append(_load(running, images, 16, plan)["rate"])
    advance()
    soak = {
        "connections": max(plan.connections),
        "seconds": plan.soak,
        **_load(running, png, max(plan.connections), plan, plan.soak),
    }
    advance()
    return {"formats": formats, "soak": soak, "form": _form(running, png, plan, advance)}


def _form(
    running: RunningService, images: Path, plan: Plan, advance: Callable[[], None]
) -> dict[str, float]:
    """Time one form of many images, and as many requests of one image on one connection."""
    files = sorted(images.iterdir())
    chosen = [files[i % len(files)].read_bytes() for i in range(FORM)]
    form, content_type = encode_multipart_formdata(
        {f"image{i}": (f"{i}.png", image, "image/png") for i, image in enumerate(chosen)}
    )
    as_form, one_by_one = [], []
    with requests.Session() as session:
        session.headers.update(running.headers)
        for _ in range(plan.rounds):
            began = time.perf_counter()
            answer = session.post(running.url, data=form, headers={"Content-Type": content_type})
            answer.raise_for_status()
            as_form.append(time.perf_counter() - began)
            began = time.perf_counter()
            for image in chosen:
                session.post(running.url, data=image).raise_for_status()
            one_by_one.append(time.perf_counter() - began)
    advance()
    return {"images": FORM, "seconds": min(as_form), "one_by_one_seconds": min(one_by_one)}


def _first(images: Path) -> bytes:
    return min(images.iterdir()).read_bytes()


if __name__ == "__main__":
    main()
