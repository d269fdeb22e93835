"""Features in; the SVM's decision and its gradient out."""

import pickle
from functools import cached_property

import numpy as np
from sklearn.pipeline import Pipeline

# Leaves an error of the sum below 0.001 on real fields.
PATH_STEPS = 16


class Svm:
    """A standard scaler and a support vector machine with an RBF kernel.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted ``StandardScaler`` and ``SVC(kernel="rbf")``, in this order, for the
        classes 0 (benign) and 1 (malignant).
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._scaler, self._svc = (step for _, step in pipeline.steps)

    @classmethod
    def from_pickle(cls, data: bytes) -> "Svm":
        """Load from bytes whose origin the caller has checked."""
        return cls(pickle.loads(data))

    def decision_function(self, vectors: np.ndarray) -> np.ndarray:
        """Signed distance from the separating surface, positive = malignant.

        Parameters
        ----------
        vectors : ndarray, shape (n, 512)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        return self.pipeline.decision_function(vectors)

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
        z = self._scaler.transform(vectors)
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
