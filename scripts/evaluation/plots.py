"""The figures that people would rather look at, as SVG."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from handler.decision import DecisionRule
from scripts.evaluation.figures import bins_of
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
    at_40x, given = predictions.at(40), probabilities[:, predictions.magnifications == 40]
    square = (4.0, 4.0)
    plots: dict[str, tuple[tuple[float, float], Callable[[Axes], None]]] = {
        "roc.svg": (square, lambda axes: _roc(axes, at_40x)),
        "calibration.svg": (square, lambda axes: _calibration(axes, at_40x, given)),
        "confusion.svg": (square, lambda axes: _confusion(axes, at_40x, rule)),
        "risk.svg": (square, lambda axes: _risk(axes, evaluation["magnifications"]["40X"]["risk"])),
        "deletion.svg": (square, lambda axes: _deletion(axes, evaluation["heatmap"])),
        "rejection.svg": ((6, 5), lambda axes: _ood_distance(axes, evaluation["rejection"])),
    }
    drawn = {}
    for name, (size, plot) in plots.items():
        figure = Figure(figsize=size, layout="constrained")
        plot(figure.subplots())
        drawn[name] = svg(figure)
    return drawn


def _roc(axes: Axes, predictions: OutOfFoldPredictions) -> None:
    """ROC curves of images and patients, one for each repetition."""
    means, of_class = predictions.by_patient(predictions.decisions), predictions.class_of_patients()
    for r, decisions in enumerate(predictions.decisions):
        for values, classes, colour, name in (
            (decisions, predictions.malignant, BLUE, "images"),
            (means[r], of_class, VERMILLION, "patients"),
        ):
            false_alarms, found, _ = roc_curve(classes, values)
            axes.plot(false_alarms, found, color=colour, lw=1.2, label=None if r else name)
    axes.plot([0, 1], [0, 1], color="grey", lw=0.7, ls=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, 40X, unseen patients")
    axes.legend(loc="lower right", frameon=False)


def _calibration(axes: Axes, predictions: OutOfFoldPredictions, probabilities: np.ndarray) -> None:
    """Share of malignant images against the probability given, all repetitions.

    The area of a dot stands for the number of images.
    """
    given = probabilities.ravel()
    malignant = np.tile(predictions.malignant, len(probabilities))
    bins = bins_of(given)
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


def _confusion(axes: Axes, predictions: OutOfFoldPredictions, rule: DecisionRule) -> None:
    """Verdicts by class, in percent of the class, mean of the repetitions."""
    low, high = rule.abstain
    verdict = 1 + (predictions.decisions > high).astype(int) - (predictions.decisions < low)
    of_class = [verdict[:, predictions.malignant == malignant] for malignant in (False, True)]
    shares = np.array([[(own == v).mean() for v in (0, 1, 2)] for own in of_class])
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour)
    axes.set_xticks(range(3), ["benign", "uncertain", "malignant"])
    axes.set_yticks(range(2), ["benign", "malignant"])
    axes.set(xlabel="verdict", ylabel="class", title="Verdicts, 40X images, unseen patients")
    axes.set_xlim(-0.5, 2.5)


def _risk(axes: Axes, measured: dict[str, list[float]]) -> None:
    """Share of wrong verdicts against the share of images that get one, by tolerated risk."""
    given, wrong = 1 - np.array(measured["abstained"]), measured["wrong_verdicts"]
    axes.plot(given, wrong, "o-", color=BLUE, lw=1.2, ms=3)
    for tolerated, x, y in zip(measured["tolerated_risk"], given, wrong, strict=True):
        axes.annotate(f"{tolerated:.0%}", (x, y), (-4, 4), textcoords="offset points", ha="right")
    axes.set(
        xlabel="share of images that get a verdict",
        ylabel="share with a wrong verdict",
        title="Risk tolerated, 40X, unseen patients",
        xlim=(0, 1.02),
    )
    axes.set_ylim(bottom=0)


def _deletion(axes: Axes, heatmap: dict[str, Any]) -> None:
    """How the support for the label falls and rises as tissue is taken away or put back."""
    for name, style in (("deletion", "-"), ("insertion", "--")):
        for curve, colour, label in (
            (name, VERMILLION, name),
            (f"{name}_control", BLUE, f"{name}, control"),
        ):
            axes.plot(heatmap["share"], heatmap[curve], style, color=colour, label=label)
    axes.set(
        xlabel="share of the field taken away or put back",
        ylabel="decision in favour of the label",
        title="Heat map, 40X images, unseen patients",
    )
    axes.legend(frameon=False)


def _ood_distance(axes: Axes, measured: dict[str, Any]) -> None:
    """How far real fields and other pictures are from the training fields, kind by kind."""
    kinds = {"real fields": measured, **measured["negatives"]}
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
