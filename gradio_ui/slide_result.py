"""What is shown of a whole slide: overview with heat map, best fields and links, as HTML."""

from collections.abc import Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

from bulk.slides.exports import to_csv, to_geojson
from bulk.slides.heat_map import HeatMap
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import Slide, SlideFacts
from bulk.slides.summary import EXPLORATORY, Summary
from gradio_ui import verdict
from gradio_ui.batch_result import download_links
from gradio_ui.picture import SMALL, data_url

# Fields shown as pictures.
SHOWN = 8
IN_QUPATH = (
    "The GeoJSON opens in QuPath 0.5 or later: open the slide there, then drag the file onto it, "
    "or take it with File, Import objects from file. Each field is a tile with its probability, "
    "warnings and model."
)


def shown(scored: ScoredField, slide: Slide) -> dict[str, Any]:
    """Return a field as `gradio_ui.heat_map_view.slide` takes it."""
    tile, answer = scored
    return {
        "x": tile.x / slide.width,
        "y": tile.y / slide.height,
        "width": tile.width / slide.width,
        "height": tile.height / slide.height,
        "strength": round(2 * answer.probability - 1, 3),
        "verdict": answer.verdict,
        "caption": caption(scored),
        "picture": data_url(small(slide.field(tile)), "image/jpeg"),
    }


def caption(scored: ScoredField) -> str:
    """Say what came of a field, and where it lies."""
    tile, answer = scored
    said: str = answer.verdict
    if answer.verdict != "rejected":
        said += f", probability of malignancy {answer.probability:.0%}"
    return f"{said}; row {tile.row}, column {tile.column} (pixel {tile.x}, {tile.y})"


def small(pixels: np.ndarray) -> bytes:
    """Make a JPEG of at most `gradio_ui.picture.SMALL` pixels."""
    shrink = min(1, *(most / side for most, side in zip(SMALL, pixels.shape[1::-1], strict=True)))
    return encoded(
        cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), ".jpg"
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


def gallery(fields: Sequence[dict[str, Any]]) -> str:
    """Show the fields of the highest probability of malignancy, the highest first."""
    used = [field for field in fields if field["verdict"] != "rejected"]
    highest = sorted(used, key=lambda field: field["strength"], reverse=True)[:SHOWN]
    if not highest:
        return ""
    figures = "".join(
        f'<figure><img alt="" src="{field["picture"]}">'
        f"<figcaption>{escape(field['caption'])}</figcaption></figure>"
        for field in highest
    )
    return (
        "<h3>Fields with the highest probability of malignancy</h3>"
        f'<div class="heatmaps">{figures}</div>'
    )
