"""Draws slides: pyramids with drawn fields at known places on white glass, however large."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

TILE = 512
WHITE = np.full((TILE, TILE, 3), 255, np.uint8)
GLASS = zlib.compress(WHITE.tobytes())
APERIO = "Aperio Image Library v12.0.0\r\n{width}x{height} |AppMag = 20|MPP = {scale}"


def write_slide(
    path: Path,
    size: tuple[int, int],
    regions: Mapping[tuple[int, int], np.ndarray],
    *,
    scale: float | None = 0.49,
    levels: tuple[int, ...] = (1, 4),
    aperio: bool = False,
    sparse: bool = False,
) -> Path:
    """Write a tiled, pyramidal TIFF, losslessly.

    Parameters
    ----------
    path : Path
    size : tuple of 2 int
        Width and height of level 0, in pixels.
    regions : mapping of tuple of 2 int to ndarray of uint8, shape (height, width, 3)
        What lies on the glass, by its upper left corner on level 0.
    scale : float or None
        Micrometres a pixel; None for a slide that does not say.
    levels : tuple of int
        By how much each is smaller than level 0.
    aperio : bool
        Whether to describe it as Aperio's scanners do.
    sparse : bool
        Whether to store nothing where there is glass.
    """
    width, height = size
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for shrink in levels:
            tags: dict[str, Any] = {}
            if aperio:
                tags["description"] = APERIO.format(width=width, height=height, scale=scale)
            elif scale is not None:
                tags["resolution"] = (10_000 / scale / shrink,) * 2
                tags["resolutionunit"] = "CENTIMETER"
            file.write(
                _tiles(size, regions, shrink, b"" if sparse else GLASS),
                shape=(-(-height // shrink), -(-width // shrink), 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(shrink > 1),
                metadata=None,
                **tags,
            )
    return path


def _tiles(
    size: tuple[int, int],
    regions: Mapping[tuple[int, int], np.ndarray],
    shrink: int,
    glass: bytes,
) -> Iterator[bytes]:
    """Encode the tiles of a level; all that is glass is one and the same."""
    small = {
        (x // shrink, y // shrink): cv2.resize(
            pixels, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA
        )
        for (x, y), pixels in regions.items()
    }
    width, height = size
    for top in range(0, -(-height // shrink), TILE):
        for left in range(0, -(-width // shrink), TILE):
            tile = None
            for (x, y), pixels in small.items():
                # What of the region lies on this tile.
                seen = pixels[max(top - y, 0) : max(top + TILE - y, 0)]
                seen = seen[:, max(left - x, 0) : max(left + TILE - x, 0)]
                if seen.size:
                    tile = WHITE.copy() if tile is None else tile
                    down, right = max(y - top, 0), max(x - left, 0)
                    tile[down : down + seen.shape[0], right : right + seen.shape[1]] = seen
            yield glass if tile is None else zlib.compress(tile.tobytes(), 1)
