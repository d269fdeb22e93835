"""How bright the light was: what comes through glass."""

import cv2
import numpy as np

# A brighter pixel in fifty is noise or a reflection.
GLASS_PERCENTILE = 98

# Grey level that glass is brought to, as it is in most training fields; a picture that is
# darker than the second level all over is not made brighter without end.
STANDARD_GLASS, DARKEST_GLASS = 225, 60


def glass_level(channel: np.ndarray) -> float:
    """Return the level of the light that comes through glass in one channel, uint8, 1 to 255."""
    # The percentile from a histogram, for speed; between the two pixels that it lies between.
    up_to = np.cumsum(cv2.calcHist([channel], [0], None, [256], [0, 256]))
    rank, share = divmod(GLASS_PERCENTILE / 100 * (channel.size - 1), 1)
    below, above = np.searchsorted(up_to, (rank, rank + 1), side="right")
    return float(max(below + share * (above - below), 1))


def in_standard_light(pixels: np.ndarray) -> np.ndarray:
    """Make a field as bright as if its glass were at `STANDARD_GLASS`; colours stay.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    glass = glass_level(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    return cv2.convertScaleAbs(pixels, alpha=STANDARD_GLASS / max(glass, DARKEST_GLASS))
