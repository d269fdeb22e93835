"""Images judged by models that never saw their patients."""

import json
from dataclasses import dataclass

import numpy as np

# What a row of the file calls the columns, in their order.
KEYS = (
    *("name", "patient", "tumour_type", "magnification", "malignant"),
    *("folds", "decisions"),
)


@dataclass(frozen=True)
class OutOfFoldPredictions:
    """The decisions of a repeated cross-validation.

    Attributes
    ----------
    names, patients, tumour_types : ndarray of str, shape (n,)
    magnifications : ndarray of int, shape (n,)
    malignant : ndarray of bool, shape (n,)
    folds : ndarray of int, shape (repetitions, n)
        That held the image's patient out.
    decisions : ndarray, shape (repetitions, n)
        Positive = malignant.
    """

    names: np.ndarray
    patients: np.ndarray
    tumour_types: np.ndarray
    magnifications: np.ndarray
    malignant: np.ndarray
    folds: np.ndarray
    decisions: np.ndarray

    @classmethod
    def from_json(cls, text: str) -> "OutOfFoldPredictions":
        """Read what `to_json` has written."""
        columns = zip(*(row.values() for row in json.loads(text)), strict=True)
        return cls(*(np.array(column).T for column in columns))

    def to_json(self) -> str:
        """Return a JSON list with an image a line."""
        rows = zip(*(column.T.tolist() for column in vars(self).values()), strict=True)
        lines = (json.dumps(dict(zip(KEYS, row, strict=True))) for row in rows)
        return "[\n" + ",\n".join(lines) + "\n]\n"

    def only(self, chosen: np.ndarray) -> "OutOfFoldPredictions":
        """Keep the images that a mask of shape (n,) names."""
        return OutOfFoldPredictions(*(column[..., chosen] for column in vars(self).values()))

    def at(self, magnification: int) -> "OutOfFoldPredictions":
        """Keep the images of one magnification."""
        return self.only(self.magnifications == magnification)

    def members(self) -> list[np.ndarray]:
        """Return the indices of each patient's images, patients in the order of their names."""
        return [np.flatnonzero(self.patients == patient) for patient in np.unique(self.patients)]

    def by_patient(self, table: np.ndarray) -> np.ndarray:
        """Average over each patient's images: (repetitions, n) to (repetitions, patients)."""
        return np.stack([table[:, own].mean(axis=1) for own in self.members()], axis=1)

    def class_of_patients(self) -> np.ndarray:
        """Tell which patients have malignant tissue, bool of shape (patients,)."""
        return np.array([self.malignant[own[0]] for own in self.members()])
