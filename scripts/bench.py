"""Measure the service beside its peers and the machine's limit, in turn, in one run.

    python -m scripts.bench

Every service gets the same images, and answers with label and decision of the same model. One more,
TorchServe's own image classifier, does less, and is there for reference. Writes a page, a plot, and
the figures as JSON into ``docs/reports/bench/``, under the name of the machine's kind.
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import requests
from rich.progress import track
from urllib3 import encode_multipart_formdata

from handler.engines import AUTO
from scripts.benchmarking import services
from scripts.benchmarking.bench_report import OWN, kind, median, medians, page, plot
from scripts.benchmarking.images import write_images
from scripts.benchmarking.machine import limit, machine
from scripts.benchmarking.sending import send
from scripts.benchmarking.services import Peer, RunningService, Setting, Start, resident_mb
from scripts.reports import command_line, report
from serve.archive import build

# With no SVM and from 224 x 224 pixels, so with less work than the others.
STOCK = "TorchServe image_classifier"
PEERS: dict[str, Peer] = {
    STOCK: services.stock,
    "TorchServe": services.torchserve,
    "LitServe": services.litserve,
}
ENGINES = ("torch-fp32", "openvino-fp32", "openvino-int8")
FORM = 64


class Plan(NamedTuple):
    """How long is measured, in seconds; 1 and 16 are among the connections."""

    connections: tuple[int, ...]
    rounds: int
    seconds: float
    warm_up: float
    soak: float
    # Whether the peers' best settings are searched for, and all engines measured.
    thorough: bool


FULL = Plan(connections=(1, 4, 16, 64), rounds=2, seconds=8, warm_up=4, soak=60, thorough=True)
QUICK = Plan(connections=(1, 16), rounds=1, seconds=1, warm_up=0.5, soak=1, thorough=False)


def main() -> None:
    """Run the command line."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="two minutes: peers at one setting, coarse figures"
    )
    report(
        lambda results: f"bench/{kind(results['machine'])}",
        parser,
        lambda args: measure(args.data, QUICK if args.quick else FULL),
        page,
        plot,
    )


def measure(data: Path, plan: Plan) -> dict[str, Any]:
    """Measure everything, on drawn fields where there is no data set."""
    build()
    with tempfile.TemporaryDirectory() as folder:
        png, jpeg, origin = write_images(data, Path(folder))
        settings = {name: _best_setting(peer, png, plan) for name, peer in PEERS.items()}
        starts: dict[str, Start] = {
            OWN: services.own,
            **{name: partial(PEERS[name], setting) for name, setting in settings.items()},
            "Flask": services.flask,
        }
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in starts}
        limits = [limit(png, plan.seconds / 2, AUTO)]
        extras: dict[str, Any] = {}
        for name in track([*starts] * plan.rounds, "Benchmark"):
            with starts[name](_first(png)) as running:
                # The most first, so that everybody is warm for one request at a time.
                load = {
                    connections: send(running, png, connections, plan.seconds, plan.warm_up)
                    for connections in reversed(plan.connections)
                }
                turns[name].append(
                    {
                        "load": {str(c): load[c] for c in plan.connections},
                        "start_seconds": running.start_seconds,
                        "resident_mb": resident_mb(running.process),
                    }
                )
                if name == OWN and not extras:
                    extras = _extras(running, png, jpeg, plan)
        if plan.thorough:
            limits.append(limit(png, plan.seconds / 2, AUTO))
        engines = [limit(png, plan.seconds / 2, engine) for engine in ENGINES if plan.thorough]
    return {
        "machine": machine(),
        "engine": limits[0]["engine"],
        "less_work": [STOCK],
        "images": origin,
        "peer_settings": {
            name: f"{setting.workers} workers, {setting.threads} threads"
            for name, setting in settings.items()
        },
        "services": medians(turns),
        "limit": {figure: median(limits, figure) for figure in ("rate", "milliseconds")},
        "engines": engines,
        **extras,
    }


def _best_setting(peer: Peer, images: Path, plan: Plan) -> Setting:
    """Try one worker with a thread for each core, and the other way round, at 16 connections."""
    cores = joblib.cpu_count()
    settings = (Setting(1, cores), Setting(cores, 1))
    if not plan.thorough:
        return settings[0]
    rates = {}
    for setting in settings:
        with peer(setting, _first(images)) as running:
            rates[setting] = send(running, images, 16, plan.seconds, plan.warm_up)["rate"]
    return max(rates, key=lambda setting: rates[setting])


def _extras(running: RunningService, png: Path, jpeg: Path, plan: Plan) -> dict[str, Any]:
    """Measure what only the service itself is asked for."""
    formats: dict[str, list[float]] = {"PNG": [], "JPEG": []}
    for _ in range(2):
        for name, images in (("PNG", png), ("JPEG", jpeg)):
            formats[name].append(send(running, images, 16, plan.seconds, plan.warm_up)["rate"])
    connections = max(plan.connections)
    soak = send(running, png, connections, plan.soak, plan.warm_up)
    return {
        "formats": formats,
        "soak": {"connections": connections, "seconds": plan.soak, **soak},
        "form": _form(running, png, plan.rounds),
    }


def _form(running: RunningService, images: Path, rounds: int) -> dict[str, float]:
    """Time one form of many images, and as many requests of one image on one connection."""
    files = sorted(images.iterdir())
    chosen = [files[i % len(files)].read_bytes() for i in range(FORM)]
    form, content_type = encode_multipart_formdata(
        {f"image{i}": (f"{i}.png", image, "image/png") for i, image in enumerate(chosen)}
    )
    as_form, one_by_one = [], []
    with requests.Session() as session:
        session.headers.update(running.headers)
        for _ in range(rounds):
            began = time.perf_counter()
            answer = session.post(running.url, data=form, headers={"Content-Type": content_type})
            answer.raise_for_status()
            as_form.append(time.perf_counter() - began)
            began = time.perf_counter()
            for image in chosen:
                session.post(running.url, data=image).raise_for_status()
            one_by_one.append(time.perf_counter() - began)
    return {"images": FORM, "seconds": min(as_form), "one_by_one_seconds": min(one_by_one)}


def _first(images: Path) -> bytes:
    return min(images.iterdir()).read_bytes()


if __name__ == "__main__":
    main()
