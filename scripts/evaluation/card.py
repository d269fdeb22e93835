"""The model card, filled in from manifest and figures, in the form that Hugging Face reads."""

import json
from pathlib import Path
from typing import Any

from handler import CARD, EVALUATION, MANIFEST
from handler.manifest import TrainingField
from handler.whole_file import write_whole
from scripts.evaluation.power import FULL_SET, patients_needed, standard_error
from scripts.reports import fill_in
from scripts.training.breakhis import TUMOUR_TYPES
from scripts.training.magnification import MAX_STOPPED

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
        patients_needed=patients_needed(0.90, 0.85),
        full_set=sum(FULL_SET),
        full_set_error=standard_error(0.90, sum(FULL_SET)),
    )
