"""What is shown of a whole slide: its heat map, counts, files, and highest-scoring fields."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bulk.slides.exports import to_csv, to_geojson
from bulk.slides.heat_map import HeatMap
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import Slide, Tile
from bulk.slides.summary import EXPLORATORY, Summary
from gradio_ui import heat_map_view, picture, verdict
from gradio_ui.errors import ModelChanged

# Fields that are judged: a visitor waits for about a minute, and others get through meanwhile.
MAX_FIELDS = 1000
# Fields shown as pictures.
SHOWN = 8
IN_QUPATH = (
    "The GeoJSON opens in QuPath 0.5 or later: open the slide there, then drag the file onto it, "
    "or choose File, Import objects from file. Each field becomes a tile with its probability, "
    "warnings and model."
)


def spread(tiles: Sequence[Tile]) -> list[Tile]:
    """Choose at most `MAX_FIELDS` of the places, evenly."""
    chosen = np.linspace(0, len(tiles) - 1, min(MAX_FIELDS, len(tiles))).round().astype(int)
    return [tiles[index] for index in chosen]


class SlideRun:
    """A slide's fields so far; see `gradio_ui.run.Run`.

    Parameters
    ----------
    slide : Slide
        Open while fields are added.
    overview : ndarray of uint8, shape (height, width, 3)
    tiles : sequence of Tile
        Fields with tissue, of which those in `chosen` are to be judged.
    """

    def __init__(self, slide: Slide, overview: np.ndarray, tiles: Sequence[Tile]) -> None:
        self.chosen = spread(tiles)
        self.total = len(self.chosen)
        self.scored: list[ScoredField] = []
        self._slide = slide
        self._found = len(tiles)
        self._heat_map = HeatMap(slide, overview)
        self._shown: list[dict[str, Any]] = []
        self._overview = picture.data_url(picture.jpeg(overview))
        self._ratio = overview.shape[1] / overview.shape[0]

    def add(self, scored: ScoredField) -> None:
        """Take one more field."""
        (tile, answer), slide = scored, self._slide
        self.scored.append(scored)
        self._heat_map.add(scored)
        said: str = answer.verdict
        if answer.verdict != "rejected":
            said += f", probability of malignancy {answer.probability:.0%}"
        self._shown.append(
            {
                "x": tile.x / slide.width,
                "y": tile.y / slide.height,
                "width": tile.width / slide.width,
                "height": tile.height / slide.height,
                "strength": round(2 * answer.probability - 1, 3),
                "verdict": answer.verdict,
                "caption": f"{said}; row {tile.row}, column {tile.column} "
                f"(pixel {tile.x}, {tile.y})",
                "picture": picture.data_url(picture.jpeg(slide.field(tile), picture.SMALL)),
            }
        )

    def view(self) -> dict[str, Any]:
        """Return what the heat map view shows."""
        alt = f"The slide {self._slide.name}"
        return heat_map_view.slide(self._overview, alt, self._ratio, self._shown)

    def conclude(self) -> tuple[str, str]:
        """Return counts, which are no verdict of the slide, and links to files, as HTML."""
        if len({each.answer.model.sha256 for each in self.scored}) > 1:
            raise ModelChanged
        together, facts = Summary.of(self.scored), self._slide.facts
        lines = [*together.lines(), f"Scale: {facts.scale}.", EXPLORATORY]
        if len(self.scored) < self._found:
            lines.insert(
                1,
                f"{self._found} fields hold tissue; {len(self.scored)} of them were judged. The "
                "command breakhis slide judges all.",
            )
        footer = f"Model {together.model.name} {together.model.version}."
        geojson, table = to_geojson(self.scored, facts), to_csv(self.scored, facts)
        links = (
            ("heatmap.png", "image/png", self._heat_map.to_png(), "Heat map as PNG"),
            ("fields.geojson", "application/geo+json", geojson, "GeoJSON for QuPath"),
            ("fields.csv", "text/csv", table, "Table as CSV"),
        )
        return (
            verdict.box("waiting", "Fields of the slide", lines, footer=footer),
            f"{picture.download_links(links)}<p>{IN_QUPATH}</p>",
        )

    def gallery(self) -> str:
        """Return the fields of the highest probability of malignancy, the highest first."""
        used = [field for field in self._shown if field["verdict"] != "rejected"]
        highest = sorted(used, key=lambda field: field["strength"], reverse=True)[:SHOWN]
        figures = (picture.figure(field["picture"], field["caption"]) for field in highest)
        return picture.gallery("Fields with the highest probability of malignancy", "", figures)
