"""Decision values into probabilities, a threshold and an abstention band."""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
from sklearn.linear_model import LogisticRegression

from handler.decision import DecisionRule
from scripts.errors import DataSetError
from scripts.training.out_of_fold import OutOfFoldPredictions

# A flatter sigmoid says nothing: the band without a verdict would hold every decision.
MIN_SLOPE = 1e-3

# No verdict where the calibrated chance that it is wrong is larger than this.
TOLERATED_RISK = 1 / 3


def decision_rule(predictions: OutOfFoldPredictions) -> DecisionRule:
    """Derive the rule from decision values of patients that the model never saw.

    - Threshold: where the probability is one half.
    - Probability: Platt's sigmoid over the images of all magnifications, both classes of
      equal weight and every patient of a class too: it holds where malignant is as likely
      as benign. How many biopsies are malignant differs from place to place; the share in a
      data set says nothing about it. The magnifications share one
      SVM on features that are scaled for each, and few patients have 40X images: fitted to
      those alone, it judges held-out patients worse.
    - Abstention: where the calibrated probability of either class is below
      1 - `TOLERATED_RISK`.

    Parameters
    ----------
    predictions : OutOfFoldPredictions
        All magnifications.

    Raises
    ------
    DataSetError
        Malignant images were not given higher decisions than benign ones.
    """
    slope, intercept = _fit(predictions, np.ones(len(predictions.patients), bool))
    certain = math.log((1 - TOLERATED_RISK) / TOLERATED_RISK)
    low, middle, high = ((logit - intercept) / slope for logit in (-certain, 0, certain))
    return DecisionRule(middle, (low, high), slope, intercept)


def held_out_probabilities(predictions: OutOfFoldPredictions) -> np.ndarray:
    """Calibrate each patient's decisions on all the other patients.

    The shipped calibration is fitted to every patient at hand, so its error can only
    be measured in this way.

    Parameters
    ----------
    predictions : OutOfFoldPredictions
        All magnifications.

    Returns
    -------
    ndarray, shape (repetitions, n)
        Probabilities of malignancy.
    """
    probabilities = np.empty_like(predictions.decisions)
    for own in predictions.members():
        others = np.ones(len(predictions.patients), bool)
        others[own] = False
        slope, intercept = _fit(predictions, others)
        logits = slope * predictions.decisions[:, own] + intercept
        probabilities[:, own] = 1 / (1 + np.exp(-logits))
    return probabilities


def _fit(predictions: OutOfFoldPredictions, chosen: np.ndarray) -> tuple[float, float]:
    malignant = predictions.malignant[chosen]
    weights = _weights(predictions.patients[chosen], predictions.magnifications[chosen])
    n_patients = weights.sum()
    for own in (malignant, ~malignant):
        weights[own] *= n_patients / 2 / weights[own].sum()
    repetitions = len(predictions.decisions)
    return _fit_platt(
        predictions.decisions[:, chosen].ravel(),
        np.tile(malignant, repetitions),
        np.tile(weights / repetitions, repetitions),
    )


def _weights(patients: Iterable[str], magnifications: Iterable[int]) -> np.ndarray:
    """Weights, shape (n,): 1 for each patient, shared by magnifications, then by images."""
    images = Counter(zip(patients, magnifications, strict=True))
    seen_at = Counter(patient for patient, _ in images)
    return np.array(
        [1 / seen_at[p] / images[p, m] for p, m in zip(patients, magnifications, strict=True)]
    )


def _fit_platt(
    decisions: np.ndarray, malignant: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Fit p = 1 / (1 + exp(-(slope * decision + intercept))); return slope and intercept.

    The weights sum to the number of independent cases: the patients. The targets are drawn in
    from 0 and 1 as for a uniform prior, which matters with few of them. Reference: Platt,
    "Probabilistic outputs for support vector machines", 1999, section 2.2.
    """
    n_malignant, n_benign = weights[malignant].sum(), weights[~malignant].sum()
    target = np.where(malignant, (n_malignant + 1) / (n_malignant + 2), 1 / (n_benign + 2))
    model = LogisticRegression(C=1e6, max_iter=1000).fit(
        np.tile(decisions, 2)[:, None],
        np.repeat((1, 0), len(decisions)),
        sample_weight=np.concatenate([weights * target, weights * (1 - target)]),
    )
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope < MIN_SLOPE:
        raise DataSetError(
            "Out of fold, malignant images got no higher decisions than benign ones, so no "
            "probability can be given. Check the labels, or use more patients."
        )
    return slope, intercept
