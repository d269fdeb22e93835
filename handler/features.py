"""Fields in, 512 features and the last feature map out."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

# Outputs of layer4, and of layer1, layer2 and layer3 together.
N_FEATURES, N_TEXTURES = 512, 64 + 128 + 256


class Features(NamedTuple):
    """What the trunk says of n fields.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, 512)
        Each is the mean over space of its map.
    maps : ndarray of float32, shape (n, 512, rows, columns)
    textures : ndarray of float32, shape (n, 448)
        The same means of the outputs of layer1, layer2 and layer3, which see less of the
        tissue at once: its texture and scale.
    """

    vectors: np.ndarray
    maps: np.ndarray
    textures: np.ndarray


class Engine(Protocol):
    """Runs the trunk on some hardware.

    Attributes
    ----------
    name : str
        Library and number format, as in ``torch-fp32``.
    """

    name: str

    def extract(self, fields: Iterable[np.ndarray]) -> Features:
        """Compute the features of many fields.

        Parameters
        ----------
        fields : iterable of ndarray of uint8, shape (height, width, 3)
            RGB, resized to the model's input size; one at least. On a CPU the work begins
            with the first, while the others are still being made.
        """
        ...
