"""Draws fields of breast tissue, stained with haematoxylin and eosin, from a seed.

Examples, slides and tests need tissue, and the project holds no image of a data set. What is
drawn is laid down as amounts of the two stains; light, lens and camera follow.
"""

import io
import math
from typing import Any

import cv2
import numpy as np
from PIL import Image

from serve.tissue_kinds import PRESETS, Tissue

# Of the specimen, judged by its nuclei and fat cells as they look on 40X fields of BreakHis.
UM_PER_PIXEL = 1.6
# Optical density (natural logarithm) in red, green and blue of a unit of stain. Method: Ruifrok,
# Johnston, Anal. Quant. Cytol. Histol. 23, 2001. Their haematoxylin has less blue and their eosin
# less red and blue; these are nearer to what the camera of BreakHis saw.
HAEMATOXYLIN = (0.62, 0.67, 0.42)
EOSIN = (0.20, 0.90, 0.38)
# Stains are drawn as whole numbers of this much.
STEP = 1 / 128
# Areas of nuclei, in square micrometres.
EPITHELIAL, FIBROBLAST = 24, 18
# Share of a nest's area that the nuclei of carcinoma cover.
CROWDING = 0.45
# How much nuclei differ in size, shape and darkness: from 0, not at all, to 1.
PLEOMORPHIC, REGULAR = 0.4, 0.15
NEIGHBOURS = np.ones((3, 3), np.uint8)


def draw_field(
    seed: int, width: int = 700, height: int = 460, tissue: Tissue | None = None
) -> np.ndarray:
    """Draw one field.

    Parameters
    ----------
    seed : int
    width, height : int
        In pixels, at the scale of a 40X field of BreakHis.
    tissue : Tissue, optional
        By default one of `PRESETS`, in turn with the seed.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    return _Specimen(seed, width, height, tissue or PRESETS[seed % len(PRESETS)]).photograph()


def encode(pixels: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """Encode a picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


class _Specimen:
    """A piece of tissue; ``stains`` holds haematoxylin and eosin in `STEP`s."""

    def __init__(self, seed: int, width: int, height: int, tissue: Tissue) -> None:
        self.rng = np.random.default_rng(seed)
        self.size = (width, height)
        self.tissue = tissue
        self.mm2 = width * height * (UM_PER_PIXEL / 1000) ** 2
        self.fat = self._fat_cells()
        free = self.fat == 0
        # Septa of stroma cut through the nests.
        self.nests = self._region(tissue.nests, 120) & free & (abs(self._noise(130)) > 0.1)
        self.lobules = self._region(tissue.lobules, 110) & free & ~self.nests
        self.lumina = self._lumina()
        self.along, self.across, self.angle = self._fibres()
        self.stains = self._stroma()
        self._draw_fat()
        self._draw_nests()
        self._draw_fibroblasts()
        self._draw_glands()
        self._draw_cords()

    def photograph(self) -> np.ndarray:
        """Send light through the specimen, a lens and a camera."""
        rng = self.rng
        stains = _blur(self.stains, 0.9) * STEP
        stains *= 1 + 0.1 * self._noise(4)[..., None]
        strengths = rng.uniform(0.85, 1.15, 2) * (self.tissue.haematoxylin, self.tissue.eosin)
        densities = strengths[:, None] * (HAEMATOXYLIN, EOSIN)
        light = rng.uniform(222, 242) * rng.uniform(0.985, 1.015, 3) * (1, 0.98, 1)
        uneven = 1 + 0.03 * self._noise(500)[..., None]
        seen = light.astype(np.float32) * uneven * np.exp(-stains @ densities.astype(np.float32))
        seen = _blur(seen, 0.7)
        # The camera sharpens.
        seen += 0.7 * (seen - _blur(seen, 1.5))
        seen += 3 * rng.standard_normal(seen.shape, np.float32)
        return np.clip(seen, 0, 255).astype(np.uint8)

    def _noise(self, size: float) -> np.ndarray:
        """Smooth noise of about unit deviation, float32, with blobs of so many pixels."""
        width, height = self.size
        shape = (int(2 * height / size) + 3, int(2 * width / size) + 3)
        coarse = 1.3 * self.rng.standard_normal(shape, np.float32)
        fine = cv2.resize(coarse, None, fx=size / 2, fy=size / 2, interpolation=cv2.INTER_CUBIC)
        x, y = self.rng.integers(0, max(1, int(size / 2)), 2)
        return fine[y : y + height, x : x + width]

    def _region(self, share: float, size: float) -> np.ndarray:
        """Blobs that cover a share of the field."""
        if share <= 0:
            return np.zeros(self.size[::-1], bool)
        noise = self._noise(1.5 * size) + 0.15 * self._noise(size / 2) + 0.02 * self._noise(12)
        return noise > np.quantile(noise, 1 - share)

    def _grid(self, spacing: float, jitter: float) -> np.ndarray:
        """Points (x, y) of a hexagonal grid, each moved a little, float64, shape (n, 2)."""
        width, height = self.size
        y, x = np.mgrid[0 : height + spacing : 0.87 * spacing, 0 : width + spacing : spacing]
        x[1::2] += spacing / 2
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        return points + self.rng.normal(0, jitter * spacing, points.shape)

    def _at(self, points: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Values of an image at points; outside it, at the nearest."""
        x, y = np.clip(points.astype(int), 0, np.array(self.size) - 1).T
        return image[y, x]

    def _fat_cells(self) -> np.ndarray:
        """Labels, from 1, of the polygons of fat cells, int32; 0 where there are none."""
        there = self._region(self.tissue.fat, 90)
        centres = self._grid(33, 0.3)
        centres = centres[((centres >= 0) & (centres < self.size)).all(axis=1)]
        x, y = centres.astype(int).T
        elsewhere = np.ones(there.shape, np.uint8)
        elsewhere[y, x] = 0
        _, cells = cv2.distanceTransformWithLabels(
            elsewhere, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        return np.where(np.isin(cells, cells[y, x][there[y, x]]), cells, 0)

    def _lumina(self) -> np.ndarray:
        """Lumina of ducts in the stroma, and of acini in lobules."""
        rng = self.rng
        lumina = np.zeros(self.size[::-1], np.uint8)
        for _ in range(rng.poisson(self.tissue.ducts * self.mm2)):
            end = rng.uniform(0, self.size)
            if self._at(end[None], (self.fat > 0) | self.nests)[0]:
                continue
            # A walk of a few steps, as a duct is cut along its length.
            direction, radius = rng.uniform(0, 2 * np.pi), rng.lognormal(1.7, 0.45)
            for _ in range(rng.integers(1, 8)):
                direction += rng.normal(0, 0.5)
                step = 1.6 * radius * np.array([np.cos(direction), np.sin(direction)])
                _line(lumina, end, end + step, 2 * radius * rng.uniform(0.75, 1.25))
                end = end + step
        acini = self._grid(21, 0.2)
        for acinus in acini[self._at(acini, self.lobules)]:
            radius = rng.lognormal(0.8, 0.5)
            _line(lumina, acinus, acinus + rng.normal(0, 0.8 * radius, 2), 2 * radius)
        return _blur(lumina, 1.5) * (1 + 0.15 * self._noise(7)) > 0.45

    def _fibres(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates along and across the fibres of collagen, and their direction in radians."""
        width, height = self.size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        turn = self.rng.uniform(0, math.pi)
        sin, cos = math.sin(turn), math.cos(turn)
        solid = (self.fat > 0) | self.nests | self.lobules | self.lumina
        across = x * sin + y * cos + 40 * self._noise(300) + 7 * self._noise(70)
        # They lie around what is solid.
        across = _blur(across + 10 * np.exp(-_distance_from(solid) / 15), 3)
        right, down = (cv2.Sobel(across, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
        return x * cos - y * sin, across, np.arctan2(right, -down)

    def _texture(self, length: float, thickness: float) -> np.ndarray:
        """Fibres so many pixels long and thick, float32, of unit deviation."""
        flat = np.pad(self.rng.standard_normal((256, 512), np.float32), 99, mode="wrap")
        noise = _blur(flat, length, thickness)[99:-99, 99:-99]
        crimped = self.across + 1.2 * np.sin(self.along / 7 + 2 * self._noise(60))
        return cv2.remap(
            noise / noise.std(), self.along, crimped, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )

    def _stroma(self) -> np.ndarray:
        loose = np.clip(self.tissue.loose + 0.25 * self._noise(150), 0, 1)
        loose = np.where(self.lobules, 0.85, loose)
        bundles, fibres = self._texture(18, 4), self._texture(6, 0.8)
        haematoxylin = 0.04 + 0.11 * loose + 0.04 * fibres + 0.04 * self._noise(6)
        eosin = 0.36 - 0.2 * loose + 0.06 * bundles + (0.1 - 0.03 * loose) * fibres
        eosin += 0.05 * self._noise(5)
        gaps = self._texture(12, 1.2) + 0.6 * self._noise(120)
        left = 1 - _blur(gaps > np.quantile(gaps, 1 - self.tissue.clefts), 0.7)
        stains = np.stack([haematoxylin * left, eosin * left], axis=2)
        return np.clip(stains / STEP, 0, 255).astype(np.uint8)

    def _lay(self, where: np.ndarray, *amounts: np.ndarray | float) -> None:
        """Put so much haematoxylin and eosin there, with a soft edge, in place of what there is."""
        share = _blur(where, 0.8)
        for channel, amount in enumerate(amounts):
            old = self.stains[..., channel]
            self.stains[..., channel] = old + share * (np.clip(amount / STEP, 0, 255) - old)

    def _draw_fat(self) -> None:
        cells = self.fat > 0
        # Corners are round.
        inside = _blur(~_edges(self.fat), 2.5) > 0.64
        self._lay(cells, 0.06, 0.24)
        self._lay(cells & inside, 0.01, 0.015)

    def _draw_nests(self) -> None:
        if not self.nests.any():
            return
        self._lay(self.nests, 0.2 + 0.06 * self._noise(6), 0.3 + 0.08 * self._noise(14))
        self._lay(_edges(self.nests) & (self._noise(50) > -0.2), 0.04, 0.08)
        self._lay(self.nests & (self._noise(9) > 1.5), 0.05, 0.08)
        area = self.tissue.nuclear_area_um2 / UM_PER_PIXEL**2
        cells = self._grid(math.sqrt(area / CROWDING / 0.87), 0.25)
        cells = cells[self._at(cells, self.nests & (self._noise(25) > -1.3))]
        turn = self._at(cells, self.angle) + self.rng.normal(0, 0.7, len(cells))
        self._draw_nuclei(cells, turn, 1.35)

    def _draw_fibroblasts(self) -> None:
        n = self.rng.poisson(self.tissue.fibroblasts * self.mm2)
        cells = self.rng.uniform(0, self.size, (n, 2))
        cells = cells[~self._at(cells, (self.fat > 0) | self.nests)]
        turn = self._at(cells, self.angle) + self.rng.normal(0, 0.2, len(cells))
        self._draw_nuclei(cells, turn, 2.6, FIBROBLAST)

    def _draw_glands(self) -> None:
        if not self.lumina.any():
            return
        away = _distance_from(self.lumina)
        depth = 7 + 1.2 * self._noise(30)
        self._lay(away < depth + 2 + self._noise(20), 0.09, 0.1)
        self._lay(away < depth, 0.44 + 0.08 * self._noise(6), 0.2)
        self._lay(self.lumina, 0.01, np.maximum(0.02, 0.1 * (self._noise(14) - 1)))
        # Two layers of nuclei, upright on the basement membrane: so far out, so far apart.
        for layer, spacing in ((3, 4), (6, 6)):
            inside = (away < layer).astype(np.uint8)
            for outline in cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
                points = outline[::spacing, 0].astype(float)
                along = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
                cells = points + self.rng.normal(0, 0.6, points.shape)
                self._draw_nuclei(cells, np.arctan2(along[:, 0], -along[:, 1]), 1.8, EPITHELIAL)

    def _draw_cords(self) -> None:
        cells = self.rng.uniform(0, self.size, (self.rng.poisson(self.tissue.cords * self.mm2), 2))
        crowded = self._at(cells, self._noise(90)) > self.rng.normal(0, 0.5, len(cells))
        cells = cells[crowded & (self._at(cells, self.fat) == 0)]
        left = self.rng.geometric(0.3, len(cells))
        step = 1.3 * math.sqrt(self.tissue.nuclear_area_um2) / UM_PER_PIXEL
        while len(cells):
            turn = self._at(cells, self.angle)
            self._draw_nuclei(cells, turn, 1.2)
            cells = cells + step * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            cells += self.rng.normal(0, 0.2 * step, cells.shape)
            left -= 1
            cells, left = cells[left > 0], left[left > 0]

    def _draw_nuclei(
        self, centres: np.ndarray, turn: np.ndarray, elongation: float, normal: float | None = None
    ) -> None:
        """Draw nuclei: of carcinoma, or regular ones of a normal area in square micrometres."""
        rng, n = self.rng, len(centres)
        varied = PLEOMORPHIC if normal is None else REGULAR
        area = normal or self.tissue.nuclear_area_um2
        radius = np.sqrt(area * rng.lognormal(0, 0.15 + 0.5 * varied, n) / np.pi) / UM_PER_PIXEL
        stretch = np.sqrt(elongation * rng.lognormal(0, 0.1 + 0.2 * varied, n))
        around = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        lumps = 0.3 * varied * rng.normal(0, 1, (n, 1))
        lumps = 1 + lumps * np.cos(3 * around + rng.uniform(0, 2 * np.pi, (n, 1)))
        x = (radius * stretch)[:, None] * np.cos(around) * lumps
        y = (radius / stretch)[:, None] * np.sin(around) * lumps
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        outlines = np.stack([x * cos - y * sin, x * sin + y * cos], axis=2) + centres[:, None]
        # OpenCV takes sixteenths of a pixel.
        outlines = np.round(16 * outlines).astype(np.int32)
        amounts = np.clip(rng.normal(0.53, 0.1 + 0.15 * varied, n), 0.25, 1.3) / STEP
        for outline, amount in zip(outlines, amounts.tolist(), strict=True):
            cv2.fillConvexPoly(self.stains, outline, (amount, 0.23 / STEP), cv2.LINE_AA, 4)


def _blur(image: np.ndarray, sigma: float, sigma_down: float = 0) -> np.ndarray:
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma, sigmaY=sigma_down)


def _distance_from(region: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5)


def _edges(regions: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(regions.astype(np.float32), cv2.MORPH_GRADIENT, NEIGHBOURS) > 0


def _line(image: np.ndarray, start: np.ndarray, end: np.ndarray, width: float) -> None:
    one, other = (point.round().astype(int).tolist() for point in (start, end))
    cv2.line(image, one, other, 1, max(1, round(width)))
