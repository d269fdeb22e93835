"""Put the measurements of a benchmark together, as figures, tables and a plot."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

# Okabe and Ito's, which colour-blind people can tell apart.
COLOURS = ("#D55E00", "#0072B2", "#56B4E9", "#999999")


def summarise(measured: dict[str, Any], own: str) -> dict[str, Any]:
    """Reduce the turns of each service to medians, and add the ratios.

    Parameters
    ----------
    measured : dict
        What `scripts.benchmark.measure` collects.
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
        "rate_16_to_best_peer": ours[16]["rate"] / max(peer[16]["rate"] for peer in peers),
        "rate_16_to_limit": ours[16]["rate"] / limit["rate"],
        "p50_1_to_best_peer": ours[1]["p50"] / min(peer[1]["p50"] for peer in peers),
        "p50_1_to_limit": ours[1]["p50"] / limit["milliseconds"],
        "soak_p99_to_p50": soak["p99"] / soak["p50"],
        "jpeg_to_png": float(np.median(formats["JPEG"]) / np.median(formats["PNG"])),
        "form_to_single_requests": form["seconds"] / form["one_by_one_seconds"],
    }
    return {**measured, "services": services, "limit": limit, "ratios": ratios, "own": own}


def show(results: dict[str, Any], console: Console) -> None:
    """Print the results as tables."""
    machine, limit, own = results["machine"], results["limit"], results["own"]
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores ({' '.join(machine['instructions'])}); "
        f"engine {results['engine']}; {results['images']}"
    )
    table = Table(title="Requests of one image")
    headings = ("connections", "requests/s", "p50 ms", "p95 ms", "p99 ms", "errors")
    for heading in ("service", *headings, "ours / this", "of the limit"):
        table.add_column(heading, justify="left" if heading == "service" else "right")
    for name, service in results["services"].items():
        for connections, seen in service["load"].items():
            ours = results["services"][own]["load"][connections]["rate"]
            table.add_row(
                name,
                str(connections),
                f"{seen['rate']:.1f}",
                *(f"{seen[p]:.0f}" for p in ("p50", "p95", "p99")),
                str(seen["errors"]),
                f"{ours / seen['rate']:.2f}" if seen["rate"] else "",
                f"{seen['rate'] / limit['rate']:.2f}",
            )
        table.add_section()
    table.add_row(
        "limit, in process", "", f"{limit['rate']:.1f}", f"{limit['milliseconds']:.0f} (one)"
    )
    console.print(table)
    table = Table("service", "start to first answer, s", "memory, MB", title="Start and memory")
    for name, service in results["services"].items():
        sizes = service["resident_mb"]
        parts = " + ".join(f"{program} {size:.0f}" for program, size in sizes.items())
        total = f"{sum(sizes.values()):.0f} ({parts})"
        table.add_row(name, f"{service['start_seconds']:.1f}", total)
    console.print(table)
    soak, form = results["soak"], results["form"]
    console.print(
        f"{soak['seconds']:.0f} s at 64 connections: {soak['errors']} errors, "
        f"p50 {soak['p50']:.0f} ms, p99 {soak['p99']:.0f} ms\n"
        f"A form of {form['images']} images: {form['seconds']:.2f} s; as single requests on one "
        f"connection {form['one_by_one_seconds']:.2f} s"
    )
    table = Table("ratio", "measured", title="Ratios")
    for name, value in results["ratios"].items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)


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
