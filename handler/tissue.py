"""Is this the tissue the model knows? Warnings, and a refusal to judge.

Cheap measures on the picture itself, each with a threshold that the model's
manifest gives.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from handler.images import ImageWarning

# Colour and focus are judged at one size, whatever the size of the photograph.
WIDTH, HEIGHT = 350, 230


@dataclass(frozen=True)
class TissueLimits:
    """Thresholds of the checks.

    Attributes
    ----------
    min_tissue : float
        Share of the field that must be stained, 0 to 1; below it a warning.
    min_he : float
        Share of the stained part with a hue of haematoxylin or eosin, 0 to 1.
    min_sharpness : float
        Variance of the Laplacian of the grey picture (grey levels squared).
    aspect_ratio : float
        Width over height of the training fields.
    """

    min_tissue: float
    min_he: float
    min_sharpness: float
    aspect_ratio: float


@dataclass(frozen=True)
class TissueCheck:
    """Result of the checks: ``known`` is false where no verdict should be given."""

    known: bool
    warnings: list[ImageWarning]


@dataclass(frozen=True)
class TissueMeasures:
    """What is measured of a field; see `TissueLimits` for ranges."""

    tissue: float
    he: float
    sharpness: float
    aspect_ratio: float


def measure(pixels: np.ndarray) -> TissueMeasures:
    """Measure one field.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    small = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    # Glass is bright and without colour; OpenCV's hue runs from 0 to 179.
    stained = (saturation > 20) & (value > 25)
    tissue = float(stained.mean())
    # Haematoxylin is blue to violet, eosin pink to red: hue 220 to 360 degrees and a little over.
    he = (hue >= 110) | (hue <= 8)
    sharpness = float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
    return TissueMeasures(
        tissue=tissue,
        he=float(he[stained].mean()) if stained.any() else 0.0,
        sharpness=sharpness,
        aspect_ratio=pixels.shape[1] / pixels.shape[0],
    )


def check(pixels: np.ndarray, limits: TissueLimits) -> TissueCheck:
    """Compare one field with what the model was trained on.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.
    limits : TissueLimits

    Returns
    -------
    TissueCheck
    """
    seen = measure(pixels)
    warnings = []
    if seen.tissue < limits.min_tissue:
        warnings.append(
            ImageWarning(
                "little_tissue",
                f"Only {seen.tissue:.0%} of the field is stained tissue. Choose a field with more.",
            )
        )
    elif seen.he < limits.min_he:
        warnings.append(
            ImageWarning(
                "not_he",
                "The colours are not those of a haematoxylin and eosin stain. "
                "The model knows no other stain.",
            )
        )
    known = not warnings
    if seen.sharpness < limits.min_sharpness:
        warnings.append(
            ImageWarning("out_of_focus", "The picture is out of focus. Refocus and take it again.")
        )
    if not 0.8 < seen.aspect_ratio / limits.aspect_ratio < 1.25:
        warnings.append(
            ImageWarning(
                "unusual_size",
                "The shape of the picture is not that of the training fields (700 x 460). "
                "Send a whole 40x field, not a crop or a montage.",
            )
        )
    return TissueCheck(known, warnings)
