"""What a person may say of a slide, and of how it is cut into fields."""

from dataclasses import dataclass
from pathlib import Path

from bulk.errors import SlideUnusable

# Micrometres a pixel, times the objective: 0.25 at 40x and 0.5 at 20x, by convention.
# Reference: Sellaro et al., "Relationship between magnification and resolution in digital
# pathology systems", J. Pathol. Inform. 4, 2013.
UM_PER_PIXEL_AT_1X = 10.0


@dataclass(frozen=True)
class SlideOptions:
    """The options of a run; by default all is the slide's and the model's.

    Attributes
    ----------
    um_per_pixel : float or None
        Micrometres a pixel of level 0, for a slide that does not state them.
    objective : float or None
        Magnification of the objective, for the same purpose.
    force_scale : bool
        Whether these count for a slide that states its scale, too.
    overlap : float
        Share of a field's width and height by which it lies over its neighbour, 0 to 0.9.
    min_tissue : float or None
        Share of a field that must be stained, 0 to 1; None for the model's.
    region : Path or None
        GeoJSON of the polygons in which fields are judged; None for everywhere.

    Raises
    ------
    SlideUnusable
        The scale is stated twice, or not as a number above zero, or there is none to force.
    """

    um_per_pixel: float | None = None
    objective: float | None = None
    force_scale: bool = False
    overlap: float = 0.0
    min_tissue: float | None = None
    region: Path | None = None

    def __post_init__(self) -> None:
        stated = [each for each in (self.um_per_pixel, self.objective) if each is not None]
        if len(stated) > 1 or not all(each > 0 for each in stated):
            raise SlideUnusable(
                "State micrometres a pixel or the objective, one of them, as a number above 0."
            )
        if self.force_scale and not stated:
            raise SlideUnusable(
                "State the scale that is to count: micrometres a pixel, or the objective."
            )
