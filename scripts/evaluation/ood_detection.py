"""How many unknown pictures get no verdict or a warning, and how many real fields do."""

from typing import Any, NamedTuple

import numpy as np
from rich.progress import track
from scipy.stats import binomtest

from handler.images import Field
from handler.model import Include, Model
from handler.tissue import distances
from scripts.evaluation.figures import area_under_roc
from scripts.evaluation.held_out import HeldOut
from scripts.evaluation.ood_pictures import CHANGES, ood_pictures
from scripts.training.out_of_fold import OutOfFoldPredictions

# Passed through the trunk at a time.
BATCH = 16
# A warning of the shape alone says nothing of what the picture shows.
SHAPE = "unusual_size"


class Fold(NamedTuple):
    """A fold's model with the reference engine and with the 8-bit one, and held-out 40X fields."""

    model: Model
    fast: Model
    fields: list[np.ndarray]
    patients: list[str]


class Outcomes(NamedTuple):
    """What became of n pictures; each an ndarray of shape (n,).

    Attributes
    ----------
    distance : ndarray of float
        As a share of the model's limit.
    rejected : ndarray of bool
    flagged : ndarray of bool
        Rejected, or warned of.
    """

    distance: np.ndarray
    rejected: np.ndarray
    flagged: np.ndarray


def ood_detection(folds: list[Fold]) -> dict[str, Any]:
    """Measure the checks on held-out fields and on pictures of other things.

    Every fold's model, with the limits that its training patients set, sees its own
    held-out fields, those fields changed, and all other pictures.

    Returns
    -------
    dict
        ``real`` with ``images``, ``patients`` and the ``images_rejected``,
        ``images_flagged``, ``patients_rejected`` and ``patients_flagged`` (with any such
        image), each with ``count``, ``share``, ``interval`` (exact binomial) and
        ``count_8_bit``; ``distance`` of the real fields; ``auroc`` of the distance, all
        pictures; and ``negatives``, by kind with ``pictures``, ``auroc``, ``distance``
        and the shares ``rejected``, ``flagged``, ``rejected_8_bit`` and ``flagged_8_bit``.
        A distance is its 5 %, 50 % and 95 % quantile, as a share of the limit.
    """
    others = ood_pictures()
    seen: dict[str, list[tuple[Outcomes, Outcomes]]] = {}
    for fold in track(folds, "Rejection  "):
        changed = {name: [change(p) for p in fold.fields] for name, change in CHANGES.items()}
        for kind, pictures in {"real": fold.fields, **others, **changed}.items():
            both = outcomes(fold.model, pictures), outcomes(fold.fast, pictures)
            seen.setdefault(kind, []).append(both)
    pooled = {
        kind: tuple(
            Outcomes(*map(np.concatenate, zip(*engine, strict=True)))
            for engine in zip(*parts, strict=True)
        )
        for kind, parts in seen.items()
    }
    real, real_8_bit = pooled.pop("real")
    far = np.concatenate([reference.distance for reference, _ in pooled.values()])
    patients = np.concatenate([fold.patients for fold in folds])
    return {
        "real": _real(real, real_8_bit, patients),
        "distance": _quantiles(real.distance),
        "auroc": _auroc(real.distance, far),
        "negatives": {
            kind: {
                "pictures": len(reference.distance),
                "auroc": _auroc(real.distance, reference.distance),
                "distance": _quantiles(reference.distance),
                "rejected": float(reference.rejected.mean()),
                "flagged": float(reference.flagged.mean()),
                "rejected_8_bit": float(fast.rejected.mean()),
                "flagged_8_bit": float(fast.flagged.mean()),
            }
            for kind, (reference, fast) in pooled.items()
        },
    }


def by_fold(fields: list[HeldOut], predictions: OutOfFoldPredictions) -> list[Fold]:
    """Sort the fields by the fold that held them out; `predictions` are the same, in this order."""
    folds: dict[str, Fold] = {}
    for field, patient in zip(fields, predictions.patients.tolist(), strict=True):
        name = field.model.identity.sha256
        fold = folds.setdefault(name, Fold(field.model, field.fast, [], []))
        fold.fields.append(field.pixels)
        fold.patients.append(patient)
    return list(folds.values())


def outcomes(model: Model, pictures: list[np.ndarray]) -> Outcomes:
    """Classify pictures, uint8 RGB of any shape, and say what became of them."""
    answers = [
        answer
        for start in range(0, len(pictures), BATCH)
        for answer in model.classify(
            [Field(pixels) for pixels in pictures[start : start + BATCH]],
            [Include(features=True)] * len(pictures[start : start + BATCH]),
        )
    ]
    vectors = np.array([answer.features for answer in answers])
    return Outcomes(
        distances(vectors, model.reference_features) / model.tissue_limits.max_distance,
        np.array([answer.verdict == "rejected" for answer in answers]),
        np.array([any(w.code != SHAPE for w in answer.warnings) for answer in answers]),
    )


def _real(reference: Outcomes, fast: Outcomes, patients: np.ndarray) -> dict[str, Any]:
    result: dict[str, Any] = {"images": len(patients), "patients": len(set(patients))}
    for name in ("rejected", "flagged"):
        hit, hit_8_bit = getattr(reference, name), getattr(fast, name)
        for level, everyone in (("images", np.arange(len(patients))), ("patients", patients)):
            n = len(set(everyone))
            count = len(set(everyone[hit]))
            spread = binomtest(count, n).proportion_ci()
            result[f"{level}_{name}"] = {
                "count": count,
                "share": count / n,
                "interval": [float(spread.low), float(spread.high)],
                "count_8_bit": len(set(everyone[hit_8_bit])),
            }
    return result


def _auroc(real: np.ndarray, far: np.ndarray) -> float:
    return area_under_roc(np.concatenate([real, far]), np.arange(len(real) + len(far)) >= len(real))


def _quantiles(values: np.ndarray) -> list[float]:
    return np.percentile(values, (5, 50, 95)).tolist()
