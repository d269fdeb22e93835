"""The images of one patient together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.decision import DecisionRule
from handler.prediction import Prediction, Verdict

if TYPE_CHECKING:  # a row is what a table keeps of a prediction
    from bulk.images.table import Row


@dataclass(frozen=True)
class PatientScore:
    """The images of a patient together.

    Attributes
    ----------
    verdict : str
        "benign", "malignant" or "uncertain": the mean decision read as an image's is.
    decision, probability : float
        Means over the images.
    images : int
        How many were averaged.
    called_malignant : int
        How many of them are labelled malignant.
    """

    verdict: Verdict
    decision: float
    probability: float
    images: int
    called_malignant: int


def score_patient(answers: "Iterable[Prediction | Row]", rule: DecisionRule) -> PatientScore | None:
    """Average the decisions of the images that got a verdict.

    The mean is the sum rule of Kittler, Hatef, Duin, Matas, "On combining classifiers",
    IEEE TPAMI 1998, doi:10.1109/34.667881; the model's figures by patient are measured so.

    Parameters
    ----------
    answers : iterable of Prediction or of Row
        Gone through once.
    rule : DecisionRule
        That of the model that gave them.

    Returns
    -------
    PatientScore or None
        None where no image can be used: those that are rejected are left out.
    """
    decision = probability = 0.0
    images = called_malignant = 0
    for answer in answers:
        if answer.verdict == "rejected":
            continue
        images += 1
        decision += answer.decision
        probability += answer.probability
        called_malignant += answer.label == "malignant"
    if not images:
        return None
    decision /= images
    return PatientScore(
        rule.verdict(decision), decision, probability / images, images, called_malignant
    )
