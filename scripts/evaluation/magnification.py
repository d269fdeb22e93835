"""How many fields of each magnification are stopped, judged without their patients."""

from typing import Any

import numpy as np

from scripts.evaluation.figures import draw_patients, with_interval
from scripts.training.magnification import OutOfFoldKinds


def magnification_figures(kinds: OutOfFoldKinds) -> dict[str, Any]:
    """Measure what becomes of images of each magnification that are sent as they are.

    Returns
    -------
    dict
        ``magnifications``: by magnification, of originals, ``images``, ``patients``,
        ``stopped`` (share of the images) and ``patients_stopped`` (mean over patients of the
        share of their images), each with ``value`` and ``interval`` (95 %, bootstrap over
        patients), and ``named``, the share of the stopped whose magnification was named
        rightly; ``copies``: ``images`` and ``stopped`` of the 40X copies with fewer pixels.
    """
    limit = kinds.min_log_odds()
    stopped = kinds.log_odds < limit
    named = kinds.looks_like == kinds.magnifications
    result = {}
    for magnification in np.unique(kinds.magnifications).tolist():
        own = kinds.originals & (kinds.magnifications == magnification)
        patients = kinds.patients[own]
        members = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
        share = stopped[:, own].mean(axis=0)
        by_patient = np.array([share[of].mean() for of in members])
        drawn = draw_patients(np.zeros(len(members), bool))
        drawn_images = [np.concatenate([members[i] for i in of]) for of in drawn]
        result[f"{magnification}X"] = {
            "images": len(share),
            "patients": len(members),
            "stopped": with_interval(share, drawn_images),
            "patients_stopped": with_interval(by_patient, drawn),
            "named": float(named[:, own][stopped[:, own]].mean()) if share.any() else None,
        }
    copies = ~kinds.originals & (kinds.magnifications == 40)
    return {
        "magnifications": result,
        "copies": {
            "images": int(copies.sum()),
            "stopped": float(stopped[:, copies].mean()) if copies.any() else None,
        },
    }
