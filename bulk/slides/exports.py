"""A slide's fields for other programs: a table, and GeoJSON for QuPath."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from bulk.slides.scoring import ScoredField
from bulk.slides.summary import EXPLORATORY
from handler import RESEARCH_ONLY
from handler.heatmap import BENIGN_RGB, MALIGNANT_RGB

COLUMNS = (
    *("row", "column", "x", "y", "width", "height"),
    *("verdict", "label", "probability", "decision", "warnings"),
    *("model", "version", "sha256", "note"),
)
COLOURS = {
    "malignant": [int(part) for part in MALIGNANT_RGB],
    "benign": [int(part) for part in BENIGN_RGB],
    "uncertain": [245, 245, 245],
    "rejected": [128, 128, 128],
}


def to_csv(scored: Sequence[ScoredField]) -> bytes:
    """Return a row for each field; places and sizes are in pixels of level 0."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for tile, answer in scored:
        warnings = " ".join(warning.code for warning in answer.warnings)
        writer.writerow(
            [
                *tile,
                *(answer.verdict, answer.label, answer.probability, answer.decision, warnings),
                *(answer.model.name, answer.model.version, answer.model.sha256),
                RESEARCH_ONLY,
            ]
        )
    # Spreadsheets take a file without a mark for something other than UTF-8.
    return text.getvalue().encode("utf-8-sig")


def to_geojson(scored: Sequence[ScoredField]) -> bytes:
    """Return the fields as tiles that QuPath 0.4 and later reads.

    Coordinates are pixels of level 0 from the upper left corner, as QuPath counts them.
    Reference: `PathObjectTypeAdapters` in QuPath's source.
    """
    collection = {
        "type": "FeatureCollection",
        "description": EXPLORATORY,
        "features": [_feature(each) for each in scored],
    }
    return json.dumps(collection).encode("utf-8")


def _feature(scored: ScoredField) -> dict[str, Any]:
    tile, answer = scored
    left, top = tile.x, tile.y
    right, bottom = left + tile.width, top + tile.height
    corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {
            "objectType": "tile",
            "classification": {"name": answer.verdict, "color": COLOURS[answer.verdict]},
            "measurements": {
                "Probability of malignancy": answer.probability,
                "Decision": answer.decision,
            },
        },
    }
