"""What becomes of the verdicts when a picture, or the arithmetic, is a little different."""

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rich.progress import track

from handler.images import Field, resize
from handler.prediction import Prediction
from scripts.evaluation.figures import area_under_roc, draw_images, interval
from scripts.evaluation.held_out import HeldOut
from scripts.training.augment import STAINS
from scripts.training.breakhis import UM_PER_PIXEL
from scripts.training.out_of_fold import OutOfFoldPredictions

Pixels = np.ndarray


def _jpeg(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file))


def _scaled(pixels: Pixels, factor: float) -> Pixels:
    """Show the tissue `factor` times as large: the middle of it, or mirrored at the edges."""
    height, width = pixels.shape[:2]
    h, w = round(height / factor), round(width / factor)
    if factor > 1:
        top, left = (height - h) // 2, (width - w) // 2
        cut = pixels[top : top + h, left : left + w]
        return cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = (h - height) // 2, (w - width) // 2
    sides = ((top, h - height - top), (left, w - width - left), (0, 0))
    return resize(np.pad(pixels, sides, mode="symmetric"), width, height)


def _stained(pixels: Pixels, haematoxylin: float, eosin: float) -> Pixels:
    """Multiply the amounts of both stains; the light absorbed follows Beer and Lambert."""
    stains = STAINS.numpy()
    density = -np.log(np.maximum(pixels, 1) / 255.0)
    amounts = density @ np.linalg.inv(stains) * (haematoxylin, eosin, 1)
    return np.clip(255 * np.exp(-amounts @ stains) + 0.5, 0, 255).astype(np.uint8)


def _lit(pixels: Pixels, factor: float) -> Pixels:
    return np.clip(pixels * factor + 0.5, 0, 255).astype(np.uint8)


PERTURBATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG, quality 50": _jpeg,
    "20 % larger": lambda p: _scaled(p, 1.2),
    "20 % smaller": lambda p: _scaled(p, 0.8),
    "haematoxylin + 25 %, eosin - 20 %": lambda p: _stained(p, 1.25, 0.8),
    "haematoxylin - 20 %, eosin + 25 %": lambda p: _stained(p, 0.8, 1.25),
    "15 % brighter": lambda p: _lit(p, 1.15),
    "15 % darker": lambda p: _lit(p, 0.85),
    "blurred, sigma 1 um": lambda p: cv2.GaussianBlur(p, (0, 0), 1 / UM_PER_PIXEL[40]),
    "turned by 90 degrees": lambda p: np.ascontiguousarray(np.rot90(p)),
    "mirrored left to right": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "mirrored top to bottom": lambda p: np.ascontiguousarray(p[::-1]),
}


def robustness(
    fields: list[HeldOut], predictions: OutOfFoldPredictions
) -> dict[str, dict[str, Any]]:
    """Measure how perturbed pictures change AUC, labels and verdicts.

    Returns
    -------
    dict of str to dict
        For each perturbation ``auc``, ``auc_change`` with ``value`` and ``interval``, and
        the shares ``labels_changed`` and ``verdicts_changed``.
    """
    drawn = draw_images(predictions)
    answers = [field.answer for field in fields]
    before = np.array([answer.decision for answer in answers])
    result = {}
    for name, perturb in track(PERTURBATIONS.items(), "Robustness "):
        answers_after = [f.model.classify([Field(perturb(f.pixels))])[0] for f in fields]
        after = np.array([answer.decision for answer in answers_after])

        def change(of: np.ndarray, after: np.ndarray = after) -> float:
            malignant = predictions.malignant[of]
            return area_under_roc(after[of], malignant) - area_under_roc(before[of], malignant)

        result[name] = {
            "auc": area_under_roc(after, predictions.malignant),
            "auc_change": {
                "value": change(np.arange(len(after))),
                "interval": interval([change(sample) for sample in drawn]),
            },
            **_changed(answers, answers_after),
        }
    return result


def engine_agreement(fields: list[HeldOut]) -> dict[str, Any]:
    """Compare the answers of the 8-bit engine with those of the reference engine.

    Returns
    -------
    dict
        ``feature_error`` (length of the difference, over that of the reference's features)
        and ``decision_difference``, each with ``median`` and ``largest``; the shares
        ``labels_changed`` and ``verdicts_changed``.
    """
    answers, fast = [f.answer for f in fields], [f.fast_answer for f in fields]
    expected, seen = (np.array([a.features for a in of]) for of in (answers, fast))
    error = np.linalg.norm(seen - expected, axis=1) / np.linalg.norm(expected, axis=1)
    difference = np.abs([a.decision - b.decision for a, b in zip(answers, fast, strict=True)])
    spread = {"feature_error": error, "decision_difference": difference}
    return {
        "fields": len(fields),
        **{
            n: {"median": float(np.median(v)), "largest": float(v.max())} for n, v in spread.items()
        },
        **_changed(answers, fast),
    }


def _changed(before: list[Prediction], after: list[Prediction]) -> dict[str, float]:
    pairs = list(zip(before, after, strict=True))
    return {
        "labels_changed": float(np.mean([a.label != b.label for a, b in pairs])),
        "verdicts_changed": float(np.mean([a.verdict != b.verdict for a, b in pairs])),
    }
