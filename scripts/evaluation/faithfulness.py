"""Whether the heat map points at what moves the decision: deletion and insertion.

Tissue is blurred away piece by piece, that which the heat map holds for most important
first (deletion), or brought back into a field blurred as a whole (insertion). What blur
itself does to the decision is no evidence, so a control does the same with the same heat
map, shifted and mirrored at random: pieces of the same number, size and shape at places
that mean nothing.

Reference: Petsiuk, Das, Saenko, "RISE: randomized input sampling for explanation of
black-box models", BMVC 2018.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from handler.images import Field
from handler.model import Model
from scripts.evaluation.figures import draw_images, with_interval
from scripts.evaluation.held_out import HeldOut
from scripts.training.breakhis import UM_PER_PIXEL
from scripts.training.out_of_fold import OutOfFoldPredictions

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
N_CONTROLS = 2
# Leaves no nuclei, glands or fibres, only the colour of the surroundings.
BLUR_UM = 15.0
# So that the edges of the pieces are none in the picture.
FEATHER_UM = 4.0


def faithfulness(fields: list[HeldOut], predictions: OutOfFoldPredictions) -> dict[str, Any]:
    """Measure deletion and insertion on every field; see `curves`.

    Returns
    -------
    dict
        ``share``; the mean curves ``deletion``, ``deletion_control``, ``insertion`` and
        ``insertion_control``; and ``deletion_gain`` and ``insertion_gain``, by how much
        the heat map does better than the control, with ``value`` and ``interval``.
    """
    rng = np.random.default_rng(0)
    measured = [curves(f.model, f.pixels, rng) for f in track(fields, "Heat maps  ")]
    table = {name: np.array([m[name] for m in measured]) for name in measured[0]}
    gains = {
        "deletion_gain": (table["deletion_control"] - table["deletion"]).mean(axis=1),
        "insertion_gain": (table["insertion"] - table["insertion_control"]).mean(axis=1),
    }
    drawn = draw_images(predictions)
    result: dict[str, Any] = {"fields": len(fields), "share": list(SHARES)}
    result |= {name: values.mean(axis=0).tolist() for name, values in table.items()}
    return result | {name: with_interval(gain, drawn) for name, gain in gains.items()}


def curves(model: Model, pixels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Measure one field.

    Parameters
    ----------
    model : Model
        That never saw the patient.
    pixels : ndarray of uint8, shape (460, 700, 3)
    rng : numpy.random.Generator
        Places the controls.

    Returns
    -------
    dict of str to ndarray, shape (len(SHARES),)
        ``deletion``, ``deletion_control``, ``insertion``, ``insertion_control``: the
        decision in favour of the field's label when that share is away or back.
    """
    heat, decision = model.attribute(Field(pixels))
    sign = 1.0 if decision >= 0 else -1.0
    importance = cv2.resize(sign * heat, pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    blurred = cv2.GaussianBlur(pixels, (0, 0), BLUR_UM / UM_PER_PIXEL[40])
    maps = [importance, *(_elsewhere(importance, rng) for _ in range(N_CONTROLS))]
    result = {}
    for name, taken_from, put_in in (
        ("deletion", pixels, blurred),
        ("insertion", blurred, pixels),
    ):
        fields = [Field(p) for m in maps for p in _steps(m, taken_from, put_in)]
        answers = np.array([answer.decision for answer in model.classify(fields)])
        support = sign * answers.reshape(len(maps), len(SHARES))
        result[name] = support[0]
        result[f"{name}_control"] = support[1:].mean(axis=0)
    return result


def _steps(importance: np.ndarray, base: np.ndarray, other: np.ndarray) -> Iterator[np.ndarray]:
    """Yield `base` with the most important share of the places replaced by `other`."""
    for limit in np.quantile(importance, [1 - share for share in SHARES]):
        mask = (importance > limit).astype(np.float32)
        mask = cv2.GaussianBlur(mask, (0, 0), FEATHER_UM / UM_PER_PIXEL[40])[..., None]
        yield (base * (1 - mask) + other * mask + 0.5).astype(np.uint8)


def _elsewhere(importance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = importance.shape
    shifted = np.roll(importance, (rng.integers(height), rng.integers(width)), axis=(0, 1))
    return np.ascontiguousarray(shifted[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))])
