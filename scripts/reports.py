"""What measurements write for people to read: pages of Markdown, and plots as SVG."""

import argparse
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from handler.whole_file import write_whole
from scripts.paths import REPORTS, add_data_argument

# Okabe and Ito's, which colour-blind people can tell apart.
VERMILLION, BLUE, SKY_BLUE, GREEN, GREY = "#D55E00", "#0072B2", "#56B4E9", "#009E73", "#999999"
# The same figures give the same file: fixed ids, and no date (see `svg`).
matplotlib.rcParams.update({"svg.hashsalt": "breakhis", "svg.fonttype": "none", "font.size": 9})

PAGES = Environment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
)
PAGES.filters["format"] = format
# The x and the y of a line's points.
Line = tuple[Sequence[float], Sequence[float]]


def fill_in(template: Path, **figures: Any) -> str:
    """Fill in a page, a Jinja template; ``x|format`` is Python's `format`."""
    return PAGES.from_string(template.read_text("utf-8")).render(figures)


def lines(panels: Mapping[str, Mapping[str, Line]], style: str = "o-", **axes: Any) -> bytes:
    """Draw lines in panels side by side, as SVG.

    Parameters
    ----------
    panels : mapping of str to mapping of str to Line
        What the y axis shows, and its lines by name; one that begins with "limit" is dashed.
    style : str
        Of the other lines, as `matplotlib.axes.Axes.plot` takes it.
    **axes
        As `matplotlib.axes.Axes.set` takes it.
    """
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    for plot, (label, drawn) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        colours = (VERMILLION, BLUE, SKY_BLUE, GREEN, GREY, "black")
        for (name, line), colour in zip(drawn.items(), colours, strict=False):
            plot.plot(
                *line,
                "--" if name.startswith("limit") else style,
                color=colour,
                markersize=4,
                label=name,
            )
        top = max(max(y) for _, y in drawn.values())
        plot.set(ylabel=label, ylim=(0, 1.15 * top), **axes)
        plot.spines[["top", "right"]].set_visible(False)
    names = figure.axes[0].get_legend_handles_labels()
    figure.legend(*names, loc="outside upper center", ncols=3, frameon=False)
    return svg(figure)


def svg(figure: Figure) -> bytes:
    """Return a plot as SVG."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def command_line(description: str | None) -> argparse.ArgumentParser:
    """Return the options that all measurements have."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    add_data_argument(parser)
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder for what is written")
    return parser


def report(
    name: Callable[[dict[str, Any]], str],
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    page: Callable[[dict[str, Any]], str],
    plot: Callable[[dict[str, Any]], bytes],
) -> None:
    """Measure, write the figures with their page and plot side by side, and print the page.

    Parameters
    ----------
    name : callable
        From what was measured, to the files' name without ending.
    parser : argparse.ArgumentParser
    measure, page, plot : callable
    """
    args = parser.parse_args()
    results = measure(args)
    text = page(results)
    file = args.out / name(results)
    write_whole(file.with_name(f"{file.name}.json"), json.dumps(results, indent=1).encode())
    write_whole(file.with_name(f"{file.name}.svg"), plot(results))
    write_whole(file.with_name(f"{file.name}.md"), text.encode())
    print(text)
