"""Where on a slide there is tissue to judge."""

import math
from collections.abc import Iterator

import numpy as np

from bulk.errors import SlideUnusable
from bulk.slides.options import SlideOptions
from bulk.slides.region import Region
from bulk.slides.slide import Slide, Tile
from handler.tissue import is_stained, optical_densities


def find_tiles(
    slide: Slide,
    overview: np.ndarray,
    min_tissue: float,
    options: SlideOptions = SlideOptions(),
    region: Region | None = None,
) -> list[Tile]:
    """Lay a grid of fields over the slide and keep those with tissue.

    What is stained is told as for a single field (`handler.tissue`), against the glass of
    the whole slide.

    Parameters
    ----------
    slide : Slide
    overview : ndarray of uint8, shape (height, width, 3)
        From `Slide.overview`.
    min_tissue : float
        Share of a field that must be stained, 0 to 1, if the options don't say.
    options : SlideOptions, optional
        Of which overlap and tissue are used.
    region : Region, optional
        In which a field's centre must lie.

    Returns
    -------
    list of Tile
        Row by row.

    Raises
    ------
    SlideUnusable
        Nothing there is stained.
    """
    stained = is_stained(optical_densities(overview))
    least = min_tissue if options.min_tissue is None else options.min_tissue
    tiles = [
        tile
        for tile in _grid(slide, options.overlap)
        if (region is None or _is_inside(tile, region, slide))
        and _share(stained, tile, slide) >= least
    ]
    if not tiles:
        where = " in the region" if region else ""
        raise SlideUnusable(
            f"No tissue was found on {slide.name}{where}. Use a slide of an H&E-stained biopsy."
        )
    return tiles


def _grid(slide: Slide, overlap: float) -> Iterator[Tile]:
    """Lay fields side by side or over each other, until the slide is covered."""
    width, height = slide.field_size
    across, down = width * (1 - overlap), height * (1 - overlap)
    for row in range(1 + max(0, math.ceil((slide.height - height) / down))):
        for column in range(1 + max(0, math.ceil((slide.width - width) / across))):
            x, y = round(column * across), round(row * down)
            yield Tile(row, column, x, y, round(width), round(height))


def _is_inside(tile: Tile, region: Region, slide: Slide) -> bool:
    left, top = slide.facts.origin
    return region.holds(tile.x + tile.width / 2 - left, tile.y + tile.height / 2 - top)


def _share(stained: np.ndarray, tile: Tile, slide: Slide) -> float:
    """Return how much of a field is stained; what lies beyond the slide is not."""
    rows, columns = stained.shape
    across, down = columns / slide.width, rows / slide.height
    left, top = math.floor(tile.x * across), math.floor(tile.y * down)
    right, bottom = (tile.x + tile.width) * across, (tile.y + tile.height) * down
    width, height = max(1, math.ceil(right) - left), max(1, math.ceil(bottom) - top)
    return float(stained[top : top + height, left : left + width].sum() / (width * height))
