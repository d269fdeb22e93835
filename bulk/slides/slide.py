"""A whole slide: its scale, an overview, and fields as the model knows them.

OpenSlide hands out pixels as they are stored, so an embedded colour profile is ignored, as
`handler.images` ignores that of a photograph.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
from openslide import (
    PROPERTY_NAME_BOUNDS_HEIGHT,
    PROPERTY_NAME_BOUNDS_WIDTH,
    PROPERTY_NAME_BOUNDS_X,
    PROPERTY_NAME_BOUNDS_Y,
    OpenSlide,
    OpenSlideError,
    OpenSlideUnsupportedFormatError,
)
from openslide import PROPERTY_NAME_QUICKHASH1 as QUICKHASH
from PIL import Image

from bulk.errors import SlideUnusable
from bulk.slides.options import SlideOptions
from bulk.slides.scale import Scale, read_scale
from handler.images import resize
from handler.manifest import TrainingField

BOUNDS = (
    PROPERTY_NAME_BOUNDS_X,
    PROPERTY_NAME_BOUNDS_Y,
    PROPERTY_NAME_BOUNDS_WIDTH,
    PROPERTY_NAME_BOUNDS_HEIGHT,
)
# How much coarser than a training field a slide may be. A coarser one has not the detail that the
# model knows. A scan at 20x has it for fields of 40x.
COARSER = 1.43
# Longest side of the overview, in pixels: on the largest slides a field is still a dozen wide.
OVERVIEW_SIDE = 2000
# What is read at a time for the overview, in pixels a side, whatever levels the slide has.
BLOCK_SIDE = 2048
OPAQUE = 255
# A level this much too coarse is as good: its size was rounded to whole pixels.
ROUNDING = 1.01
# What to do about a file that is whole and that OpenSlide does not open all the same, by words of
# its message.
ADVICE = {
    ("associated image", "image flavor", "Not a WSI DICOM"): (
        "This DICOM file is not the picture of a whole slide, but perhaps its label, an overview "
        "or another picture. Name a file of the slide itself, such as its largest."
    ),
    ("nsupported", "not supported"): (
        "OpenSlide does not read what it is stored as. Export it as a pyramidal TIFF with JPEG "
        "compression, for example with QuPath."
    ),
}


class Tile(NamedTuple):
    """Where a field lies: in the grid, and in pixels of level 0."""

    row: int
    column: int
    x: int
    y: int
    width: int
    height: int


class SlideFacts(NamedTuple):
    """What is known of a slide without reading it.

    Attributes
    ----------
    name : str
        The file's.
    identity : str
        OpenSlide's fingerprint of the content, or the name where it has none.
    width, height : int
        Size of level 0, in pixels.
    scale : Scale
    origin : tuple of 2 int
        The pixel of level 0 that QuPath counts from.
    """

    name: str
    identity: str
    width: int
    height: int
    scale: Scale
    origin: tuple[int, int]


class Slide:
    """An open slide; a context manager. May be read by threads.

    Use `Slide.open`.

    Attributes
    ----------
    facts : SlideFacts
    name : str
        The file's.
    width, height : int
        Size of level 0, in pixels.
    field_size : tuple of 2 float
        Width and height of a field, in pixels of level 0.
    """

    def __init__(
        self, slide: OpenSlide, name: str, training_field: TrainingField, options: SlideOptions
    ) -> None:
        self._slide = slide
        self.name = name
        self.width, self.height = slide.dimensions
        micrometres = training_field.micrometres_per_pixel
        scale = read_scale(slide.properties, options, COARSER * micrometres)
        self._cut = training_field.width, training_field.height
        self.field_size = (
            self._cut[0] * micrometres / scale.across,
            self._cut[1] * micrometres / scale.down,
        )
        identity = slide.properties.get(QUICKHASH, name)
        origin = _origin(slide.properties)
        self.facts = SlideFacts(name, identity, self.width, self.height, scale, origin)

    @classmethod
    def open(
        cls,
        path: Path,
        training_field: TrainingField,
        name: str | None = None,
        options: SlideOptions = SlideOptions(),
    ) -> Self:
        """Open a slide in any format that OpenSlide reads.

        Parameters
        ----------
        path : Path
        training_field : TrainingField
            The model's, as which fields are cut.
        name : str, optional
            By which a person knows it, if not that of the file.
        options : SlideOptions, optional
            Of which the scale is used.

        Raises
        ------
        SlideUnusable
            There is no such file, it is no slide, OpenSlide can't open it, or its scale is not
            known or can't be used.
        """
        name = name or path.name
        if not path.is_file():
            raise SlideUnusable(f"There is no file {path}. Name the file of one slide.")
        try:
            slide = OpenSlide(path)
        except OpenSlideUnsupportedFormatError:
            raise SlideUnusable(
                f"{name} is no slide that OpenSlide reads. Use a tiled, pyramidal TIFF, SVS, "
                "NDPI, or the DICOM file of a whole slide; a single field goes to "
                "`breakhis predict`."
            ) from None
        except OpenSlideError as error:
            raise _unopened(path, name, error) from None
        try:
            return cls(slide, name, training_field, options)
        except BaseException:
            slide.close()
            raise

    def __enter__(self) -> Self:
        """Return the slide itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._slide.close()

    @property
    def overview_cost(self) -> int:
        """How many pixels are read for the overview."""
        width, height = self._slide.level_dimensions[self._overview_level()[1]]
        return width * height

    def overview(self) -> np.ndarray:
        """Return the whole slide, at most `OVERVIEW_SIDE` pixels wide and high.

        It is read in blocks, so a slide without small levels takes time and not memory.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            RGB.

        Raises
        ------
        SlideUnusable
            The slide is damaged.
        """
        shrink, level = self._overview_level()
        width, height = (max(1, round(side / shrink)) for side in (self.width, self.height))
        step = max(1, int(BLOCK_SIDE * self._slide.level_downsamples[level] / shrink))
        overview = np.empty((height, width, 3), np.uint8)
        for y in range(0, height, step):
            for x in range(0, width, step):
                block = overview[y : y + step, x : x + step]
                rows, columns = block.shape[:2]
                corner = round(x * shrink), round(y * shrink)
                size = columns * shrink, rows * shrink
                block[:] = self._read(corner, size, (columns, rows), level)
        return overview

    def field(self, tile: Tile) -> np.ndarray:
        """Return one field at the scale of the training fields.

        Raises
        ------
        SlideUnusable
            The slide is damaged there.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            RGB, of a training field's size; white where the slide ends or holds nothing.
        """
        across, down = tile.width / self._cut[0], tile.height / self._cut[1]
        level = self._slide.get_best_level_for_downsample(ROUNDING * min(across, down))
        size = tile.width, tile.height
        return self._read((tile.x, tile.y), size, self._cut, level)

    def _overview_level(self) -> tuple[float, int]:
        shrink = max(1.0, self.width / OVERVIEW_SIDE, self.height / OVERVIEW_SIDE)
        return shrink, self._slide.get_best_level_for_downsample(shrink)

    def _read(
        self,
        corner: tuple[int, int],
        size: tuple[float, float],
        wanted: tuple[int, int],
        level: int,
    ) -> np.ndarray:
        """Read a region from a level; corner and size are those of level 0."""
        down = self._slide.level_downsamples[level]
        stored = max(1, round(size[0] / down)), max(1, round(size[1] / down))
        try:
            region = self._slide.read_region(corner, level, stored)
        except OpenSlideError as error:
            raise SlideUnusable(
                f"{self.name} is damaged ({error}). Copy or export it again."
            ) from None
        pixels = np.asarray(region)
        if pixels[..., 3].min() < OPAQUE:
            glass = Image.new("RGBA", stored, "white")
            pixels = np.asarray(Image.alpha_composite(glass, region))
        # By OpenCV: Pillow takes a fourth of the time in which a field is read.
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
        return pixels if stored == wanted else resize(pixels, *wanted)


def _origin(properties: Mapping[str, str]) -> tuple[int, int]:
    """Return where QuPath's upper left corner lies on level 0.

    Where a slide states the bounds of what was scanned, QuPath shows these alone.
    Reference: `OpenslideImageServer` in QuPath's source.
    """
    try:
        x, y, _, _ = (int(properties[bound]) for bound in BOUNDS)
    except (KeyError, ValueError):
        return 0, 0
    return x, y


def _unopened(path: Path, name: str, error: OpenSlideError) -> SlideUnusable:
    # On the page the path is none of the visitor's.
    said = str(error).replace(str(path), name)
    for words, advice in ADVICE.items():
        if any(word in said for word in words):
            return SlideUnusable(f"OpenSlide can't open {name} ({said}). {advice}")
    return SlideUnusable(
        f"OpenSlide can't open {name} ({said}). Copy it again, with all files that belong to it, "
        "or export it as a pyramidal TIFF."
    )
