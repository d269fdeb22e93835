"""Is this the tissue the model knows? Warnings, and a refusal to judge.

A field whose features are far from those of every training field gets no verdict;
measures of the picture itself tell a person why, and what to do. The thresholds are
the manifest's.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from handler.manifest import TrainingField
from handler.prediction import Warning
from handler.svm import squared_distances

# Colour and focus are judged at one size, whatever the size of the photograph.
WIDTH, HEIGHT = 350, 230

# The light that comes through glass; a brighter pixel in fifty is noise or a reflection.
GLASS_PERCENTILE = 98

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
    min_tissue : float
        Share of the field that must be stained, 0 to 1; below it a warning.
    min_he : float
        Share of the stained part that absorbs as haematoxylin or eosin, 0 to 1.
    min_sharpness : float
        Variance of the Laplacian of the grey picture (grey levels squared).
    """

    max_distance: float
    min_tissue: float
    min_he: float
    min_sharpness: float


@dataclass(frozen=True)
class TissueMeasures:
    """What is measured of a picture; see `TissueLimits`. The aspect ratio is width over height."""

    tissue: float
    he: float
    sharpness: float
    aspect_ratio: float


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
        RGB.
    """
    small = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    red, green, blue = densities = optical_densities(small)
    stained = is_stained(densities)
    # Haematoxylin and eosin both absorb green light most, as DAB does blue and methyl blue red.
    # Reference: Ruifrok, Johnston, Anal. Quant. Cytol. Histol. 23, 2001.
    he = green > cv2.max(red, blue)
    sharpness = float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
    return TissueMeasures(
        tissue=float(stained.mean()),
        he=float((he & stained).sum() / max(stained.sum(), 1)),
        sharpness=sharpness,
        aspect_ratio=pixels.shape[1] / pixels.shape[0],
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
    # The percentile from a histogram, for speed; between the two pixels that it lies between.
    up_to = np.cumsum(cv2.calcHist([channel], [0], None, [256], [0, 256]))
    rank, share = divmod(GLASS_PERCENTILE / 100 * (channel.size - 1), 1)
    below, above = np.searchsorted(up_to, (rank, rank + 1), side="right")
    glass = below + share * (above - below)
    levels = np.maximum(np.arange(256), 1) / max(glass, 1)
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
    seen: TissueMeasures, distance: float, limits: TissueLimits, field: TrainingField
) -> TissueCheck:
    """Compare one field with what the model was trained on.

    Parameters
    ----------
    seen : TissueMeasures
    distance : float
        See `distances`.
    limits : TissueLimits
    field : TrainingField

    Returns
    -------
    TissueCheck
    """
    in_distribution = distance <= limits.max_distance
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
    if not in_distribution:
        warnings.append(
            Warning(
                "unfamiliar",
                "The picture is unlike every field that the model learnt from. "
                "Send an H&E-stained breast biopsy, photographed at 40x and in focus.",
            )
        )
    if not 0.8 < seen.aspect_ratio / field.aspect_ratio < 1.25:
        warnings.append(
            Warning(
                "unusual_size",
                f"The shape of the picture is not that of the training fields ({field}). "
                "Send a whole 40x field, not a crop or a montage.",
            )
        )
    return TissueCheck(in_distribution, warnings)
