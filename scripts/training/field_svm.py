"""Fit the SVM, the classifier, on the features of whole fields."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from handler.features import N_FEATURES
from handler.resnet import Trunk
from handler.torch_engine import TorchEngine
from scripts.errors import DataSetError
from scripts.training.pictures import GroupKey

# Chosen by patient-wise cross-validation, among C of 0.03 to 3 and gamma of 0.01 to 1 / 512.
C = 0.3
GAMMA = 0.03 / N_FEATURES


@dataclass(frozen=True)
class FieldClassifier:
    """The SVM, with a scaler for each magnification.

    Attributes
    ----------
    scalers : dict of int to StandardScaler
        The magnifications differ in optics and in the size of the field, which moves
        all features; scaled one by one they can share an SVM.
    svc : SVC
    """

    scalers: dict[int, StandardScaler]
    svc: SVC

    def decision_function(self, vectors: np.ndarray, magnification: int) -> np.ndarray:
        """Signed distances, shape (n,), of features of one magnification, shape (n, 512)."""
        return self.svc.decision_function(self.scalers[magnification].transform(vectors))

    def shipped(self) -> Pipeline:
        """Return what is served: the scaler of 40X fields and the SVM."""
        return Pipeline([("scaler", self.scalers[40]), ("svc", self.svc)])


def fit_svm(vectors: np.ndarray, rows: list[GroupKey]) -> FieldClassifier:
    """Fit scalers and SVM on the features of whole fields.

    Parameters
    ----------
    vectors : ndarray, shape (n, 512)
    rows : list of GroupKey
        The group of each; see `scripts.training.pictures.training_fields`.

    Raises
    ------
    DataSetError
        There are not both classes at 40X.
    """
    if len({row.malignant for row in rows if row.magnification == 40}) < 2:
        raise DataSetError(
            "The training patients have not both classes at 40X. Use fewer folds or more images."
        )
    patients, magnifications, malignant = (np.array(column) for column in zip(*rows, strict=True))
    scaled = np.empty_like(vectors)
    scalers = {}
    for magnification in np.unique(magnifications):
        own = magnifications == magnification
        weights = _balanced_weights(patients[own], malignant[own])
        scaler = StandardScaler().fit(vectors[own], sample_weight=weights)
        scaled[own] = scaler.transform(vectors[own])
        scalers[int(magnification)] = scaler
    weights = _balanced_weights(patients, malignant)
    svc = SVC(kernel="rbf", C=C, gamma=GAMMA)
    return FieldClassifier(scalers, svc.fit(scaled, malignant.astype(int), sample_weight=weights))


def last_features(trunk: Trunk, maps: Tensor) -> np.ndarray:
    """Compute the features, shape (n, 512), from what layer3 gives, (n, 256, rows, columns)."""
    layer4 = trunk.resnet.layer4.to(memory_format=torch.channels_last)
    # Small pieces stay in the processor's cache.
    with torch.inference_mode():
        parts = [
            layer4(piece.to(memory_format=torch.channels_last)).mean(dim=(2, 3))
            for piece in maps.split(16)
        ]
    return torch.cat(parts).numpy()


def extract(trunk: Trunk, fields: np.ndarray) -> np.ndarray:
    """Compute the features, shape (n, 512), of fields of one size, uint8 of (n, h, w, 3)."""
    engine = TorchEngine(trunk)
    # Small pieces stay in the processor's cache.
    pieces = np.array_split(fields, -(-len(fields) // 8))
    return np.concatenate([engine.extract(piece).vectors for piece in pieces])


def _balanced_weights(patients: np.ndarray, malignant: np.ndarray) -> np.ndarray:
    """Weights with mean 1: both classes equal, and the patients of a class."""
    fields = Counter(patients)
    weights = np.array([1 / fields[p] for p in patients])
    for own in (malignant, ~malignant):
        weights[own] /= 2 * weights[own].sum()
    return weights * len(weights)
