"""How far the answers of the 8-bit engine are from those of the reference engine."""

from typing import Any

import numpy as np

from handler.prediction import Prediction


def agreement(reference: list[Prediction], engine: list[Prediction]) -> dict[str, Any]:
    """Compare the answers of an engine with the reference's on the same fields.

    Parameters
    ----------
    reference, engine : list of Prediction
        With features.

    Returns
    -------
    dict
        ``feature_error`` (length of the difference, over that of the reference's features)
        and ``decision_difference``, each with ``median`` and ``largest``; the shares
        ``labels_changed`` and ``verdicts_changed``.
    """
    expected, seen = (np.array([a.features for a in answers]) for answers in (reference, engine))
    error = np.linalg.norm(seen - expected, axis=1) / np.linalg.norm(expected, axis=1)
    pairs = list(zip(reference, engine, strict=True))
    difference = np.array([abs(a.decision - b.decision) for a, b in pairs])
    return {
        "fields": len(pairs),
        "feature_error": _summary(error),
        "decision_difference": _summary(difference),
        "labels_changed": float(np.mean([a.label != b.label for a, b in pairs])),
        "verdicts_changed": float(np.mean([a.verdict != b.verdict for a, b in pairs])),
    }


def _summary(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(values)), "largest": float(values.max())}
