"""A decision in; probability, label and verdict out."""

import math
from dataclasses import dataclass

from handler.prediction import CLASSES, Label, Verdict


@dataclass(frozen=True)
class DecisionRule:
    """How a decision value is read.

    Attributes
    ----------
    threshold : float
        Decision at and above which the label is malignant.
    abstain : tuple of 2 floats
        Lowest and highest decision for which no verdict is given.
    slope, intercept : float
        Parameters of Platt's calibration: p = 1 / (1 + exp(-(slope * decision + intercept))).
        Reference: Platt, "Probabilistic outputs for support vector machines", 1999.
    """

    threshold: float
    abstain: tuple[float, float]
    slope: float
    intercept: float

    def label(self, decision: float) -> Label:
        """Name the side of the threshold."""
        return CLASSES[int(decision >= self.threshold)]

    def probability(self, decision: float) -> float:
        """Calibrated probability of malignancy, 0 to 1."""
        # The logistic function, in the form that can't overflow.
        return (1 + math.tanh((self.slope * decision + self.intercept) / 2)) / 2

    def is_uncertain(self, decision: float) -> bool:
        """Tell whether the decision lies inside the abstention band."""
        low, high = self.abstain
        return low <= decision <= high

    def verdict(self, decision: float) -> Verdict:
        """Read a decision: the label, or that it is uncertain."""
        return "uncertain" if self.is_uncertain(decision) else self.label(decision)
