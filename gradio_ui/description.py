"""What the running model says of itself: its rule, figures, plots and card."""

import math
import threading
from dataclasses import dataclass
from typing import Any

from serve.management import Management


@dataclass(frozen=True)
class Rule:
    """How a decision is read.

    Attributes
    ----------
    threshold : float
        Decision at and above which the label is malignant.
    abstain : tuple of 2 floats
        Lowest and highest decision for which no verdict is given.
    slope, intercept : float
        Of the calibration p = 1 / (1 + exp(-(slope * decision + intercept))); Platt,
        "Probabilistic outputs for support vector machines", 1999.
    tolerated_risk : float
        Chance of being wrong above which no verdict is given, 0 to 1.
    """

    threshold: float
    abstain: tuple[float, float]
    slope: float
    intercept: float
    tolerated_risk: float

    def probability(self, decision: float) -> float:
        """Calibrated probability of malignancy, 0 to 1."""
        return (1 + math.tanh((self.slope * decision + self.intercept) / 2)) / 2

    def verdict(self, decision: float) -> str:
        """Read a decision: "benign", "malignant" or "uncertain"."""
        low, high = self.abstain
        if low <= decision <= high:
            return "uncertain"
        return "malignant" if decision >= self.threshold else "benign"


@dataclass(frozen=True)
class Description:
    """The model's description; see ``handler.model.Model.describe``.

    Attributes
    ----------
    model : dict
        ``name``, ``version`` and ``sha256``.
    engine : str
    rule : Rule
    evaluation : dict
        The figures.
    card : str
        The model card, Markdown without its front matter.
    plots : dict of str to str
        SVG by the file name that the card uses.
    """

    model: dict[str, str]
    engine: str
    rule: Rule
    evaluation: dict[str, Any]
    card: str
    plots: dict[str, str]

    @classmethod
    def from_json(cls, own: dict[str, Any]) -> "Description":
        """Read what the service answers."""
        manifest = own["manifest"]
        return cls(
            own["model"],
            own["engine"],
            Rule(
                **manifest["decision_rule"], tolerated_risk=manifest["training"]["tolerated_risk"]
            ),
            own["evaluation"],
            own["card"].split("---\n", 2)[-1].strip(),
            own["plots"],
        )


class RunningModel:
    """The description of the model that runs, asked for again when another one answers.

    May be shared by threads.

    Parameters
    ----------
    management : Management
    """

    def __init__(self, management: Management) -> None:
        self._management = management
        self._lock = threading.Lock()
        self._known: dict[str, Description] = {}

    def describe(self) -> Description:
        """Ask the service.

        Raises
        ------
        ServeError
            It does not answer.
        """
        description = Description.from_json(self._management.describe()["customizedMetadata"])
        with self._lock:
            self._known = {description.model["sha256"]: description}
        return description

    def rule(self, sha256: str) -> Rule | None:
        """Return the rule of the model that gave an answer; None if it runs no more.

        Parameters
        ----------
        sha256 : str
            From the answer.

        Raises
        ------
        ServeError
            The service does not answer.
        """
        with self._lock:
            known = self._known.get(sha256)
        if known is None:
            known = self.describe()
        return known.rule if known.model["sha256"] == sha256 else None
