"""Where on a slide a person wants fields to be judged: polygons, as QuPath exports them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from bulk.errors import RegionUnusable


class Region:
    """Polygons, with holes or without.

    Parameters
    ----------
    polygons : list of list of ndarray of float32, shape (n, 2)
        Of each polygon the outline and then its holes: x and y in pixels of level 0 as QuPath
        counts them.
    """

    def __init__(self, polygons: list[list[np.ndarray]]) -> None:
        self._polygons = polygons

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read GeoJSON: features, collections or geometries; only polygons count.

        Raises
        ------
        RegionUnusable
            It can't be read, or there is no polygon in it.
        """
        try:
            polygons = [
                [_ring(ring) for ring in polygon]
                for polygon in _polygons(json.loads(path.read_bytes()))
            ]
        except OSError as error:
            raise RegionUnusable(f"{path} can't be read ({error.strerror}).") from None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise RegionUnusable(
                f"{path.name} is no GeoJSON. Draw the region in QuPath and export it."
            ) from None
        if not any(polygons):
            raise RegionUnusable(
                f"{path.name} holds no polygon. Draw an area in QuPath, not a line or a point."
            )
        return cls([polygon for polygon in polygons if polygon])

    def holds(self, x: float, y: float) -> bool:
        """Tell whether a point lies in one of the polygons and in none of its holes."""
        return any(
            cv2.pointPolygonTest(outline, (x, y), False) >= 0
            and not any(cv2.pointPolygonTest(hole, (x, y), False) > 0 for hole in holes)
            for outline, *holes in self._polygons
        )


def _polygons(part: Any) -> Iterator[list[Any]]:
    """Find the polygons in a part of GeoJSON; QuPath also writes a bare list of features."""
    if isinstance(part, list):
        for each in part:
            yield from _polygons(each)
        return
    match part["type"]:
        case "FeatureCollection":
            yield from _polygons(part["features"])
        case "Feature":
            yield from _polygons(part["geometry"] or [])
        case "GeometryCollection":
            yield from _polygons(part["geometries"])
        case "MultiPolygon":
            yield from part["coordinates"]
        case "Polygon":
            yield part["coordinates"]


def _ring(points: Any) -> np.ndarray:
    ring = np.array([point[:2] for point in points], np.float32)
    if len(ring) < 3 or ring.shape[1] != 2 or not np.isfinite(ring).all():
        raise ValueError("This is no outline.")
    return ring
