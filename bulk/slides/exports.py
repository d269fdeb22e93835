"""A slide's fields for other programs: a table, and GeoJSON for QuPath."""

import json
from collections.abc import Sequence
from typing import Any

from bulk import tables
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import Tile
from bulk.slides.summary import EXPLORATORY
from bulk.tables import ANSWER, MODEL, cells
from handler.heatmap import BENIGN_RGB, MALIGNANT_RGB

COLUMNS = (*Tile._fields, *ANSWER, *MODEL)
COLOURS = {
    "malignant": [int(part) for part in MALIGNANT_RGB],
    "benign": [int(part) for part in BENIGN_RGB],
    "uncertain": [245, 245, 245],
    "rejected": [128, 128, 128],
}


def to_csv(scored: Sequence[ScoredField]) -> bytes:
    """Return a row for each field; places and sizes are in pixels of level 0."""
    rows = ({**tile._asdict(), **cells(answer)} for tile, answer in scored)
    return tables.to_csv(COLUMNS, rows)


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
