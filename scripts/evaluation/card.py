"""The model card, filled in from manifest and figures, in the form that Hugging Face reads."""

import json
import math
from pathlib import Path
from typing import Any

from scipy.stats import norm

from handler import CARD, EVALUATION, MANIFEST
from handler.manifest import TrainingField
from handler.whole_file import write_whole
from scripts.reports import fill_in
from scripts.training.breakhis import TUMOUR_TYPES
from scripts.training.magnification import MAX_STOPPED

# Patients of the full data set, benign and malignant.
FULL_SET = (24, 58)

METRICS = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "recognition_rate": "patient recognition rate",
}


def write_card(model: Path) -> None:
    """Write the card of the model in a folder, from its manifest and figures."""
    manifest, evaluation = (
        json.loads((model / name).read_text("utf-8")) for name in (MANIFEST, EVALUATION)
    )
    write_whole(model / CARD, model_card(manifest, evaluation).encode())


def model_card(manifest: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """Fill in the card.

    Parameters
    ----------
    manifest : dict
        As `scripts.train` writes it.
    evaluation : dict
        As `scripts.evaluate` writes it.

    Returns
    -------
    str
        Markdown.
    """
    return fill_in(
        Path(__file__).with_name("card.md"),
        manifest=manifest,
        evaluation=evaluation,
        field=TrainingField(**manifest["field"]),
        metrics=METRICS,
        tumour_types=TUMOUR_TYPES,
        max_stopped=MAX_STOPPED,
        patients_needed=_patients_needed(0.90, 0.85),
        full_set=sum(FULL_SET),
        full_set_error=_standard_error(0.90, sum(FULL_SET)),
    )


def _patients_needed(auc: float, other: float) -> int:
    """Count the patients by which an AUC is told from another in four of five cases.

    Of the two classes as in the full set, for a two-sided test of one sample at 5 %. The standard
    error is that of Hanley and McNeil, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve", Radiology 143, 1982.
    """
    n = 10
    while norm.ppf(0.975) * _standard_error(other, n) + norm.ppf(0.8) * _standard_error(
        auc, n
    ) > abs(auc - other):
        n += 1
    return n


def _standard_error(auc: float, n_patients: int) -> float:
    """Return the standard error of an AUC on so many patients, classes as in the full set."""
    n_benign, n_malignant = (n_patients * n / sum(FULL_SET) for n in FULL_SET)
    of_malignant, of_benign = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc)
        + (n_malignant - 1) * (of_malignant - auc**2)
        + (n_benign - 1) * (of_benign - auc**2)
    )
    return math.sqrt(variance / (n_benign * n_malignant))
