"""The probability of malignancy over the overview of a slide, with legend and scale bar."""

import textwrap
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bulk.slides.scoring import ScoredField
from bulk.slides.slide import Slide
from bulk.slides.summary import EXPLORATORY
from handler import RESEARCH_ONLY
from handler.heatmap import BENIGN_RGB, MALIGNANT_RGB, MAX_OPACITY

# Neither benign nor malignant.
EVEN_RGB = np.array([245, 245, 245], dtype=np.float32)
MARK_RGBA = (40, 40, 40, 255)
OPAQUE = round(255 * MAX_OPACITY)
# Comes with matplotlib, and knows the letters of most names of files.
FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
# Sizes of the legend, in pixels.
WIDTH, HEIGHT, MARGIN, LINE, TEXT = 1000, 210, 24, 28, 20
SWATCH, STEPS, STEP = 42, 41, 6
# Share of the slide's width that the scale bar takes at most.
BAR_SHARE = 0.25


class HeatMap:
    """Grows field by field.

    Parameters
    ----------
    slide : Slide
    overview : ndarray of uint8, shape (height, width, 3)
        From `Slide.overview`.
    overlap : float
        Of the fields, see `SlideOptions`: of each, the part in the middle is drawn that is no
        other's middle.

    Attributes
    ----------
    layer : ndarray of uint8, shape (height, width, 4)
        RGBA, to be laid over the overview; transparent where nothing was judged.
    """

    def __init__(self, slide: Slide, overview: np.ndarray, overlap: float = 0.0) -> None:
        self._name = slide.name
        self._overview = overview
        height, width = overview.shape[:2]
        self._shrink = slide.width / width, slide.height / height
        self._micrometres = slide.facts.scale.across * self._shrink[0]
        self._rim = overlap / 2
        self.layer = np.zeros((height, width, 4), np.uint8)

    def add(self, scored: ScoredField) -> None:
        """Draw one more field."""
        tile, answer = scored
        across, down = self._shrink
        rim_x, rim_y = self._rim * tile.width, self._rim * tile.height
        first = round((tile.x + rim_x) / across), round((tile.y + rim_y) / down)
        last = (
            round((tile.x + tile.width - rim_x) / across) - 1,
            round((tile.y + tile.height - rim_y) / down) - 1,
        )
        _draw(self.layer, first, last, answer.verdict, answer.probability)

    def to_png(self) -> bytes:
        """Return the picture, in grey so that all colour is the model's, above its legend."""
        grey = cv2.cvtColor(self._overview, cv2.COLOR_RGB2GRAY)
        slide = Image.fromarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGBA))
        slide.alpha_composite(Image.fromarray(self.layer))
        height, width = grey.shape
        page = Image.new("RGB", (max(width, WIDTH), height + HEIGHT), "white")
        page.paste(slide, (0, 0))
        self._write_legend(page, height)
        _, png = cv2.imencode(".png", cv2.cvtColor(np.asarray(page), cv2.COLOR_RGB2BGR))
        return png.tobytes()

    def _write_legend(self, page: Image.Image, top: int) -> None:
        pen = ImageDraw.Draw(page)
        font = ImageFont.truetype(FONT, TEXT)

        def write(x: float, y: float, text: str) -> float:
            pen.text((x, y), text, "black", font)
            return x + pen.textlength(text, font)

        def paste(x: float, y: float, verdict: str, probability: float, width: int) -> float:
            swatch = np.zeros((LINE, width, 4), np.uint8)
            _draw(swatch, (0, 0), (width - 1, LINE - 1), verdict, probability)
            picture = Image.fromarray(swatch)
            page.paste(picture, (int(x), int(y)), picture)
            return x + width

        y = top + MARGIN
        x = write(MARGIN, y, "Probability of malignancy  0 ")
        for probability in np.linspace(0, 1, STEPS).tolist():
            x = paste(x, y, "benign", probability, STEP)
        x = write(x, y, " 1") + MARGIN
        for verdict in ("uncertain", "rejected"):
            x = write(paste(x, y, verdict, 0.5, SWATCH), y, f" {verdict}") + MARGIN

        y += LINE + MARGIN // 2
        length = round_length(page.width * BAR_SHARE * self._micrometres)
        end = MARGIN + length / self._micrometres
        pen.line([(MARGIN, y + LINE // 2), (end, y + LINE // 2)], "black", 5)
        write(write(end, y, f" {length / 1000:g} mm") + MARGIN, y, self._name)
        y += LINE + MARGIN // 2
        for line in textwrap.wrap(f"{EXPLORATORY} {RESEARCH_ONLY}", 95):
            write(MARGIN, y, line)
            y += LINE


def round_length(most: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not above `most`."""
    power = 10 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most))


def _colour(probability: float) -> np.ndarray:
    end = MALIGNANT_RGB if probability > 0.5 else BENIGN_RGB
    return EVEN_RGB + (end - EVEN_RGB) * abs(2 * probability - 1)


def _draw(
    layer: np.ndarray, first: tuple[int, int], last: tuple[int, int], verdict: str, p: float
) -> None:
    """Draw a field: filled, with a line across if uncertain; a cross alone if rejected."""
    crossing = (first[0], last[1]), (last[0], first[1])
    if verdict == "rejected":
        cv2.rectangle(layer, first, last, MARK_RGBA, 1)
        cv2.line(layer, first, last, MARK_RGBA, 1)
        cv2.line(layer, *crossing, MARK_RGBA, 1)
        return
    red, green, blue = _colour(p).tolist()
    cv2.rectangle(layer, first, last, (red, green, blue, OPAQUE), cv2.FILLED)
    if verdict == "uncertain":
        cv2.line(layer, *crossing, MARK_RGBA, 1)
