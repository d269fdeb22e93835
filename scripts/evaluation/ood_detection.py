"""How many unknown pictures get no verdict or a warning, and how many real fields do."""

from typing import Any

import numpy as np
from rich.progress import track
from scipy.stats import binomtest

from handler.images import Field
from handler.model import Include, Model
from handler.prediction import Prediction
from handler.tissue import distances
from scripts.evaluation.figures import area_under_roc
from scripts.evaluation.held_out import HeldOut
from scripts.evaluation.ood_pictures import CHANGES, ood_pictures

# Passed through the trunk at a time.
BATCH = 16
# A warning of the shape alone says nothing of what the picture shows.
SHAPE = "unusual_size"


def ood_detection(fields: list[HeldOut]) -> dict[str, Any]:
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
    patients: list[str] = []
    seen: dict[str, list[np.ndarray]] = {}
    folds = dict.fromkeys((field.model, field.fast) for field in fields)
    for model, fast in track(folds, "Rejection  "):
        own = [field for field in fields if field.model is model]
        patients += [field.patient for field in own]
        real = [field.pixels for field in own]
        changed = {name: list(map(change, real)) for name, change in CHANGES.items()}
        for kind, pictures in {"real": real, **others, **changed}.items():
            both = np.array([_outcomes(engine, pictures) for engine in (model, fast)])
            seen.setdefault(kind, []).append(both)
    # By kind, of shape (2 engines, 3 outcomes, pictures of all folds).
    pooled = {kind: np.concatenate(parts, axis=2) for kind, parts in seen.items()}
    of_fields = pooled.pop("real")
    near = of_fields[0, 0]
    far = np.concatenate([outcomes[0, 0] for outcomes in pooled.values()])
    return {
        "real": _real(of_fields[:, 1:].astype(bool), np.array(patients)),
        "distance": _quantiles(near),
        "auroc": _auroc(near, far),
        "negatives": {
            kind: {
                "pictures": len(distance),
                "auroc": _auroc(near, distance),
                "distance": _quantiles(distance),
                "rejected": float(rejected.mean()),
                "flagged": float(flagged.mean()),
                "rejected_8_bit": float(rejected_8_bit.mean()),
                "flagged_8_bit": float(flagged_8_bit.mean()),
            }
            for kind, (
                (distance, rejected, flagged),
                (_, rejected_8_bit, flagged_8_bit),
            ) in pooled.items()
        },
    }


def _outcomes(model: Model, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Classify n pictures, uint8 RGB of any shape, and say what became of them.

    Returns
    -------
    list of 3 ndarray, shape (n,)
        The distance, as a share of the model's limit; which are rejected; which are rejected or
        warned of.
    """
    answers: list[Prediction] = []
    for start in range(0, len(pictures), BATCH):
        fields = [Field(pixels) for pixels in pictures[start : start + BATCH]]
        answers += model.classify(fields, [Include(features=True)] * len(fields))
    vectors = np.array([answer.features for answer in answers])
    return [
        distances(vectors, model.reference_features) / model.tissue_limits.max_distance,
        np.array([answer.verdict == "rejected" for answer in answers]),
        np.array([any(w.code != SHAPE for w in answer.warnings) for answer in answers]),
    ]


def _real(hits: np.ndarray, patients: np.ndarray) -> dict[str, Any]:
    result: dict[str, Any] = {"images": len(patients), "patients": len(set(patients))}
    for name, hit, hit_8_bit in zip(("rejected", "flagged"), *hits, strict=True):
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
