"""Features in; the SVM's decision and its gradient out."""

import io
import pickle
from functools import cached_property
from typing import Any

import numpy as np

from handler.errors import BadModel

# Leaves an error of the sum below 0.001 on real fields.
PATH_STEPS = 16
# What numpy's arrays and numbers are pickled as.
ARRAYS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
}


class Svm:
    """A standard scaler and a support vector machine with an RBF kernel.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted ``StandardScaler`` and ``SVC(kernel="rbf")``, in this order, for the
        classes 0 (benign) and 1 (malignant). Only the attributes are read.
    """

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self._scaler, self._svc = (step for _, step in pipeline.steps)

    @classmethod
    def from_pickle(cls, data: bytes) -> "Svm":
        """Load a pickled pipeline. Nothing that the pickle names is imported, or run.

        Raises
        ------
        BadModel
            It holds something else.
        """
        try:
            return cls(_Attributes(io.BytesIO(data)).load())
        except pickle.UnpicklingError as error:
            raise BadModel(
                f"The pickled SVM is not one that scripts.train wrote ({error}). Train it again."
            ) from error

    def decision_function(self, vectors: np.ndarray) -> np.ndarray:
        """Signed distance from the separating surface, positive = malignant.

        Parameters
        ----------
        vectors : ndarray, shape (n, 512)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        squared = squared_distances(self._scaled(vectors), self._svc.support_vectors_)
        kernel = np.exp(-self.gamma * squared)
        return (kernel * self._svc.dual_coef_[0]).sum(axis=1) + self._svc.intercept_[0]

    def _scaled(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self._scaler.mean_) / self._scaler.scale_

    @cached_property
    def gamma(self) -> float:
        """Return the width of the kernel exp(-gamma |z - s|^2)."""
        # With gamma="scale" the fitted value is only in the private attribute.
        return float(self._svc._gamma)

    def gradient(self, vectors: np.ndarray) -> np.ndarray:
        """Gradient of the decision function with respect to the features.

        For f(x) = sum_i a_i exp(-g |z - s_i|^2) + b with z = (x - mean) / scale,
        df/dx = sum_i -2 g a_i (z - s_i) exp(-g |z - s_i|^2) / scale.

        Parameters
        ----------
        vectors : ndarray, shape (n, 512)

        Returns
        -------
        ndarray of float64, shape (n, 512)
        """
        z = self._scaled(vectors)
        away = z[:, None, :] - self._svc.support_vectors_[None]
        kernel = np.exp(-self.gamma * np.square(away).sum(axis=2))
        weight = -2 * self.gamma * self._svc.dual_coef_[0] * kernel
        return np.einsum("ns,nsf->nf", weight, away) / self._scaler.scale_

    @property
    def reference(self) -> np.ndarray:
        """Features of the mean training field, float64 of shape (512,)."""
        return self._scaler.mean_

    @cached_property
    def base(self) -> float:
        """Decision of the mean training field."""
        return float(self.decision_function(self.reference[None])[0])

    def path_gradient(self, vector: np.ndarray) -> np.ndarray:
        """Gradient averaged over the straight path from the reference to a field.

        Its scalar product with ``vector - reference`` is the difference of the two
        decisions. The gradient at the field alone says little: near a support vector
        an RBF decision function is flat, and its slope may point anywhere.
        Reference: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks"
        (integrated gradients), ICML 2017.

        Parameters
        ----------
        vector : ndarray, shape (512,)

        Returns
        -------
        ndarray of float64, shape (512,)
        """
        midpoints = (np.arange(PATH_STEPS) + 0.5) / PATH_STEPS
        path = self.reference + midpoints[:, None] * (vector - self.reference)
        return self.gradient(path).mean(axis=0)


def squared_distances(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Square the distances of n features from m others: float64 of shape (n, m)."""
    a, b = (features.astype(np.float64, copy=False) for features in (vectors, others))
    # Multiplied out: the differences themselves would be n x m x 512 numbers. (SciPy does it in
    # place, but takes half a second to import.) One product for each of the n, since a product of
    # all would round a feature otherwise alone than among others, and an answer must not depend on
    # its batch.
    product = (a[:, None] @ b.T)[:, 0]
    lengths = [np.einsum("nf,nf->n", features, features) for features in (a, b)]
    squared = lengths[0][:, None] + lengths[1] - 2 * product
    return np.maximum(squared, 0)


class _Estimator:
    """Stands for an estimator of scikit-learn, which takes seconds to import."""


class _Attributes(pickle.Unpickler):
    """Reads the attributes of pickled estimators."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what is built where the pickle names something."""
        if module.startswith("sklearn."):
            return _Estimator
        if (module, name) in ARRAYS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")
