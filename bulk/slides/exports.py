"""A slide's fields for other programs: a table, and GeoJSON for QuPath."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from bulk import tables
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import SlideFacts, Tile
from bulk.slides.summary import EXPLORATORY
from bulk.tables import ANSWER, MODEL, cells
from handler import RESEARCH_ONLY
from handler.heatmap import BENIGN_RGB, MALIGNANT_RGB

COLUMNS = (*Tile._fields, "scale_from", *ANSWER, *MODEL)
COLOURS = {
    "malignant": [int(part) for part in MALIGNANT_RGB],
    "benign": [int(part) for part in BENIGN_RGB],
    "uncertain": [245, 245, 245],
    "rejected": [128, 128, 128],
}


def to_csv(scored: Sequence[ScoredField], slide: SlideFacts) -> bytes:
    """Return a row for each field; places and sizes are in pixels of level 0."""
    rows = (
        {**tile._asdict(), "scale_from": slide.scale.source, **cells(answer)}
        for tile, answer in scored
    )
    return tables.to_csv(COLUMNS, rows)


def to_geojson(scored: Sequence[ScoredField], slide: SlideFacts) -> bytes:
    """Return the fields as tiles that QuPath 0.5 and later shows with all that is said of them.

    Coordinates are pixels of level 0 from the corner that QuPath counts from. A field of a slide
    has the same id in every run.
    Reference: `PathObjectTypeAdapters` in QuPath's source.
    """
    collection = {
        "type": "FeatureCollection",
        "description": EXPLORATORY,
        "features": [_feature(each, slide) for each in scored],
    }
    return json.dumps(collection).encode("utf-8")


def _feature(scored: ScoredField, slide: SlideFacts) -> dict[str, Any]:
    tile, answer = scored
    left, top = tile.x - slide.origin[0], tile.y - slide.origin[1]
    right, bottom = left + tile.width, top + tile.height
    corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    place = f"{tile.x},{tile.y},{tile.width},{tile.height}"
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"breakhis:{slide.identity}#{place}")),
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {
            "objectType": "tile",
            "name": f"row {tile.row}, column {tile.column}",
            "classification": {"name": answer.verdict, "color": COLOURS[answer.verdict]},
            "measurements": {
                "Probability of malignancy": answer.probability,
                "Decision": answer.decision,
            },
            # QuPath keeps nothing but plain values.
            "metadata": {
                "Warnings": " ".join(warning.code for warning in answer.warnings) or "none",
                "Model": f"{answer.model.name} {answer.model.version}",
                "Scale": str(slide.scale),
                "Note": f"{EXPLORATORY} {RESEARCH_ONLY}",
            },
        },
    }
