"""Put the cost of scoring together, as a page with an estimate, and a plot."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scripts.benchmarking.report import COLOURS

# What is estimated.
NODES, ARCHIVE_FIELDS, SLIDES = (1, 10, 100), 1_000_000, 1_000
# Assumed: 2.3 square centimetres of tissue; a field is 343 x 225 micrometres.
FIELDS_ON_SLIDE = 3_000
# Assumed, in any currency: what a node with two cores is rented for.
PRICE_OF_NODE_HOUR = 0.10


def fit(runs: Sequence[dict[str, Any]], engine: str, workers: int) -> tuple[float, float]:
    """Put ``seconds = start + images / rate`` through the smallest and the largest run.

    Returns
    -------
    rate : float
        Images a second once everything has started.
    start : float
        Seconds before that.
    """
    of = [run for run in runs if run["engine"] == engine and run["workers"] == workers]
    few, many = of[0], of[-1]
    rate = (many["images"] - few["images"]) / (many["seconds"] - few["seconds"])
    return rate, few["seconds"] - few["images"] / rate


def estimates(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Estimate what large archives take on machines like the one that was measured.

    Returns
    -------
    list of dict
        ``what``, ``nodes``, ``hours`` from start to end, ``node_hours`` that are paid for,
        and ``read``, the MB a second that the storage must give.
    """
    runs, slide = results["runs"], results["slide"]
    most = max(run["workers"] for run in runs)
    seconds_of_slide = slide["seconds"] * FIELDS_ON_SLIDE / slide["fields"]
    found = []
    for nodes in NODES:
        rate, start = fit(runs, "local" if nodes == 1 else "ray", most)
        fields_hours = (start + ARCHIVE_FIELDS / (rate * nodes)) / 3600
        # A slide is not shared between machines.
        slides_hours = -(-SLIDES // nodes) * seconds_of_slide / 3600
        for what, hours, read in (
            ("one million fields", fields_hours, rate * nodes * results["bytes"]),
            ("one thousand slides", slides_hours, nodes * slide["bytes"] / slide["seconds"]),
        ):
            found.append(
                {
                    "what": what,
                    "nodes": nodes,
                    "hours": hours,
                    "node_hours": hours * nodes,
                    "read": read / 1e6,
                }
            )
    return sorted(found, key=lambda of: of["what"])


def page(results: dict[str, Any]) -> str:
    """Write the figures and the estimate as Markdown."""
    runs, slide, on = (results[key] for key in ("runs", "slide", "machine"))
    fitted = {
        key: fit(runs, *key) for key in dict.fromkeys((r["engine"], r["workers"]) for r in runs)
    }
    return "\n".join(
        [
            "# What scoring costs",
            "",
            f"Written by `make cost`. {on['cpu']}, {on['cores']} cores; {results['origin']}, "
            f"{results['bytes'] / 1e6:.2f} MB each. The archives have as many names for "
            f"{results['distinct']} files, so that their bytes come from memory, not from a disk. "
            "Each row is one run of `breakhis score`, from start to end. The limit is "
            "what the machine reads, resizes and puts through the ResNet18 in one process "
            "(`make bench`), measured before and after each run. Memory is the peak of all "
            "processes, each shared page counted once.",
            "",
            "| engine | workers | images | seconds | images a second | of the limit | memory, MB |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(
                f"| {run['engine']} | {run['workers']} | {run['images']:,} | {run['seconds']:.0f} "
                f"| {run['images'] / run['seconds']:.1f} "
                f"| {run['images'] / run['seconds'] / run['limit']:.2f} "
                f"| {run['resident_mb']:.0f} |"
                for run in runs
            ),
            "",
            "The smallest and the largest run give the seconds to start and the rate after that:",
            "",
            "| engine | workers | images a second | seconds to start |",
            "|---|---:|---:|---:|",
            *(
                f"| {engine} | {workers} | {rate:.1f} | {start:.0f} |"
                for (engine, workers), (rate, start) in fitted.items()
            ),
            "",
            f"A drawn slide of {slide['width']:,} x {slide['height']:,} pixels "
            f"({slide['bytes'] / 1e6:.0f} MB) with {slide['fields']:,} fields of tissue took "
            f"`breakhis slide` {slide['seconds']:.0f} seconds, "
            f"{slide['fields'] / slide['seconds']:.1f} fields a second, and "
            f"{slide['resident_mb']:.0f} MB.",
            "",
            "![Images a second and memory](cost.svg)",
            "",
            "## An estimate for large archives",
            "",
            "| what | nodes | hours | node-hours | price | to be read, MB a second |",
            "|---|---:|---:|---:|---:|---:|",
            *(
                f"| {of['what']} | {of['nodes']} | {of['hours']:.1f} | {of['node_hours']:.1f} "
                f"| {of['node_hours'] * PRICE_OF_NODE_HOUR:.2f} | {of['read']:.0f} |"
                for of in estimates(results)
            ),
            "",
            "It was computed from the figures above, and only they were measured. It assumes:",
            "",
            f"- A node is a machine like this one, with {on['cores']} cores. It costs "
            f"{PRICE_OF_NODE_HOUR:.2f} an hour in your currency; put in what you pay.",
            "- One node scores without Ray, more with it, at the rate that Ray reached on one "
            "machine. Images need nothing from each other, so twice the nodes score twice as "
            "many. That was not measured on more than one machine.",
            "- The storage gives each node what it reads. The last column is what it must give "
            "to all of them together; a shared disk that gives less is then what decides.",
            f"- A slide has {FIELDS_ON_SLIDE:,} fields of tissue, about 2.3 square centimetres, "
            "and each is scored by one node. Reading a real slide may be slower than reading a "
            "drawn one.",
            "- Nodes start at once and none is lost. One that is lost costs the work that it had "
            "in hand.",
            "",
        ]
    )


def plot(results: dict[str, Any]) -> bytes:
    """Draw throughput and memory over the size of the archive, as SVG."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    runs = results["runs"]
    for (engine, workers), colour in zip(
        dict.fromkeys((run["engine"], run["workers"]) for run in runs), COLOURS, strict=False
    ):
        of = [run for run in runs if (run["engine"], run["workers"]) == (engine, workers)]
        images = [run["images"] for run in of]
        label = f"{engine}, {workers} worker{'s' * (workers > 1)}"
        rates = [run["images"] / run["seconds"] for run in of]
        left.plot(images, rates, "o-", color=colour, markersize=4, label=label)
        right.plot(images, [run["resident_mb"] for run in of], "o-", color=colour, markersize=4)
    limits = [float(np.mean([r["limit"] for r in runs if r["images"] == n])) for n in images]
    left.plot(images, limits, "--", color="black", linewidth=1, label="limit, in process")
    for axes, label in ((left, "images a second, start included"), (right, "memory, MB")):
        axes.set_xscale("log")
        axes.set_xlabel("images")
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(fontsize=7, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
