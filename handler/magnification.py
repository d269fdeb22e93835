"""Was this field taken at 40x? A linear classifier of the textures that a field shows.

The earlier layers of the trunk see cells and fibres at their size in the picture, which
tells the magnification; and they see where there are none.
"""

from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load

MAGNIFICATION = 40
# The kind of a picture that shows no tissue; every other kind is a magnification.
NO_TISSUE = 0


@dataclass(frozen=True)
class MagnificationClassifier:
    """A multinomial logistic regression.

    Attributes
    ----------
    kinds : ndarray of int, shape (k,)
        `NO_TISSUE` and magnifications, `MAGNIFICATION` among them.
    weights : ndarray of float32, shape (k, 448)
    bias : ndarray of float32, shape (k,)
    """

    kinds: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def read(cls, data: bytes) -> "MagnificationClassifier":
        """Read what `arrays` gives, from safetensors."""
        return cls(**load(data))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return vars(self)

    def log_odds(self, textures: np.ndarray, *, scale_is_known: bool = False) -> np.ndarray:
        """Tell how likely fields are tissue at `MAGNIFICATION`.

        Parameters
        ----------
        textures : ndarray, shape (n, 448)
            See `handler.features.Features`.
        scale_is_known : bool
            The fields are at this scale, as those of a slide are: only tissue and no tissue
            are weighed.

        Returns
        -------
        ndarray of float64, shape (n,)
            Logarithm of the odds against every other kind together.
        """
        scores, others = self._scores(textures), self._others(scale_is_known)
        wanted = scores[:, self.kinds == MAGNIFICATION][:, 0]
        return wanted - np.logaddexp.reduce(scores[:, others], axis=1)

    def looks_like(self, textures: np.ndarray, *, scale_is_known: bool = False) -> np.ndarray:
        """Name the likeliest of the kinds that are weighed against it, int of shape (n,)."""
        others = self._others(scale_is_known)
        return self.kinds[others][self._scores(textures)[:, others].argmax(axis=1)]

    def _others(self, scale_is_known: bool) -> np.ndarray:
        return self.kinds == NO_TISSUE if scale_is_known else self.kinds != MAGNIFICATION

    def _scores(self, textures: np.ndarray) -> np.ndarray:
        return textures.astype(np.float64) @ self.weights.T + self.bias
