"""Put the measurements of a benchmark together, as figures, tables and a plot."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

# What this service may need to its first answer, and of memory, front end and worker.
MAX_START_SECONDS, MAX_RESIDENT_MB = 30, 1500

# Okabe and Ito's, which colour-blind people can tell apart.
COLOURS = ("#D55E00", "#0072B2", "#56B4E9", "#999999")

RATIOS = {
    "rate_16_to_best_peer": "requests/s at 16 connections, to the best peer",
    "rate_16_to_limit": "requests/s at 16 connections, to the limit",
    "p50_1_to_best_peer": "p50 of one connection, to the best peer",
    "p50_1_to_limit": "p50 of one connection, to one image in process",
    "soak_p99_to_p50": "long run: p99 to p50",
    "jpeg_to_png": "requests/s of JPEG to PNG, 16 connections",
    "form_to_single_requests": "time of one form to as many single requests",
}


def summarise(measured: dict[str, Any], own: str) -> dict[str, Any]:
    """Reduce the turns of each service to medians, and add the ratios.

    Parameters
    ----------
    measured : dict
        What `scripts.bench.measure` collects.
    own : str
        Name of the service that the others are compared with.
    """
    services = {}
    for name, turns in measured["services"].items():
        load = {
            connections: {
                figure: float(np.median([turn["load"][connections][figure] for turn in turns]))
                for figure in ("rate", "p50", "p95", "p99")
            }
            | {"errors": sum(turn["load"][connections]["errors"] for turn in turns)}
            for connections in turns[0]["load"]
        }
        services[name] = {
            "load": load,
            "rates": {c: [turn["load"][c]["rate"] for turn in turns] for c in load},
            "start_seconds": float(np.median([turn["start_seconds"] for turn in turns])),
            "resident_mb": turns[-1]["resident_mb"],
        }
    limit = {
        figure: float(np.median([turn[figure] for turn in measured["limit"]]))
        for figure in ("rate", "milliseconds")
    }
    ours = services[own]["load"]
    peers = [service["load"] for name, service in services.items() if name != own]
    formats, form, soak = (measured[key] for key in ("formats", "form", "soak"))
    ratios = {
        "rate_16_to_best_peer": ours["16"]["rate"] / max(peer["16"]["rate"] for peer in peers),
        "rate_16_to_limit": ours["16"]["rate"] / limit["rate"],
        "p50_1_to_best_peer": ours["1"]["p50"] / min(peer["1"]["p50"] for peer in peers),
        "p50_1_to_limit": ours["1"]["p50"] / limit["milliseconds"],
        "soak_p99_to_p50": soak["p99"] / soak["p50"],
        "jpeg_to_png": float(np.median(formats["JPEG"]) / np.median(formats["PNG"])),
        "form_to_single_requests": form["seconds"] / form["one_by_one_seconds"],
    }
    return {**measured, "services": services, "limit": limit, "ratios": ratios, "own": own}


def page(results: dict[str, Any]) -> str:
    """Return the results as a page of Markdown."""
    text = io.StringIO()
    console = Console(file=text, width=200)
    machine, soak, form = (results[key] for key in ("machine", "soak", "form"))
    console.print(
        f"# Speed, as measured\n\n{machine['cpu']}, {machine['cores']} cores "
        f"({' '.join(machine['instructions'])}). Engine: {results['engine']}. "
        f"Images: {results['images']}. "
        "Load: Locust, from a process of its own on the same cores, each connection sending one "
        "image after the other. Settings of the peers: "
        + "; ".join(f"{name} {setting}" for name, setting in results["peer_settings"].items())
        + ". The peers compute features alone, from 224 x 224 pixels: no SVM, no checks.\n\n"
        "    make bench\n\n![Images a second](bench.svg)\n"
    )
    console.print(_requests(results))
    console.print()
    console.print(_start_and_memory(results))
    own = results["services"][results["own"]]
    kept = (
        own["start_seconds"] <= MAX_START_SECONDS
        and sum(own["resident_mb"].values()) <= MAX_RESIDENT_MB
    )
    console.print(
        f"\nBounds of this service: {MAX_START_SECONDS} s and {MAX_RESIDENT_MB} MB, "
        f"{'kept' if kept else 'EXCEEDED'}."
    )
    console.print()
    console.print(_engines(results))
    console.print(
        f"\n{soak['seconds']:.0f} s at {soak['connections']} connections: {soak['errors']} errors, "
        f"p50 {soak['p50']:.0f} ms, p99 {soak['p99']:.0f} ms. A form of {form['images']} images: "
        f"{form['seconds']:.2f} s; the same as single requests on one connection: "
        f"{form['one_by_one_seconds']:.2f} s.\n"
    )
    table = _table("ratio", "measured")
    for name, words in RATIOS.items():
        table.add_row(words, f"{results['ratios'][name]:.2f}")
    console.print(table)
    return "\n".join([*(line.rstrip() for line in text.getvalue().splitlines()), ""])


def _requests(results: dict[str, Any]) -> Table:
    limit = results["limit"]
    ours = results["services"][results["own"]]["load"]
    table = _table(
        *("service", "connections", "requests/s", "p50 ms", "p95 ms", "p99 ms", "errors"),
        *("ours / this", "of the limit"),
    )
    for name, service in results["services"].items():
        for connections, seen in service["load"].items():
            table.add_row(
                name,
                connections,
                f"{seen['rate']:.1f}",
                *(f"{seen[p]:.0f}" for p in ("p50", "p95", "p99")),
                str(seen["errors"]),
                f"{ours[connections]['rate'] / seen['rate']:.2f}" if seen["rate"] else "",
                f"{seen['rate'] / limit['rate']:.2f}",
            )
    one = f"{limit['milliseconds']:.0f}"
    table.add_row("limit, in process: one image at a time", "", "", one, *[""] * 5)
    table.add_row("limit, in process: many", "", f"{limit['rate']:.1f}", *[""] * 5, "1.00")
    return table


def _start_and_memory(results: dict[str, Any]) -> Table:
    table = _table("service", "start to first answer, s", "memory, MB")
    for name, service in results["services"].items():
        sizes = service["resident_mb"]
        parts = " + ".join(f"{program} {size:.0f}" for program, size in sizes.items())
        table.add_row(
            name, f"{service['start_seconds']:.1f}", f"{sum(sizes.values()):.0f}: {parts}"
        )
    return table


def _engines(results: dict[str, Any]) -> Table:
    table = _table(
        "engine, in process",
        *("one forward pass, ms", "forward passes/s", "one image, ms", "images/s"),
    )
    for engine in results["engines"]:
        figures = ("forward_milliseconds", "forward_rate", "milliseconds", "rate")
        table.add_row(engine["engine"], *(f"{engine[name]:.1f}" for name in figures))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=MARKDOWN)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left")
    return table


def plot(results: dict[str, Any]) -> bytes:
    """Draw requests a second by connections, as SVG."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    services = results["services"]
    width = 0.8 / len(services)
    for i, ((name, service), colour) in enumerate(zip(services.items(), COLOURS, strict=True)):
        rates = [seen["rate"] for seen in service["load"].values()]
        axes.bar(np.arange(len(rates)) + i * width, rates, width, label=name, color=colour)
    limit = results["limit"]["rate"]
    axes.axhline(limit, color="black", linewidth=1, linestyle="--")
    axes.annotate("limit, in process", (0, limit), xytext=(-10, 3), textcoords="offset points")
    connections = list(services[results["own"]]["load"])
    axes.set_xticks(np.arange(len(connections)) + 0.4 - width / 2, connections)
    axes.set_xlabel("connections")
    axes.set_ylabel("images a second")
    axes.set_ylim(0, 1.15 * limit)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(services), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
