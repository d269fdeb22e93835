"""Learn to tell a field taken at 40x from one taken otherwise, and from what is no tissue."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from handler.magnification import MAGNIFICATION, MagnificationClassifier
from scripts.errors import DataSetError

# Share of the 40X fields of unseen patients that may be taken for another magnification.
MAX_STOPPED = 0.02
# Chosen by patient-wise cross-validation among 0.01 to 0.3.
C = 0.03


@dataclass(frozen=True)
class Seen:
    """What the magnification is learnt from: textures of n pictures.

    Attributes
    ----------
    textures : ndarray of float32, shape (n, 448)
    kinds : ndarray of int, shape (n,)
        See `handler.magnification`.
    sources : ndarray of str, shape (n,)
        Pictures of one source weigh as much together as those of any other.
    patients : ndarray of str, shape (n,)
        Empty where there is none.
    """

    textures: np.ndarray
    kinds: np.ndarray
    sources: np.ndarray
    patients: np.ndarray

    def only(self, chosen: np.ndarray) -> "Seen":
        """Keep the pictures that a mask of shape (n,) names."""
        return Seen(*(column[chosen] for column in vars(self).values()))


def fit_magnification(seen: Seen) -> MagnificationClassifier:
    """Fit the classifier; a patient with more images counts a little more (square root).

    Raises
    ------
    DataSetError
        There are no original images of 40X and of another magnification.
    """
    if len(np.unique(seen.kinds)) < 3:
        raise DataSetError(
            "To learn what magnification a field has takes images of 40X and of another one, "
            "with the pixels of the originals. Add some."
        )
    images = Counter(zip(seen.patients, seen.sources, strict=True))
    weights = np.array(
        [images[row] ** -0.5 for row in zip(seen.patients, seen.sources, strict=True)]
    )
    for source in np.unique(seen.sources):
        own = seen.sources == source
        weights[own] /= weights[own].sum()
    weights *= len(weights) / weights.sum()
    scaler = StandardScaler().fit(seen.textures)
    model = LogisticRegression(C=C, max_iter=3000)
    model.fit(scaler.transform(seen.textures), seen.kinds, sample_weight=weights)
    per_texture = model.coef_ / scaler.scale_
    return MagnificationClassifier(
        model.classes_,
        # Safetensors writes the bytes as they lie, and scikit-learn's lie column by column.
        np.ascontiguousarray(per_texture, np.float32),
        (model.intercept_ - per_texture @ scaler.mean_).astype(np.float32),
    )


@dataclass(frozen=True)
class OutOfFoldKinds:
    """What classifiers that never saw the patient say of each image, sent as it is.

    Attributes
    ----------
    patients : ndarray of str, shape (n,)
    magnifications : ndarray of int, shape (n,)
    originals : ndarray of bool, shape (n,)
        False for copies with fewer pixels than a microscope's picture.
    log_odds : ndarray, shape (repetitions, n)
        See `handler.magnification`.
    looks_like : ndarray of int, shape (repetitions, n)
    """

    patients: np.ndarray
    magnifications: np.ndarray
    originals: np.ndarray
    log_odds: np.ndarray
    looks_like: np.ndarray

    @classmethod
    def from_json(cls, text: str) -> "OutOfFoldKinds":
        """Read what `to_json` has written."""
        columns: dict[str, Any] = json.loads(text)
        return cls(**{name: np.array(column) for name, column in columns.items()})

    def to_json(self) -> str:
        """Return a JSON object with a line for each column."""
        columns = {
            name: np.round(column, 4) if name == "log_odds" else column
            for name, column in vars(self).items()
        }
        lines = (f'"{name}": {json.dumps(column.tolist())}' for name, column in columns.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def min_log_odds(self) -> float:
        """Return the limit that stops at most `MAX_STOPPED` of the original 40X fields."""
        own = self.log_odds[:, (self.magnifications == MAGNIFICATION) & self.originals]
        return float(np.sort(own, axis=None)[int(MAX_STOPPED * own.size)])
