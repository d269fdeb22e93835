"""What is done to pictures when the model's steadiness and its heat maps are measured."""

import cv2
import numpy as np
import pytest

from handler.images import Field
from handler.model import Model
from scripts.evaluation.faithfulness import SHARES, curves
from scripts.evaluation.robustness import PERTURBATIONS
from scripts.paths import MODEL_STORE
from serve.drawn_tissue import draw_field
from serve.tissue_kinds import FIBROADENOMA


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw_field(0, tissue=FIBROADENOMA)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_perturbation_changes_the_picture_and_keeps_its_kind(name, pixels):
    before = pixels.copy()
    perturbed = PERTURBATIONS[name](pixels)
    assert (pixels == before).all()
    assert perturbed.dtype == np.uint8
    assert sorted(perturbed.shape) == sorted(pixels.shape)
    assert perturbed.shape != pixels.shape or (perturbed != pixels).any()


def test_scale_makes_tissue_larger_and_smaller():
    dot = np.full((460, 700, 3), 255, np.uint8)
    cv2.circle(dot, (350, 230), 40, (0, 0, 0), -1)
    area = (dot[..., 0] < 128).sum()
    larger, smaller = (PERTURBATIONS[n](dot)[..., 0] for n in ("20 % larger", "20 % smaller"))
    assert (larger < 128).sum() / area == pytest.approx(1.44, abs=0.05)
    assert (smaller < 128).sum() / area == pytest.approx(0.64, abs=0.05)


def test_more_haematoxylin_is_bluer(pixels):
    bluer = PERTURBATIONS["haematoxylin + 25 %, eosin - 20 %"](pixels).astype(int)
    redder = PERTURBATIONS["haematoxylin - 20 %, eosin + 25 %"](pixels).astype(int)
    assert (bluer[..., 0] - bluer[..., 1]).mean() < (redder[..., 0] - redder[..., 1]).mean()


@pytest.mark.slow
def test_deletion_ends_where_insertion_begins(pixels):
    """With nearly all tissue away, or nearly all back, it no longer matters in what order."""
    model = Model.open(MODEL_STORE)
    measured = curves(model, pixels, np.random.default_rng(0))
    _, decision = model.attribute(Field(pixels))
    assert all(values.shape == (len(SHARES),) for values in measured.values())
    support = abs(decision)
    blurred = cv2.GaussianBlur(pixels, (0, 0), 15 / 0.49)
    (gone,) = model.classify([Field(blurred)])
    gone_support = np.sign(decision) * gone.decision
    for name, first, last in (
        ("deletion", support, gone_support),
        ("insertion", gone_support, support),
    ):
        for curve in (measured[name], measured[f"{name}_control"]):
            assert abs(curve[0] - first) < abs(curve[0] - last)
            assert abs(curve[-1] - last) < abs(curve[-1] - first)
    again = curves(model, pixels, np.random.default_rng(0))
    assert all((again[name] == measured[name]).all() for name in measured)
