"""Where on a slide there is tissue to judge."""

import math
from collections.abc import Iterator

import numpy as np

from bulk.errors import SlideUnusable
from bulk.slides.slide import Slide, Tile
from handler.tissue import is_stained, optical_densities


def find_tiles(slide: Slide, overview: np.ndarray, min_tissue: float) -> list[Tile]:
    """Lay a grid of fields over the slide and keep those with tissue.

    What is stained is told as for a single field (`handler.tissue`), against the glass of
    the whole slide.

    Parameters
    ----------
    slide : Slide
    overview : ndarray of uint8, shape (height, width, 3)
        From `Slide.overview`.
    min_tissue : float
        Share of a field that must be stained, 0 to 1.

    Returns
    -------
    list of Tile
        Row by row.

    Raises
    ------
    SlideUnusable
        Nothing on the slide is stained.
    """
    stained = is_stained(optical_densities(overview))
    tiles = [tile for tile in _grid(slide) if _share(stained, tile, slide) >= min_tissue]
    if not tiles:
        raise SlideUnusable(
            f"No tissue was found on {slide.name}. Use a slide of an H&E-stained biopsy."
        )
    return tiles


def _grid(slide: Slide) -> Iterator[Tile]:
    across, down = slide.field_size
    width, height = round(across), round(down)
    for row in range(math.ceil(slide.height / down)):
        for column in range(math.ceil(slide.width / across)):
            yield Tile(row, column, round(column * across), round(row * down), width, height)


def _share(stained: np.ndarray, tile: Tile, slide: Slide) -> float:
    """Return how much of a field is stained; what lies beyond the slide is not."""
    rows, columns = stained.shape
    across, down = columns / slide.width, rows / slide.height
    left, top = math.floor(tile.x * across), math.floor(tile.y * down)
    right, bottom = (tile.x + tile.width) * across, (tile.y + tile.height) * down
    width, height = max(1, math.ceil(right) - left), max(1, math.ceil(bottom) - top)
    return float(stained[top : top + height, left : left + width].sum() / (width * height))
