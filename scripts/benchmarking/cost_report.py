"""Put the cost of scoring together, as a page with an estimate, and a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.reports import fill_in, lines

# What is estimated.
NODES, ARCHIVE_FIELDS, SLIDES = (1, 10, 100), 1_000_000, 1_000
# Assumed: 2.3 square centimetres of tissue; a field is 343 x 225 micrometres.
FIELDS_ON_SLIDE = 3_000
# Assumed, in any currency: what a node with two cores is rented for.
PRICE_OF_NODE_HOUR = 0.10


def by_way(runs: Sequence[dict[str, Any]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Sort runs by engine and number of workers."""
    ways: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for run in runs:
        ways.setdefault((run["engine"], run["workers"]), []).append(run)
    return ways


def fit(runs: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Put ``seconds = start + images / rate`` through the first and the last run.

    Returns
    -------
    rate : float
        Images a second once everything has started.
    start : float
        Seconds before that.
    """
    few, many = runs[0], runs[-1]
    rate = (many["images"] - few["images"]) / (many["seconds"] - few["seconds"])
    return rate, few["seconds"] - few["images"] / rate


def estimates(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Estimate what large archives take on machines like the one that was measured.

    Returns
    -------
    list of dict
        ``what``, ``nodes``, ``hours`` from start to end, and ``read``, the MB a second that the
        storage must give.
    """
    ways, slide = by_way(results["runs"]), results["slide"]
    most = max(workers for _, workers in ways)
    fields, slides = [], []
    for nodes in NODES:
        rate, start = fit(ways["local" if nodes == 1 else "ray", most])
        hours = (start + ARCHIVE_FIELDS / (rate * nodes)) / 3600
        read = rate * nodes * results["bytes"] / 1e6
        fields.append({"what": "one million fields", "nodes": nodes, "hours": hours, "read": read})
        # A slide is not shared between machines.
        own_fields = -(-SLIDES // nodes) * FIELDS_ON_SLIDE
        hours = own_fields * slide["seconds"] / slide["fields"] / 3600
        read = nodes * slide["bytes"] / slide["seconds"] / 1e6
        slides.append({"what": "one thousand slides", "nodes": nodes, "hours": hours, "read": read})
    return fields + slides


def page(results: dict[str, Any]) -> str:
    """Write the figures and the estimate as Markdown."""
    return fill_in(
        Path(__file__).parent / "pages" / "cost.md",
        fits={way: fit(runs) for way, runs in by_way(results["runs"]).items()},
        estimates=estimates(results),
        price=PRICE_OF_NODE_HOUR,
        fields_on_slide=FIELDS_ON_SLIDE,
        **results,
    )


def plot(results: dict[str, Any]) -> bytes:
    """Draw throughput and memory over the size of the archive, as SVG."""
    rates, memory = {}, {}
    for (engine, workers), runs in by_way(results["runs"]).items():
        name = f"{engine}, {workers} worker{'s' * (workers > 1)}"
        images = [run["images"] for run in runs]
        rates[name] = images, [run["images"] / run["seconds"] for run in runs]
        memory[name] = images, [run["resident_mb"] for run in runs]
    of_size = [[run["limit"] for run in results["runs"] if run["images"] == n] for n in images]
    rates["limit, in process"] = images, [float(np.mean(limits)) for limits in of_size]
    return lines(
        {"images a second, start included": rates, "memory, MB": memory},
        xlabel="images",
        xscale="log",
    )
