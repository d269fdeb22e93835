"""The figures that people would rather look at, as SVG."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from handler.decision import DecisionRule
from scripts.evaluation.figures import N_BINS
from scripts.reports import BLUE, VERMILLION, svg
from scripts.training.out_of_fold import OutOfFoldPredictions


def draw(
    predictions: OutOfFoldPredictions,
    probabilities: np.ndarray,
    rule: DecisionRule,
    evaluation: dict[str, Any],
) -> dict[str, bytes]:
    """Draw every plot.

    Parameters
    ----------
    predictions : OutOfFoldPredictions
        All magnifications.
    probabilities : ndarray, shape (repetitions, n)
    rule : DecisionRule
    evaluation : dict
        With the figures of the heat map's check and of the out-of-distribution check.

    Returns
    -------
    dict of str to bytes
        SVG by file name.
    """
    at_40x = predictions.at(40)
    return {
        "roc.svg": roc(at_40x),
        "calibration.svg": calibration(at_40x, probabilities[:, predictions.magnifications == 40]),
        "confusion.svg": confusion(at_40x, rule),
        "risk.svg": risk(evaluation["magnifications"]["40X"]["risk"]),
        "deletion.svg": deletion(evaluation["heatmap"]),
        "rejection.svg": ood_distance(evaluation["rejection"]),
    }


def roc(predictions: OutOfFoldPredictions) -> bytes:
    """ROC curves of 40X images and patients, one for each repetition.

    Parameters
    ----------
    predictions : OutOfFoldPredictions
        40X images.

    Returns
    -------
    bytes
        SVG.
    """
    members = predictions.members()
    of_class = np.array([predictions.malignant[own[0]] for own in members])
    figure, axes = _square()
    for r, decisions in enumerate(predictions.decisions):
        means = np.array([decisions[own].mean() for own in members])
        for values, classes, colour, name in (
            (decisions, predictions.malignant, BLUE, "images"),
            (means, of_class, VERMILLION, "patients"),
        ):
            false_alarms, found, _ = roc_curve(classes, values)
            axes.plot(false_alarms, found, color=colour, lw=1.2, label=None if r else name)
    axes.plot([0, 1], [0, 1], color="grey", lw=0.7, ls=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, 40X, unseen patients")
    axes.legend(loc="lower right", frameon=False)
    return svg(figure)


def calibration(predictions: OutOfFoldPredictions, probabilities: np.ndarray) -> bytes:
    """Share of malignant images against the probability given, 40X, all repetitions.

    Parameters
    ----------
    predictions : OutOfFoldPredictions
        40X images.
    probabilities : ndarray, shape (repetitions, n)

    Returns
    -------
    bytes
        SVG; the area of a dot stands for the number of images.
    """
    given = probabilities.ravel()
    malignant = np.tile(predictions.malignant, len(probabilities))
    bins = np.minimum((given * N_BINS).astype(int), N_BINS - 1)
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color="grey", lw=0.7, ls=":")
    for b in np.unique(bins):
        own = bins == b
        share = own.mean()
        axes.scatter(given[own].mean(), malignant[own].mean(), s=600 * share, color=BLUE, alpha=0.8)
    axes.set(
        xlabel="probability given",
        ylabel="share that is malignant",
        title="Calibration, 40X images, unseen patients",
    )
    return svg(figure)


def confusion(predictions: OutOfFoldPredictions, rule: DecisionRule) -> bytes:
    """Verdicts of 40X images by class, in percent of the class, mean of the repetitions.

    Parameters
    ----------
    predictions : OutOfFoldPredictions
        40X images.
    rule : DecisionRule

    Returns
    -------
    bytes
        SVG.
    """
    low, high = rule.abstain
    verdict = 1 + (predictions.decisions > high).astype(int) - (predictions.decisions < low)
    shares = np.array(
        [
            [(verdict[:, predictions.malignant == c] == v).mean() for v in (0, 1, 2)]
            for c in (False, True)
        ]
    )
    figure, axes = _square()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour)
    axes.set_xticks(range(3), ["benign", "uncertain", "malignant"])
    axes.set_yticks(range(2), ["benign", "malignant"])
    axes.set(xlabel="verdict", ylabel="class", title="Verdicts, 40X images, unseen patients")
    axes.set_xlim(-0.5, 2.5)
    return svg(figure)


def risk(measured: dict[str, list[float]]) -> bytes:
    """Share of wrong verdicts against the share of images that get one, 40X.

    Parameters
    ----------
    measured : dict
        Of `scripts.evaluation.figures.risk_and_coverage`.

    Returns
    -------
    bytes
        SVG; a dot for each tolerated risk.
    """
    figure, axes = _square()
    given = 1 - np.array(measured["abstained"])
    axes.plot(given, measured["wrong_verdicts"], "o-", color=BLUE, lw=1.2, ms=3)
    for tolerated, x, y in zip(
        measured["tolerated_risk"], given, measured["wrong_verdicts"], strict=True
    ):
        axes.annotate(f"{tolerated:.0%}", (x, y), (-4, 4), textcoords="offset points", ha="right")
    axes.set(
        xlabel="share of images that get a verdict",
        ylabel="share with a wrong verdict",
        title="Risk tolerated, 40X, unseen patients",
        xlim=(0, 1.02),
    )
    axes.set_ylim(bottom=0)
    return svg(figure)


def deletion(heatmap: dict[str, Any]) -> bytes:
    """How the support for the label falls and rises as tissue is taken away or put back.

    Parameters
    ----------
    heatmap : dict
        The figures of the heat map's check.

    Returns
    -------
    bytes
        SVG.
    """
    figure, axes = _square()
    for name, style in (("deletion", "-"), ("insertion", "--")):
        axes.plot(heatmap["share"], heatmap[name], style, color=VERMILLION, label=name)
        control = heatmap[f"{name}_control"]
        axes.plot(heatmap["share"], control, style, color=BLUE, label=f"{name}, control")
    axes.set(
        xlabel="share of the field taken away or put back",
        ylabel="decision in favour of the label",
        title="Heat map, 40X images, unseen patients",
    )
    axes.legend(frameon=False)
    return svg(figure)


def ood_distance(measured: dict[str, Any]) -> bytes:
    """How far real fields and other pictures are from the training fields, kind by kind.

    Parameters
    ----------
    measured : dict
        The figures of `scripts.evaluation.ood_detection`.

    Returns
    -------
    bytes
        SVG.
    """
    kinds = {"real fields": measured, **measured["negatives"]}
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for row, kind in enumerate(kinds.values()):
        low, middle, high = kind["distance"]
        colour = VERMILLION if row else BLUE
        axes.plot([low, high], [row, row], color=colour, lw=2)
        axes.plot(middle, row, "o", color=colour)
    axes.axvline(1, color="grey", lw=0.7, ls=":")
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set(
        xlabel="distance from the nearest training field, limit = 1 (median, 5 to 95 %)",
        title="Known and unknown pictures, unseen patients",
    )
    return svg(figure)


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4, 4), layout="constrained")
    return figure, figure.subplots()
