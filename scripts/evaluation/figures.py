"""How good decisions on unseen patients are, by image and by patient, with intervals.

The cross-validation is repeated with other folds and seeds: every figure is the mean
over the repetitions, each of which judges every image once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.progress import track

from handler.decision import DecisionRule
from scripts.training.out_of_fold import OutOfFoldPredictions

N_BOOTSTRAP = 2000
N_BINS = 10
RISKS = tuple(k / 20 for k in range(1, 11))


def from_decisions(
    predictions: OutOfFoldPredictions, probabilities: np.ndarray, rule: DecisionRule
) -> dict[str, Any]:
    """Measure what follows from the decisions of the cross-validation alone."""
    magnifications = {}
    for m in track(np.unique(predictions.magnifications).tolist(), "Bootstrap  "):
        own = predictions.magnifications == m
        at = predictions.only(own)
        if len(set(at.malignant)) == 2:
            measured: dict[str, Any] = figures(at, probabilities[:, own], rule)
            measured["image"]["calibration_noise"] = calibration_noise(probabilities[0, own])
            measured["risk"] = risk_and_coverage(probabilities[:, own], at.malignant)
            measured["tumour_types"] = by_tumour_type(at, rule)
            magnifications[f"{m}X"] = measured
    return {"repetitions": len(predictions.decisions), "magnifications": magnifications}


def figures(
    predictions: OutOfFoldPredictions, probabilities: np.ndarray, rule: DecisionRule
) -> dict[str, Any]:
    """Measure by image and by patient.

    A patient's decision and probability are the means over the images. Intervals of
    95 % come from a bootstrap over patients within each class: images of one patient
    are not independent.

    Parameters
    ----------
    predictions : OutOfFoldPredictions
        Those of both classes.
    probabilities : ndarray, shape (repetitions, n)
    rule : DecisionRule
        The shipped one.

    Returns
    -------
    dict
        ``image`` and ``patient``: counts, and for each measure ``value``, ``interval``
        and ``repetitions``, its value in each of them.
    """
    members, of_class = predictions.members(), predictions.class_of_patients()
    # Patient recognition rate: the mean over patients of the share of their images that
    # are classified rightly. Reference: Spanhol et al., IEEE TBME 2016, section IV.
    called = predictions.decisions >= rule.threshold
    recognised = predictions.by_patient(called == predictions.malignant)
    decisions, chances = map(predictions.by_patient, (predictions.decisions, probabilities))
    by_image = [
        [
            measure(d[of], p[of], predictions.malignant[of], rule)
            for d, p in zip(predictions.decisions, probabilities, strict=True)
        ]
        for of in [np.concatenate(members), *draw_images(predictions)]
    ]
    by_patient = [
        [
            measure(d[of], p[of], of_class[of], rule) | {"recognition_rate": float(r[of].mean())}
            for d, p, r in zip(decisions, chances, recognised, strict=True)
        ]
        for of in [np.arange(len(members)), *draw_patients(of_class)]
    ]
    result: dict[str, dict[str, Any]] = {}
    for level, measured, classes in (
        ("image", by_image, predictions.malignant),
        ("patient", by_patient, of_class),
    ):
        result[level] = {"benign": int((~classes).sum()), "malignant": int(classes.sum())}
        for name in measured[0][0]:
            each, *drawn = np.array([[m[name] for m in sample] for sample in measured])
            result[level][name] = {
                "value": float(each.mean()),
                "interval": interval(np.mean(drawn, axis=1)),
                "repetitions": each.tolist(),
            }
    return result


def risk_and_coverage(probabilities: np.ndarray, malignant: np.ndarray) -> dict[str, list[float]]:
    """Measure how many images get no verdict and how many a wrong one, by the risk tolerated.

    Reference: El-Yaniv, Wiener, "On the foundations of noise-free selective
    classification", JMLR 11, 2010.

    Parameters
    ----------
    probabilities : ndarray, shape (repetitions, n)
    malignant : ndarray of bool, shape (n,)

    Returns
    -------
    dict
        ``tolerated_risk``, and for each the shares of all images ``abstained`` and
        ``wrong_verdicts``.
    """
    risk = np.minimum(probabilities, 1 - probabilities)
    wrong = (probabilities >= 0.5) != malignant
    return {
        "tolerated_risk": list(RISKS),
        "abstained": [float((risk > tolerated).mean()) for tolerated in RISKS],
        "wrong_verdicts": [float((wrong & (risk <= tolerated)).mean()) for tolerated in RISKS],
    }


def by_tumour_type(
    predictions: OutOfFoldPredictions, rule: DecisionRule
) -> dict[str, dict[str, Any]]:
    """Measure the share of images that are labelled rightly, type by type.

    Returns
    -------
    dict of str to dict
        By the data set's abbreviation: ``images``, ``patients``, ``accuracy`` with
        ``value`` and ``interval``; no interval where there is but one patient.
    """
    result = {}
    for tumour_type in np.unique(predictions.tumour_types).tolist():
        own = predictions.only(predictions.tumour_types == tumour_type)
        right = ((own.decisions >= rule.threshold) == own.malignant).mean(axis=0)
        n_patients = len(own.members())
        accuracy = with_interval(right, draw_images(own))
        if n_patients == 1:
            del accuracy["interval"]
        result[tumour_type] = {"images": len(right), "patients": n_patients, "accuracy": accuracy}
    return result


def draw_patients(of_class: np.ndarray) -> list[np.ndarray]:
    """Draw patients with replacement within each class, `N_BOOTSTRAP` times.

    Parameters
    ----------
    of_class : ndarray of bool, shape (patients,)

    Returns
    -------
    list of ndarray of int, shape (patients,)
    """
    rng = np.random.default_rng(0)
    by_class = [np.flatnonzero(of_class == c) for c in np.unique(of_class)]
    return [
        np.concatenate([rng.choice(own, len(own)) for own in by_class]) for _ in range(N_BOOTSTRAP)
    ]


def draw_images(predictions: OutOfFoldPredictions) -> list[np.ndarray]:
    """Draw patients as `draw_patients` does, and return the indices of all their images."""
    members, drawn = predictions.members(), draw_patients(predictions.class_of_patients())
    return [np.concatenate([members[i] for i in patients]) for patients in drawn]


def interval(values: Sequence[float] | np.ndarray) -> list[float]:
    """Return the middle 95 % of bootstrapped values."""
    return np.percentile(values, (2.5, 97.5)).tolist()


def with_interval(values: np.ndarray, drawn: list[np.ndarray]) -> dict[str, Any]:
    """Return the mean of values, shape (n,), and the interval of its means over what is drawn."""
    means = [values[of].mean() for of in drawn]
    return {"value": float(values.mean()), "interval": interval(means)}


def measure(
    decisions: np.ndarray, probabilities: np.ndarray, malignant: np.ndarray, rule: DecisionRule
) -> dict[str, float]:
    """Measure decisions and probabilities of one repetition, each of shape (n,)."""
    called = decisions >= rule.threshold
    low, high = rule.abstain
    given = (decisions < low) | (decisions > high)
    sensitivity = float(called[malignant].mean())
    specificity = float((~called)[~malignant].mean())
    return {
        "auc": area_under_roc(decisions, malignant),
        "accuracy": float((called == malignant).mean()),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "brier": float(np.square(probabilities - malignant).mean()),
        "calibration_error": calibration_error(probabilities, malignant),
        "abstained": float((~given).mean()),
        "wrong_verdicts": float((given & (called != malignant)).mean()),
    }


def area_under_roc(decisions: np.ndarray, malignant: np.ndarray) -> float:
    """Area under the ROC curve, from the Mann-Whitney statistic: thousands are needed."""
    own, benign = decisions[malignant], np.sort(decisions[~malignant])
    below = np.searchsorted(benign, own, "left").sum()
    not_above = np.searchsorted(benign, own, "right").sum()
    return float((below + not_above) / 2 / (len(own) * len(benign)))  # a tie counts half


def calibration_error(probabilities: np.ndarray, malignant: np.ndarray) -> float:
    """Compute the expected calibration error over `N_BINS` bins of equal width.

    Reference: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using
    Bayesian binning", AAAI 2015.
    """
    bins = bins_of(probabilities)
    excess = np.bincount(bins, probabilities - malignant, N_BINS)
    return float(np.abs(excess).sum() / len(bins))


def bins_of(probabilities: np.ndarray) -> np.ndarray:
    """Return the bin of each probability, 0 to N_BINS - 1."""
    return np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)


def calibration_noise(probabilities: np.ndarray) -> float:
    """Calibration error to expect of perfect probabilities, shape (n,), by chance alone."""
    rng = np.random.default_rng(0)
    draws = [rng.random(len(probabilities)) < probabilities for _ in range(N_BOOTSTRAP)]
    return float(np.mean([calibration_error(probabilities, malignant) for malignant in draws]))
