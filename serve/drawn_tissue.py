"""Draws fields of breast tissue, stained with haematoxylin and eosin, from a seed.

For examples, slides and tests, since the project holds no image of a data set. What is
drawn is laid down as amounts of the two stains; light, lens and camera follow. Whoever
looks closely sees a drawing.
"""

import io
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

# Of the specimen, judged by its nuclei and fat cells, as they look on 40X fields of BreakHis.
UM_PER_PIXEL = 1.6
# Optical density in red, green and blue for a unit of stain. Method: Ruifrok, Johnston, Anal.
# Quant. Cytol. Histol. 23, 2001; the median over 40X fields of BreakHis.
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], np.float32)
EOSIN = np.array([0.20, 0.90, 0.38], np.float32)
# Stains are drawn in steps of this much.
STEP = 1 / 128


@dataclass(frozen=True)
class Tissue:
    """What lies in a field, and how it was stained.

    Attributes
    ----------
    lobules, fat, nests : float
        Shares of the field, 0 to 1: groups of acini, fat cells, sheets of carcinoma.
    ducts, cords : float
        How many a square millimetre: ducts, and single files of carcinoma cells.
    fibroblasts : float
        Spindle nuclei a square millimetre of stroma.
    clefts : float
        Share of the stroma, 0 to 1, that is torn apart between its fibres.
    loose : float
        From 0, dense collagen, to 1, loose and bluish stroma.
    nuclear_area_um2 : float
        Of epithelial cells, in square micrometres.
    pleomorphism : float
        How much nuclei differ in size, shape and darkness: 0, not at all, to 1.
    crowding : float
        Share of a nest's area that its nuclei cover, 0 to 1.
    haematoxylin, eosin : float
        Strength of the stains; 1 is usual.
    """

    lobules: float = 0.0
    fat: float = 0.0
    nests: float = 0.0
    ducts: float = 0.0
    cords: float = 0.0
    fibroblasts: float = 900.0
    clefts: float = 0.02
    loose: float = 0.3
    nuclear_area_um2: float = 28.0
    pleomorphism: float = 0.15
    crowding: float = 0.45
    haematoxylin: float = 1.0
    eosin: float = 1.0


FIBROADENOMA = Tissue(ducts=22, loose=0.8, fibroblasts=2200, eosin=0.8)
ADENOSIS = Tissue(lobules=0.45, ducts=14, fat=0.03, eosin=0.9)
FAT_WITH_DUCTS = Tissue(fat=0.45, ducts=12, lobules=0.06, clefts=0.04)
DUCTAL_CARCINOMA = Tissue(
    nests=0.55,
    fat=0.04,
    nuclear_area_um2=55,
    pleomorphism=0.6,
    crowding=0.5,
    clefts=0.05,
    haematoxylin=1.15,
    eosin=1.15,
)
LOBULAR_CARCINOMA = Tissue(
    cords=420, fat=0.05, nuclear_area_um2=42, pleomorphism=0.4, clefts=0.05, eosin=1.3, loose=0.2
)
PRESETS = {
    "fibroadenoma": FIBROADENOMA,
    "adenosis": ADENOSIS,
    "fat with ducts": FAT_WITH_DUCTS,
    "ductal carcinoma": DUCTAL_CARCINOMA,
    "lobular carcinoma": LOBULAR_CARCINOMA,
}


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
        One of the presets by default, in turn with the seed.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    return _Field(seed, width, height, tissue or list(PRESETS.values())[seed % 5]).photograph()


def encode(pixels: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """Encode a picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


class _Field:
    """The specimen while it is drawn; ``stains`` holds haematoxylin and eosin in `STEP`s."""

    def __init__(self, seed: int, width: int, height: int, tissue: Tissue) -> None:
        self.rng = np.random.default_rng(seed)
        self.size = (width, height)
        self.tissue = tissue
        self.mm2 = width * height * (UM_PER_PIXEL / 1000) ** 2
        self.fat = self._region(tissue.fat, 90)
        self.nests = self._region(tissue.nests, 110) & ~self.fat
        self.lobules = self._region(tissue.lobules, 80) & ~self.fat & ~self.nests
        self.lumina = self._lumina()
        self.away = cv2.distanceTransform((~self.lumina).astype(np.uint8), cv2.DIST_L2, 5)
        self.across, self.angle = self._fibres()
        self.stains = self._stroma()
        self._draw_fat()
        self._draw_nests()
        self._draw_fibroblasts()
        self._draw_glands()
        self._draw_cords()

    def photograph(self) -> np.ndarray:
        """Send light through the specimen, a lens and a camera."""
        rng, (width, height) = self.rng, self.size
        stains = cv2.GaussianBlur(self.stains, (0, 0), 0.9).astype(np.float32) * STEP
        stains *= 1 + 0.18 * self._noise(3.5)[..., None]
        strength = np.array([self.tissue.haematoxylin, self.tissue.eosin]) * rng.uniform(
            0.85, 1.15, 2
        )
        absorbed = stains[..., :2] @ (strength[:, None] * np.stack([HAEMATOXYLIN, EOSIN])).astype(
            np.float32
        )
        light = rng.uniform(222, 242) * np.array([1, 0.98, 1]) * rng.uniform(0.985, 1.015, 3)
        shade = 1 + 0.03 * self._noise(500)[..., None].clip(-1, 1)
        seen = light.astype(np.float32) * shade * np.exp(-absorbed)
        seen = cv2.GaussianBlur(seen, (0, 0), 0.6)
        # The camera sharpens.
        seen += 0.7 * (seen - cv2.GaussianBlur(seen, (0, 0), 1.5))
        grain = rng.standard_normal((height, width, 3), np.float32)
        seen += 2.2 * cv2.GaussianBlur(grain, (0, 0), 0.5)
        return np.clip(seen, 0, 255).astype(np.uint8)

    def _noise(self, scale: float) -> np.ndarray:
        """Smooth noise of unit deviation, float32, whose blobs are about ``scale`` pixels wide."""
        width, height = self.size
        coarse = self.rng.normal(
            0, 1.3, (int(height / scale * 2) + 4, int(width / scale * 2) + 4)
        ).astype(np.float32)
        fine = cv2.resize(coarse, None, fx=scale / 2, fy=scale / 2, interpolation=cv2.INTER_CUBIC)
        y, x = (int(self.rng.integers(0, max(1, scale // 2))) for _ in range(2))
        return fine[y : y + height, x : x + width]

    def _region(self, share: float, scale: float) -> np.ndarray:
        """Blobs that cover a share of the field."""
        if share <= 0:
            return np.zeros(self.size[::-1], bool)
        noise = self._noise(scale * 2) + 0.35 * self._noise(scale / 2) + 0.1 * self._noise(10)
        return noise > np.quantile(noise, 1 - share)

    def _grid(self, spacing: float, jitter: float = 0.3) -> np.ndarray:
        """Points (x, y) of a hexagonal grid, each shaken, float64, shape (n, 2)."""
        width, height = self.size
        y, x = np.mgrid[0 : height + spacing : 0.87 * spacing, 0 : width + spacing : spacing]
        x[1::2] += spacing / 2
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        return points + self.rng.normal(0, jitter * spacing, points.shape)

    def _at(self, points: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Values of an image at points, of those outside at the nearest."""
        x, y = np.clip(points.astype(int), 0, np.array(self.size) - 1).T
        return image[y, x]

    def _lumina(self) -> np.ndarray:
        """Lumina of ducts, in the stroma, and of acini, in lobules."""
        rng = self.rng
        lumina = np.zeros(self.size[::-1], np.uint8)
        taken = self.fat | self.nests
        for _ in range(rng.poisson(self.tissue.ducts * self.mm2)):
            centre = rng.uniform(0, self.size)
            if self._at(centre[None], taken)[0]:
                continue
            # A few turns of a walk, as a duct is cut along its length.
            steps, direction = int(rng.integers(1, 8)), rng.uniform(0, 2 * np.pi)
            radius = rng.lognormal(1.7, 0.45)
            for _ in range(steps):
                direction += rng.normal(0, 0.5)
                end = centre + 1.6 * radius * np.array([np.cos(direction), np.sin(direction)])
                _line(lumina, centre, end, 2 * radius * rng.uniform(0.75, 1.25))
                centre = end
        acini = self._grid(19, 0.2)
        for acinus in acini[self._at(acini, self.lobules)]:
            radius = rng.lognormal(0.5, 0.6)
            _line(lumina, acinus, acinus + rng.normal(0, 0.8 * radius, 2), 2 * radius)
        wobble = cv2.GaussianBlur(lumina.astype(np.float32), (0, 0), 1.5)
        return wobble * (1 + 0.25 * self._noise(7)) > 0.45

    def _fibres(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinate across the collagen fibres, in pixels, and their direction, in radians."""
        width, height = self.size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        turn = self.rng.uniform(0, np.pi)
        sin, cos = math.sin(turn), math.cos(turn)
        across = x * sin + y * cos + 40 * self._noise(300) + 7 * self._noise(70)
        solid = (self.fat | self.nests | self.lobules | self.lumina).astype(np.uint8)
        away = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
        across = cv2.GaussianBlur(across + 16 * np.exp(-away / 18), (0, 0), 3)
        smooth = cv2.GaussianBlur(across, (0, 0), 2)
        slope_x, slope_y = (cv2.Sobel(smooth, cv2.CV_32F, *d, scale=1 / 8) for d in ((1, 0), (0, 1)))
        self.along = x * cos - y * sin
        return across, np.arctan2(slope_x, -slope_y)

    def _texture(self, length: float, thickness: float) -> np.ndarray:
        """Fibres of unit deviation along the collagen."""
        noise = np.pad(self.rng.standard_normal((256, 512), np.float32), 99, mode="wrap")
        noise = cv2.GaussianBlur(noise, (0, 0), length, sigmaY=thickness)[99:-99, 99:-99]
        wave = self.across + 1.2 * np.sin(self.along / 7 + 2 * self._noise(60))
        fibres = cv2.remap(
            noise / noise.std(), self.along, wave, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        return fibres

    def _stroma(self) -> np.ndarray:
        tissue = self.tissue
        loose = np.clip(tissue.loose + 0.25 * self._noise(150), 0, 1)
        loose = np.where(self.lobules, 0.85, loose)
        bundles, fibres = self._texture(18, 4), self._texture(6, 1.2)
        eosin = 0.36 - 0.22 * loose + 0.05 * bundles + (0.08 - 0.02 * loose) * fibres
        eosin += 0.05 * self._noise(5)
        haematoxylin = 0.04 + 0.11 * loose + 0.04 * fibres + 0.04 * self._noise(6)
        gaps = self._texture(30, 3.0) + 0.5 * self._noise(120)
        torn = gaps > np.quantile(gaps, 1 - tissue.clefts)
        torn = cv2.GaussianBlur(torn.astype(np.float32), (0, 0), 0.7)[..., None]
        stains = np.stack([haematoxylin, eosin, np.zeros_like(eosin)], axis=2) * (1 - torn)
        return np.ascontiguousarray(np.clip(stains / STEP, 0, 255).astype(np.uint8))

    def _lay(self, share: np.ndarray, haematoxylin: Any, eosin: Any) -> None:
        """Cover a share, 0 to 1, of each pixel with other amounts of stain."""
        share = cv2.GaussianBlur(share.astype(np.float32), (0, 0), 0.8)
        for channel, amount in enumerate((haematoxylin, eosin)):
            new = np.clip(amount / STEP, 0, 255)
            old = self.stains[..., channel]
            self.stains[..., channel] = old + share * (new - old)

    def _draw_fat(self) -> None:
        if not self.fat.any():
            return
        centres = self._grid(33, 0.3)
        seeds = np.ones(self.size[::-1], np.uint8)
        inside = ((centres >= 0) & (centres < self.size)).all(axis=1)
        x, y = centres[inside].astype(int).T
        seeds[y, x] = 0
        _, cells = cv2.distanceTransformWithLabels(
            seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        cells = cells.astype(np.float32)
        edge = (cv2.dilate(cells, None) != cv2.erode(cells, None)).astype(np.uint8)
        rounded = cv2.GaussianBlur((1 - edge).astype(np.float32), (0, 0), 3) > 0.72
        kept = self._at(centres[inside], self.fat)
        mask = np.zeros(int(cells.max()) + 1, bool)
        mask[cells[y, x].astype(int)[kept]] = True
        mine = mask[cells.astype(int)]
        self.fat = mine
        self._lay(mine, 0.03, 0.16 + 0.05 * self._noise(8))
        self._lay(mine & rounded, 0.01, 0.015)

    def _draw_nests(self) -> None:
        if not self.nests.any():
            return
        tissue = self.tissue
        rim = cv2.morphologyEx(
            self.nests.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
        )
        self._lay(self.nests, 0.2 + 0.04 * self._noise(6), 0.32 + 0.06 * self._noise(12))
        self._lay((rim > 0) & (self._noise(40) > 0.3), 0.02, 0.05)
        spacing = np.sqrt(tissue.nuclear_area_um2 / UM_PER_PIXEL**2 / tissue.crowding / 0.87)
        cells = self._grid(spacing, 0.25)
        cells = cells[self._at(cells, self.nests)]
        turn = self._at(cells, self.angle) + self.rng.normal(0, 0.7, len(cells))
        self._nuclei(cells, turn, 1.35, tissue.pleomorphism)

    def _draw_fibroblasts(self) -> None:
        n = self.rng.poisson(self.tissue.fibroblasts * self.mm2)
        cells = self.rng.uniform(0, self.size, (n, 2))
        cells = cells[~self._at(cells, self.fat | self.nests)]
        turn = self._at(cells, self.angle) + self.rng.normal(0, 0.2, len(cells))
        self._nuclei(cells, turn, 2.6, 0.2, area=18)

    def _draw_glands(self) -> None:
        if not self.lumina.any():
            return
        depth = 6 + 1.2 * self._noise(30)
        self._lay(self.away < depth + 3, 0.1, 0.12)
        self._lay(self.away < depth, 0.3 + 0.05 * self._noise(6), 0.2)
        self._lay(self.lumina, 0.01, np.maximum(0.02, 0.1 * (self._noise(14) - 1)))
        for layer, spacing in ((2.0, 4), (4.8, 4)):
            near = (self.away < layer).astype(np.uint8)
            for outline in cv2.findContours(near, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
                points = outline[:, 0].astype(float)
                points = points[:: max(1, round(spacing))]
                cells = points + self.rng.normal(0, 0.6, points.shape)
                normal = np.arctan2(*(cells - points.mean(axis=0)).T[::-1])
                self._nuclei(cells, normal, 1.3, self.tissue.pleomorphism, area=28)

    def _draw_cords(self) -> None:
        n = self.rng.poisson(self.tissue.cords * self.mm2)
        cells = self.rng.uniform(0, self.size, (n, 2))
        gap = 1.3 * np.sqrt(self.tissue.nuclear_area_um2) / UM_PER_PIXEL
        left = self.rng.integers(1, 12, n)
        while len(cells):
            turn = self._at(cells, self.angle)
            self._nuclei(cells, turn, 1.2, self.tissue.pleomorphism)
            cells = cells + gap * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            left -= 1
            cells, left = cells[left > 0], left[left > 0]

    def _nuclei(
        self,
        centres: np.ndarray,
        turn: np.ndarray,
        elongation: float,
        pleomorphism: float,
        area: float | None = None,
    ) -> None:
        """Draw nuclei as ovals with lumps."""
        rng, n = self.rng, len(centres)
        area = area or self.tissue.nuclear_area_um2
        areas = area * rng.lognormal(0, 0.15 + 0.5 * pleomorphism, n)
        radius = np.sqrt(areas / np.pi) / UM_PER_PIXEL
        stretch = np.sqrt(elongation * rng.lognormal(0, 0.1 + 0.2 * pleomorphism, n))
        t = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        lumps = 1 + 0.3 * pleomorphism * rng.normal(0, 1, (n, 1)) * np.cos(
            3 * t + rng.uniform(0, 7, (n, 1))
        )
        x = (radius * stretch)[:, None] * np.cos(t) * lumps
        y = (radius / stretch)[:, None] * np.sin(t) * lumps
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        outlines = np.stack([x * cos - y * sin, x * sin + y * cos], axis=2) + centres[:, None]
        outlines = np.round(outlines * 16).astype(np.int32)
        amounts = np.clip(rng.normal(0.62, 0.1 + 0.15 * pleomorphism, n), 0.25, 1.3) / STEP
        for outline, amount in zip(outlines, amounts.tolist(), strict=True):
            cv2.fillConvexPoly(self.stains, outline, (amount, 30, 0), cv2.LINE_AA, 4)


def _line(image: np.ndarray, start: np.ndarray, end: np.ndarray, width: float) -> None:
    one, other = ((round(float(x)), round(float(y))) for x, y in (start, end))
    cv2.line(image, one, other, 1, max(1, round(width)))
