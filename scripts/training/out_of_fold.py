"""Images judged by models that never saw their patients."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class OutOfFoldPredictions:
    """The decisions of a repeated cross-validation.

    Attributes
    ----------
    names, patients, tumour_types : ndarray of str, shape (n,)
    malignant : ndarray of bool, shape (n,)
    magnifications : ndarray of int, shape (n,)
    folds : ndarray of int, shape (repetitions, n)
        That held the image's patient out.
    decisions : ndarray, shape (repetitions, n)
        Positive = malignant.
    """

    names: np.ndarray
    patients: np.ndarray
    tumour_types: np.ndarray
    malignant: np.ndarray
    magnifications: np.ndarray
    folds: np.ndarray
    decisions: np.ndarray

    @classmethod
    def from_json(cls, text: str) -> "OutOfFoldPredictions":
        """Read what `to_json` has written."""
        rows = json.loads(text)

        def column(name: str) -> np.ndarray:
            return np.array([row[name] for row in rows])

        return cls(
            column("name"),
            column("patient"),
            column("tumour_type"),
            column("malignant"),
            column("magnification"),
            column("folds").T,
            column("decisions").T,
        )

    def to_json(self) -> str:
        """Return a JSON list with an image a line."""
        rows: Sequence[dict[str, Any]] = [
            {
                "name": str(self.names[i]),
                "patient": str(self.patients[i]),
                "tumour_type": str(self.tumour_types[i]),
                "magnification": int(self.magnifications[i]),
                "malignant": bool(self.malignant[i]),
                "folds": self.folds[:, i].tolist(),
                "decisions": self.decisions[:, i].tolist(),
            }
            for i in range(len(self.names))
        ]
        return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"

    def only(self, chosen: np.ndarray) -> "OutOfFoldPredictions":
        """Keep the images that a mask of shape (n,) names."""
        return OutOfFoldPredictions(
            self.names[chosen],
            self.patients[chosen],
            self.tumour_types[chosen],
            self.malignant[chosen],
            self.magnifications[chosen],
            self.folds[:, chosen],
            self.decisions[:, chosen],
        )

    def at(self, magnification: int) -> "OutOfFoldPredictions":
        """Keep the images of one magnification."""
        return self.only(self.magnifications == magnification)

    def members(self) -> list[np.ndarray]:
        """Return the indices of each patient's images, patients in the order of their names."""
        return [np.flatnonzero(self.patients == patient) for patient in np.unique(self.patients)]
