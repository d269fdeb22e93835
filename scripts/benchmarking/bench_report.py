"""Put the measurements of the benchmark together, as figures, a page and a plot."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.reports import fill_in, lines

OWN = "this service"
# What this service may need to its first answer, and of memory, front end and worker.
MAX_START_SECONDS, MAX_RESIDENT_MB = 30, 1500


def medians(turns: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Reduce the turns of each service to medians."""
    services = {}
    for name, own in turns.items():
        loads = {c: [turn["load"][c] for turn in own] for c in own[0]["load"]}
        services[name] = {
            "load": {
                c: {figure: median(load, figure) for figure in ("rate", "p50", "p95", "p99")}
                | {"errors": sum(each["errors"] for each in load)}
                for c, load in loads.items()
            },
            "rates": {c: [each["rate"] for each in load] for c, load in loads.items()},
            "start_seconds": median(own, "start_seconds"),
            "resident_mb": own[-1]["resident_mb"],
        }
    return services


def median(measured: Sequence[dict[str, Any]], figure: str) -> float:
    """Return the median of one figure."""
    return float(np.median([each[figure] for each in measured]))


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Compare the service with its peers, the limit and itself."""
    formats, form, soak, limit = (results[key] for key in ("formats", "form", "soak", "limit"))
    loads = {name: service["load"] for name, service in results["services"].items()}
    ours = loads.pop(OWN)
    rate, p50 = ours["16"]["rate"], ours["1"]["p50"]
    less = [loads.pop(name) for name in results["less_work"]]
    to_peers = {}
    for whom, peers in (("the same work", list(loads.values())), ("less work", less)):
        if peers:
            best_rate = max(peer["16"]["rate"] for peer in peers)
            best_p50 = min(peer["1"]["p50"] for peer in peers)
            to_peers[f"requests/s at 16 connections, to the best on {whom}"] = rate / best_rate
            to_peers[f"p50 of one connection, to the best on {whom}"] = p50 / best_p50
    jpeg, png = (float(np.median(formats[name])) for name in ("JPEG", "PNG"))
    return {
        **to_peers,
        "requests/s at 16 connections, to the limit": rate / limit["rate"],
        "p50 of one connection, to one image in process": p50 / limit["milliseconds"],
        "long run: p99 to p50": soak["p99"] / soak["p50"],
        "requests/s of JPEG to PNG, 16 connections": jpeg / png,
        "time of one form to as many single requests": form["seconds"] / form["one_by_one_seconds"],
    }


def kind(machine: dict[str, Any]) -> str:
    """Name a kind of machine, as files of what was measured on it are called."""
    return re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower())


def readme_row(results: dict[str, Any]) -> str:
    """Return the README's row for a kind of machine."""
    on, load = results["machine"], results["services"][OWN]["load"]
    return (
        f"| service on {on['cpu']}, {on['cores']} cores ({' '.join(on['instructions'])}) | "
        f"{load['16']['rate']:.1f} images a second at 16 connections, "
        f"{load['1']['p50']:.0f} ms (median) for one request alone | `make bench` |"
    )


def page(results: dict[str, Any]) -> str:
    """Write the results as Markdown."""
    return fill_in(
        Path(__file__).parent / "pages" / "bench.md",
        own=OWN,
        max_start_seconds=MAX_START_SECONDS,
        max_resident_mb=MAX_RESIDENT_MB,
        ratios=ratios(results),
        readme_row=readme_row(results),
        kind=kind(results["machine"]),
        **results,
    )


def plot(results: dict[str, Any]) -> bytes:
    """Draw requests a second by connections, as SVG."""
    rates = {
        name: (list(service["load"]), [seen["rate"] for seen in service["load"].values()])
        for name, service in results["services"].items()
    }
    connections = list(results["services"][OWN]["load"])
    limit = [results["limit"]["rate"]] * len(connections)
    return lines(
        {"images a second": {**rates, "limit, in process": (connections, limit)}},
        xlabel="connections",
    )
