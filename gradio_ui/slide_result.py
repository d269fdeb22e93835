"""What is shown of a whole slide: overview with heat map, best fields and links, as HTML."""

from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from bulk.slides.exports import to_csv, to_geojson
from bulk.slides.heat_map import HeatMap
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import SlideFacts
from bulk.slides.summary import EXPLORATORY, Summary
from gradio_ui import verdict
from gradio_ui.batch_result import download_links
from gradio_ui.picture import data_url, layers

# In percent: the heat map is drawn half transparent.
OPACITY = 100
LEGEND = (
    "Orange fields have a high probability of malignancy, blue ones a low one, pale ones neither. "
    "A line across: uncertain. A cross: rejected, unlike every field that the model learnt from."
)
IN_QUPATH = (
    "The GeoJSON opens in QuPath 0.5 or later: open the slide there, then drag the file onto it, "
    "or take it with File, Import objects from file. Each field is a tile with its probability, "
    "warnings and model."
)


def picture(overview: np.ndarray, heat_map: HeatMap, name: str) -> str:
    """Lay the heat map, as far as it has come, over the slide's overview.

    Parameters
    ----------
    overview : ndarray of uint8, shape (height, width, 3)
        RGB.
    heat_map : HeatMap
    name : str
        The file's, in plain text.
    """
    return layers(
        encoded(overview, ".jpg"),
        encoded(heat_map.layer, ".png"),
        opacity=OPACITY,
        shows=f"The slide {name}",
        heatmap_shows="Heat map: the probability of malignancy of each field",
        legend=LEGEND,
    )


def encoded(pixels: np.ndarray, format: str) -> bytes:
    """Encode RGB or RGBA pixels as ``.png`` or ``.jpg``."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _, picture = cv2.imencode(format, cv2.cvtColor(pixels, order))
    return picture.tobytes()


def summary(scored: Sequence[ScoredField], found: int, slide: SlideFacts) -> str:
    """Return the counts, which are no verdict of the slide, as HTML."""
    together = Summary.of(scored)
    lines = together.lines()
    if len(scored) < found:
        lines.append(
            f"{found} fields hold tissue; {len(scored)} of them were judged. The command line "
            "judges all: breakhis slide."
        )
    model = together.model
    return verdict.box(
        "waiting",
        "Fields of the slide",
        [*lines, f"Scale: {slide.scale}.", EXPLORATORY],
        footer=f"Model {model.name} {model.version}.",
    )


def downloads(scored: Sequence[ScoredField], heat_map: HeatMap, slide: SlideFacts) -> str:
    """Return links that hold heat map, GeoJSON and table themselves, and how to use them."""
    links = (
        ("heatmap.png", "image/png", heat_map.to_png(), "Heat map as PNG"),
        ("fields.geojson", "application/geo+json", to_geojson(scored, slide), "GeoJSON for QuPath"),
        ("fields.csv", "text/csv", to_csv(scored, slide), "Table as CSV"),
    )
    return f"{download_links(links)}<p>{IN_QUPATH}</p>"


def gallery(highest: Sequence[tuple[ScoredField, bytes]]) -> str:
    """Show the fields of the highest probability, each with its JPEG."""
    if not highest:
        return ""
    figures = "".join(
        f'<figure><img alt="Field in row {each.tile.row}, column {each.tile.column}" '
        f'src="{data_url(jpeg, "image/jpeg")}"><figcaption>{each.answer.probability:.0%}, '
        f"{escape(each.answer.verdict)}; row {each.tile.row}, column {each.tile.column} "
        f"(pixel {each.tile.x}, {each.tile.y})</figcaption></figure>"
        for each, jpeg in highest
    )
    return (
        "<h3>Fields with the highest probability of malignancy</h3>"
        f'<div class="heatmaps">{figures}</div>'
    )
