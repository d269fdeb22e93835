"""Load the service with ten times what it can answer, and for long.

    python -m scripts.load [--soak MINUTES]

Writes ``docs/reports/load.md``, a plot, and the figures as JSON.
"""

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from scripts.benchmarking import services
from scripts.benchmarking.images import write_images
from scripts.benchmarking.machine import machine
from scripts.benchmarking.sending import send
from scripts.benchmarking.services import resident_mb
from scripts.reports import command_line, fill_in, lines, report
from serve.archive import build

CONNECTIONS = 16
OVERLOAD = 10
# Each piece of the load is measured by itself.
SECONDS, WARM_UP = 60.0, 5.0


def main() -> None:
    """Run the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--soak", type=float, default=10, help="minutes of the long run (10)")
    report(lambda _: "load", parser, lambda args: measure(args.data, args.soak), page, plot)


def measure(data: Path, soak: float) -> dict[str, Any]:
    """Measure the peak, the overload and the soak, on one running service.

    Parameters
    ----------
    data : Path
        Folder of the data set; fields are drawn where there is none.
    soak : float
        Minutes.

    Returns
    -------
    dict
        ``pieces``: for each its ``phase``, ``at`` (seconds since the start), ``resident_mb``
        after it, and what `send` tells of it; and what was measured on.
    """
    build()
    pieces: list[dict[str, Any]] = []
    phases = ["peak", "overload", "overload", "peak", *["soak"] * round(60 * soak / SECONDS)]
    with tempfile.TemporaryDirectory() as folder:
        png, jpeg, origin = write_images(data, Path(folder))
        with services.own(min(png.iterdir()).read_bytes()) as running:
            began = time.monotonic()
            for phase in track(phases, "Load"):
                rate = OVERLOAD * pieces[0]["rate"] if phase == "overload" else None
                # Half a request a second from each, so that those who wait don't slow the others.
                connections = CONNECTIONS if rate is None else round(2 * rate)
                seen = send(running, jpeg, connections, SECONDS, WARM_UP, rate=rate)
                memory = sum(resident_mb(running.process).values())
                at = time.monotonic() - began
                pieces.append({"phase": phase, "at": at, **seen, "resident_mb": memory})
    origin += ", JPEG"
    return {"machine": machine(), "images": origin, "seconds": SECONDS, "pieces": pieces}


def page(results: dict[str, Any]) -> str:
    """Write the figures as Markdown."""
    phases = {}
    for name, pieces in _by_phase(results).items():
        figures = ("offered", "rate", "p50", "p99", "resident_mb")
        statuses = sum((Counter(piece["statuses"]) for piece in pieces), Counter[str]())
        phases[name] = {
            "pieces": len(pieces),
            "statuses": ", ".join(f"{n} x {status}" for status, n in statuses.most_common()),
            **{figure: np.mean([piece[figure] for piece in pieces]) for figure in figures},
        }
    memory = [piece["resident_mb"] for piece in _by_phase(results)["soak"]]
    half = len(memory) // 2
    return fill_in(
        Path(__file__).parent / "benchmarking" / "pages" / "load.md",
        connections=CONNECTIONS,
        overload=OVERLOAD,
        phases=phases,
        halves=[np.mean(memory[:half]), np.mean(memory[half:])],
        **results,
    )


def plot(results: dict[str, Any]) -> bytes:
    """Draw throughput and memory over time, as SVG."""

    def over_time(figure: str) -> dict[str, tuple[list[float], list[float]]]:
        return {
            phase: ([piece["at"] / 60 for piece in pieces], [piece[figure] for piece in pieces])
            for phase, pieces in _by_phase(results).items()
        }

    return lines(
        {"answered a second": over_time("rate"), "memory, MB": over_time("resident_mb")},
        style="o",
        xlabel="minutes",
    )


def _by_phase(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    phases: dict[str, list[dict[str, Any]]] = {}
    for piece in results["pieces"]:
        phases.setdefault(piece["phase"], []).append(piece)
    return phases


if __name__ == "__main__":
    main()
