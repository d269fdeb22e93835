"""Load the service with ten times what it can answer, and for long.

    python -m scripts.load [--soak MINUTES]

Writes ``docs/reports/load.md``, a plot, and the figures as JSON.
"""

import argparse
import io
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.progress import Progress

from handler.whole_file import write_whole
from scripts.benchmarking import services
from scripts.benchmarking.images import write_images
from scripts.benchmarking.machine import machine
from scripts.benchmarking.sending import send
from scripts.benchmarking.services import resident_mb
from scripts.paths import REPORTS, add_data_argument
from serve.archive import build

CONNECTIONS = 16
OVERLOAD = 10
# Each piece of the load is measured by itself.
SECONDS, WARM_UP = 60.0, 5.0


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    parser.add_argument("--soak", type=float, default=10, help="minutes of the long run (10)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each piece (60)")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder for what is written")
    args = parser.parse_args()
    build()
    pieces = round(60 * args.soak / args.seconds)
    results = measure(args.data, pieces, args.seconds)
    write_whole(args.out / "load.json", json.dumps(results, indent=1).encode())
    write_whole(args.out / "load.svg", plot(results))
    write_whole(args.out / "load.md", page(results).encode())
    print(page(results))


def measure(data: Path, soak_pieces: int, seconds: float) -> dict[str, Any]:
    """Measure the peak, the overload and the soak, on one running service.

    Parameters
    ----------
    data : Path
        Folder of the data set; fields are drawn where there is none.
    soak_pieces : int
        How many pieces the soak has.
    seconds : float
        Length of a piece.

    Returns
    -------
    dict
        ``pieces``: for each its ``phase``, ``at`` (seconds since the start), ``offered`` and
        ``answered`` requests a second, ``statuses``, ``p50`` and ``p99`` of what was answered
        or refused, in milliseconds, and ``resident_mb`` after it; and what was measured on.
    """
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        png, jpeg, origin = write_images(data, Path(folder))
        task = progress.add_task("Load", total=4 + soak_pieces)
        pieces: list[dict[str, Any]] = []
        with services.own(min(png.iterdir()).read_bytes()) as running:
            began = time.monotonic()

            def add(phase: str, connections: int, rate: float | None = None) -> None:
                seen = send(running, jpeg, connections, seconds, WARM_UP, rate=rate)
                total = len(seen.milliseconds)
                p50, p99 = np.percentile(seen.milliseconds, (50, 99)).tolist()
                pieces.append(
                    {
                        "phase": phase,
                        "at": time.monotonic() - began,
                        "offered": total / seen.seconds,
                        "answered": seen.statuses.get("200", 0) / seen.seconds,
                        "statuses": seen.statuses,
                        "p50": p50,
                        "p99": p99,
                        "resident_mb": sum(resident_mb(running.process).values()),
                    }
                )
                progress.advance(task)

            add("peak", CONNECTIONS)
            rate = OVERLOAD * pieces[0]["answered"]
            # Half a request a second from each, so that those who wait don't slow the others.
            for _ in range(2):
                add("overload", round(2 * rate), rate)
            add("peak", CONNECTIONS)
            for _ in range(soak_pieces):
                add("soak", CONNECTIONS)
    return {
        "machine": machine(),
        "images": f"{origin}, JPEG",
        "seconds": seconds,
        "pieces": pieces,
    }


def page(results: dict[str, Any]) -> str:
    """Write the figures as Markdown."""
    pieces = results["pieces"]
    peak = np.mean([p["answered"] for p in pieces if p["phase"] == "peak"])
    rows = [
        f"| {phase} | {len(of)} | {_mean(of, 'offered'):.1f} | {_mean(of, 'answered'):.1f} "
        f"| {_mean(of, 'answered') / peak:.2f} | {_statuses(of)} | {_mean(of, 'p50'):.0f} "
        f"| {_mean(of, 'p99'):.0f} | {_mean(of, 'resident_mb'):.0f} |"
        for phase in ("peak", "overload", "soak")
        if (of := [piece for piece in pieces if piece["phase"] == phase])
    ]
    soak = [piece for piece in pieces if piece["phase"] == "soak"]
    halves = [
        _mean(half, "resident_mb") for half in (soak[: len(soak) // 2], soak[len(soak) // 2 :])
    ]
    return "\n".join(
        [
            "# Load",
            "",
            "Written by `make load`. "
            f"{results['machine']['cpu']}, {results['machine']['cores']} cores, which the sender "
            f"shares; {results['images']}. The peak is what {CONNECTIONS} connections get that "
            f"send without a pause; the overload offers {OVERLOAD} times that. Pieces of "
            f"{results['seconds']:.0f} seconds. Memory is that of all the service's processes "
            "after each piece, each shared page counted once. Offered is what the sender could "
            "really send.",
            "",
            "| phase | pieces | offered a second | answered a second | of the peak | statuses "
            "| p50, ms | p99, ms | memory, MB |",
            "|---|---:|---:|---:|---:|---|---:|---:|---:|",
            *rows,
            "",
            f"In the soak of {len(soak) * results['seconds'] / 60:.0f} minutes the mean memory was "
            f"{halves[0]:.0f} MB in the first half and {halves[1]:.0f} MB in the second "
            f"({halves[1] / halves[0] - 1:+.1%}).",
            "",
            "![Throughput and memory](load.svg)",
            "",
        ]
    )


def plot(results: dict[str, Any]) -> bytes:
    """Draw throughput and memory over time, as SVG."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    pieces = results["pieces"]
    minutes = [piece["at"] / 60 for piece in pieces]
    for axes, key, label in (
        (above, "answered", "answered a second"),
        (below, "resident_mb", "memory, MB"),
    ):
        axes.plot(minutes, [piece[key] for piece in pieces], "o-", color="#0072b2", markersize=4)
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.15 * max(piece[key] for piece in pieces))
        axes.spines[["top", "right"]].set_visible(False)
        for piece, at in zip(pieces, minutes, strict=True):
            if piece["phase"] == "overload":
                axes.axvspan(at - results["seconds"] / 60, at, color="#d55e00", alpha=0.2)
    above.set_title(f"shaded: {OVERLOAD} times the peak is offered", fontsize=9, loc="left")
    below.set_xlabel("minutes")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _mean(pieces: list[dict[str, Any]], key: str) -> float:
    """Average a figure over pieces."""
    return float(np.mean([piece[key] for piece in pieces]))


def _statuses(pieces: list[dict[str, Any]]) -> str:
    total: Counter[str] = Counter()
    for piece in pieces:
        total += Counter(piece["statuses"])
    return ", ".join(f"{number} x {status}" for status, number in total.most_common())


if __name__ == "__main__":
    main()
