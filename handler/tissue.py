"""Is this the tissue the model knows? Warnings, and a refusal to judge.

A field whose features are far from those of every training field gets no verdict, nor
does one that seems to be taken at another magnification or to show no tissue; measures
of the picture itself tell a person why, and what to do. The thresholds are the manifest's.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from handler.light import glass_level
from handler.magnification import MAGNIFICATION, NO_TISSUE
from handler.manifest import TrainingField
from handler.prediction import Warning
from handler.svm import squared_distances

# Optical density (natural logarithm) above which a pixel is stained.
# Reference: Macenko et al., "A method for normalizing histology slides for quantitative
# analysis", ISBI 2009.
STAINED = 0.15


@dataclass(frozen=True)
class TissueLimits:
    """Thresholds of the checks.

    Attributes
    ----------
    max_distance : float
        From the nearest training field, in the features' units; above it no verdict.
    min_log_odds : float
        Of tissue at 40x, see `handler.magnification`; below it no verdict.
    min_tissue : float
        Share of the field that must be stained, 0 to 1; below it a warning.
    min_he : float
        Share of the stained part that absorbs as haematoxylin or eosin, 0 to 1.
    min_sharpness : float
        Variance of the Laplacian of the grey picture (grey levels squared).
    """

    max_distance: float
    min_log_odds: float
    min_tissue: float
    min_he: float
    min_sharpness: float


@dataclass(frozen=True)
class TissueMeasures:
    """What is measured of a picture; see `TissueLimits`."""

    tissue: float
    he: float
    sharpness: float


@dataclass(frozen=True)
class Likeness:
    """What the trunk says of a field, as the checks need it.

    Attributes
    ----------
    distance : float
        See `distances`.
    log_odds : float
        Of tissue at 40x; see `handler.magnification`.
    looks_like : int
        The likeliest other kind.
    """

    distance: float
    log_odds: float
    looks_like: int


@dataclass(frozen=True)
class TissueCheck:
    """Result of the checks: ``in_distribution`` is false where no verdict should be given."""

    in_distribution: bool
    warnings: list[Warning]


def measure(pixels: np.ndarray) -> TissueMeasures:
    """Measure one field.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB, at the size of the model's input, whatever that of the photograph.
    """
    red, green, blue = densities = optical_densities(pixels)
    stained = is_stained(densities)
    # Haematoxylin and eosin both absorb green light most, as DAB does blue and methyl blue red.
    # Reference: Ruifrok, Johnston, Anal. Quant. Cytol. Histol. 23, 2001.
    he = green > cv2.max(red, blue)
    sharpness = float(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
    return TissueMeasures(
        tissue=float(stained.mean()),
        he=float((he & stained).sum() / max(stained.sum(), 1)),
        sharpness=sharpness,
    )


def optical_densities(pixels: np.ndarray) -> list[np.ndarray]:
    """Return the optical density against glass of each channel of a picture.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.

    Returns
    -------
    list of 3 ndarray of float32, shape (height, width)
    """
    return [_density(channel) for channel in cv2.split(pixels)]


def is_stained(densities: list[np.ndarray]) -> np.ndarray:
    """Tell which pixels are stained tissue, from `optical_densities`.

    Returns
    -------
    ndarray of bool, shape (height, width)
    """
    red, green, blue = densities
    return cv2.add(cv2.add(red, green), blue) > 3 * STAINED


def _density(channel: np.ndarray) -> np.ndarray:
    """Optical density against glass, float32, of one channel of a picture, uint8."""
    levels = np.maximum(np.arange(256), 1) / glass_level(channel)
    return cv2.LUT(channel, -np.log(levels).astype(np.float32))


def distances(vectors: np.ndarray, reference_features: np.ndarray) -> np.ndarray:
    """Measure how far fields are from the nearest training field.

    Reference: Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep nearest
    neighbors", ICML 2022; here the features are not scaled to unit length.

    Parameters
    ----------
    vectors : ndarray, shape (n, 512)
        Features of the fields.
    reference_features : ndarray, shape (m, 512)
        Those of the training fields.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    return np.sqrt(squared_distances(vectors, reference_features).min(axis=1))


def check(
    seen: TissueMeasures,
    likeness: Likeness,
    aspect_ratio: float,
    limits: TissueLimits,
    field: TrainingField,
) -> TissueCheck:
    """Compare one field with what the model was trained on.

    Parameters
    ----------
    seen : TissueMeasures
    likeness : Likeness
    aspect_ratio : float
        Width over height of the photograph.
    limits : TissueLimits
    field : TrainingField

    Returns
    -------
    TissueCheck
    """
    is_far = likeness.distance > limits.max_distance
    is_other = likeness.log_odds < limits.min_log_odds
    warnings = []
    if seen.tissue < limits.min_tissue:
        warnings.append(
            Warning(
                "little_tissue",
                f"Only {seen.tissue:.0%} of the field is stained tissue. Choose a field with more.",
            )
        )
    elif seen.he < limits.min_he:
        warnings.append(
            Warning(
                "not_he",
                "The colours are not those of a haematoxylin and eosin stain. "
                "The model knows no other stain.",
            )
        )
    if seen.sharpness < limits.min_sharpness:
        warnings.append(
            Warning("out_of_focus", "The picture is out of focus. Refocus and take it again.")
        )
    if is_other and likeness.looks_like != NO_TISSUE:
        warnings.append(
            Warning(
                "wrong_magnification",
                f"The picture looks like {likeness.looks_like}x. The model knows fields taken at "
                f"{MAGNIFICATION}x only: take it at {MAGNIFICATION}x.",
            )
        )
    elif is_far or is_other:
        warnings.append(
            Warning(
                "unfamiliar",
                "The picture is unlike every field that the model learnt from. "
                "Send an H&E-stained breast biopsy, photographed at 40x and in focus.",
            )
        )
    if not 0.8 < aspect_ratio / field.aspect_ratio < 1.25:
        warnings.append(
            Warning(
                "unusual_size",
                f"The shape of the picture is not that of the training fields ({field}). "
                "Send a whole 40x field, not a crop or a montage.",
            )
        )
    return TissueCheck(not (is_far or is_other), warnings)
