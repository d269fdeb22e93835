"""How large a pixel of a slide is, and who says so."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from openslide import PROPERTY_NAME_MPP_X as MPP_X
from openslide import PROPERTY_NAME_MPP_Y as MPP_Y
from openslide import PROPERTY_NAME_OBJECTIVE_POWER as OBJECTIVE

from bulk.errors import SlideUnusable
from bulk.slides.options import UM_PER_PIXEL_AT_1X, SlideOptions

# Micrometres a pixel of a scan at 100x, with some room. A wrong scale, such as that of 72 dots an
# inch, is far off.
FINEST = 0.05

Source = Literal["slide", "um-per-pixel", "objective"]
SAID = {
    "slide": "as the slide states",
    "um-per-pixel": "as was given with the slide",
    "objective": "reckoned from the objective that was given with the slide",
}
HOW_TO_STATE = (
    "--um-per-pixel 0.25 or --objective 40{force} with the command, or below the slide on the page"
)


class Scale(NamedTuple):
    """Micrometres a pixel of level 0, across and down, and where they come from."""

    across: float
    down: float
    source: Source

    def __str__(self) -> str:
        """Say it as a part of a sentence."""
        return f"{self.across:.4g} x {self.down:.4g} micrometres a pixel, {SAID[self.source]}"


def read_scale(properties: Mapping[str, str], options: SlideOptions, coarsest: float) -> Scale:
    """Find out a slide's scale: what it states itself comes first, unless another is forced.

    Parameters
    ----------
    properties : mapping of str to str
        OpenSlide's.
    options : SlideOptions
    coarsest : float
        Micrometres a pixel above which a slide can't be used.

    Raises
    ------
    SlideUnusable
        The scale is not known, or can't be used.
    """
    given = _given(options)
    scale = given if given and options.force_scale else _stated(properties) or given
    if scale is None:
        objective = properties.get(OBJECTIVE)
        named = f" It names an objective of {objective}x." if objective else ""
        raise SlideUnusable(
            "The slide does not say how many micrometres a pixel is, so fields of the right size "
            f"can't be cut.{named} State it: {HOW_TO_STATE.format(force='')}."
        )
    if all(FINEST <= pixel <= coarsest for pixel in (scale.across, scale.down)):
        return scale
    raise SlideUnusable(
        f"A pixel is {scale.across:.4g} x {scale.down:.4g} micrometres, {SAID[scale.source]}; from "
        f"{FINEST} to {coarsest:.2g} can be used. Scan it at 20x or 40x. If that is not its true "
        f"scale, state it: {HOW_TO_STATE.format(force=' and --force-scale')}."
    )


def _stated(properties: Mapping[str, str]) -> Scale | None:
    try:
        return Scale(float(properties[MPP_X]), float(properties[MPP_Y]), "slide")
    except (KeyError, ValueError):
        return None


def _given(options: SlideOptions) -> Scale | None:
    if options.um_per_pixel is not None:
        return Scale(options.um_per_pixel, options.um_per_pixel, "um-per-pixel")
    if options.objective is not None:
        pixel = UM_PER_PIXEL_AT_1X / options.objective
        return Scale(pixel, pixel, "objective")
    return None
