"""How good decisions are, by image and by patient, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

N_BOOTSTRAP = 2000


def figures(
    decisions: np.ndarray, malignant: np.ndarray, patients: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Measure by image and by patient.

    A patient's decision is the mean over the images. Intervals of 95 % come from a
    bootstrap over patients within each class: images of one patient are not
    independent.

    Parameters
    ----------
    decisions : ndarray, shape (n,)
        Positive = malignant.
    malignant : ndarray of bool, shape (n,)
    patients : sequence of str
    threshold : float
        Decision at and above which the label is malignant.

    Returns
    -------
    dict
        ``image`` and ``patient``, each with counts and, for auc, balanced_accuracy,
        sensitivity and specificity, value and interval.
    """
    of_patient = np.asarray(patients)
    members = {str(p): np.flatnonzero(of_patient == p) for p in np.unique(of_patient)}
    by_class = [[p for p, i in members.items() if malignant[i[0]] == c] for c in (False, True)]
    rng = np.random.default_rng(0)
    drawn = [[p for own in by_class for p in rng.choice(own, len(own))] for _ in range(N_BOOTSTRAP)]
    mean_decision = {p: decisions[i].mean() for p, i in members.items()}

    def by_image(of: Sequence[str]) -> dict[str, float]:
        indices = np.concatenate([members[p] for p in of])
        return _measure(decisions[indices], malignant[indices], threshold)

    def by_patient(of: Sequence[str]) -> dict[str, float]:
        values = np.array([mean_decision[p] for p in of])
        return _measure(values, np.array([malignant[members[p][0]] for p in of]), threshold)

    result: dict[str, dict[str, Any]] = {}
    for level, measure, classes in (
        ("image", by_image, malignant),
        ("patient", by_patient, np.repeat((False, True), [len(own) for own in by_class])),
    ):
        values = measure(list(members))
        spread = [measure(sample) for sample in drawn]
        result[level] = {"benign": int((~classes).sum()), "malignant": int(classes.sum())}
        for name, value in values.items():
            low, high = np.percentile([s[name] for s in spread], (2.5, 97.5))
            result[level][name] = {"value": value, "interval": [float(low), float(high)]}
    return result


def _measure(decisions: np.ndarray, malignant: np.ndarray, threshold: float) -> dict[str, float]:
    called = decisions >= threshold
    sensitivity = float(called[malignant].mean())
    specificity = float((~called)[~malignant].mean())
    return {
        "auc": _auc(decisions, malignant),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def _auc(decisions: np.ndarray, malignant: np.ndarray) -> float:
    """Area under the ROC curve, from the Mann-Whitney statistic: thousands are needed."""
    n_malignant = malignant.sum()
    n_benign = len(malignant) - n_malignant
    above = rankdata(decisions)[malignant].sum() - n_malignant * (n_malignant + 1) / 2
    return float(above / (n_malignant * n_benign))
