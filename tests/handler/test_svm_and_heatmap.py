import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from handler.decision import DecisionRule
from handler.errors import BadModel
from handler.heatmap import grad_cam, overlay
from handler.svm import Svm


@pytest.fixture(scope="module")
def svm() -> Svm:
    rng = np.random.default_rng(0)
    vectors = rng.gamma(2, 1, (60, 512)).astype(np.float32)
    labels = (vectors[:, :20].mean(1) > 2).astype(int)
    return Svm(make_pipeline(StandardScaler(), SVC(C=3)).fit(vectors, labels))


def test_a_pickled_svm_decides_as_scikit_learn_does(svm):
    vectors = np.random.default_rng(5).gamma(2, 1, (9, 512))
    read = Svm.from_pickle(pickle.dumps(svm.pipeline))
    expected = svm.pipeline.decision_function(vectors)
    assert np.ptp(expected) > 0.01
    assert np.allclose(read.decision_function(vectors), expected, atol=1e-9)


def test_a_pickle_of_something_else_never_runs(tmp_path):
    marker = tmp_path / "it-ran"
    for payload in (
        b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.",
        b"cnumpy.testing._private.utils\nrunstring\n(S'1/0'\n}tR.",
    ):
        with pytest.raises(BadModel, match=r"scripts\.train"):
            Svm.from_pickle(payload)
    assert not marker.exists()


def decision_in_torch(svm: Svm, vectors: torch.Tensor) -> torch.Tensor:
    """The decision function, written out so that autograd can differentiate it."""
    scaler, svc = (step for _, step in svm.pipeline.steps)
    z = (vectors - torch.tensor(scaler.mean_)) / torch.tensor(scaler.scale_)
    squared = torch.cdist(z, torch.tensor(svc.support_vectors_)).square()
    kernel = torch.exp(-float(svc._gamma) * squared)
    return kernel @ torch.tensor(svc.dual_coef_[0]) + float(svc.intercept_[0])


def test_gradient_is_that_of_autograd(svm):
    vectors = np.random.default_rng(1).gamma(2, 1, (5, 512))
    x = torch.tensor(vectors, requires_grad=True)
    decision = decision_in_torch(svm, x)
    assert np.allclose(decision.detach(), svm.decision_function(vectors), atol=1e-9)
    (expected,) = torch.autograd.grad(decision.sum(), x)
    assert expected.abs().max() > 1e-4
    assert np.allclose(svm.gradient(vectors), expected, rtol=1e-6, atol=1e-10)


def test_heat_map_is_grad_cam_through_the_pooling(svm):
    """Grad-CAM by its definition: autograd's gradient at the map, averaged, times the map."""
    feature_map = np.random.default_rng(2).gamma(2, 1, (512, 6, 9))
    a = torch.tensor(feature_map, requires_grad=True)
    decision = decision_in_torch(svm, a.mean(dim=(1, 2))[None])
    (gradient,) = torch.autograd.grad(decision.sum(), a)
    n_places = 6 * 9
    weights = gradient.mean(dim=(1, 2)) * n_places
    expected = torch.einsum("c,cij->ij", weights, a).detach().numpy()

    own_weights = svm.gradient(feature_map.mean((1, 2))[None])[0]
    cam = grad_cam(own_weights, feature_map, np.zeros(512))
    assert np.allclose(cam, expected, rtol=1e-4, atol=1e-6)


def test_path_gradient_is_the_integral_of_autograd_s(svm):
    vector = np.random.default_rng(3).gamma(2, 1, 512)
    start, end = torch.tensor(svm.reference), torch.tensor(vector)
    steps = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    path = (start + steps * (end - start)).requires_grad_()
    (gradients,) = torch.autograd.grad(decision_in_torch(svm, path).sum(), path)
    expected = torch.trapezoid(gradients, steps, dim=0).numpy()
    assert np.allclose(svm.path_gradient(vector), expected, rtol=0.01, atol=1e-6)


def test_the_places_of_a_heat_map_sum_to_the_decision(svm):
    feature_map = np.random.default_rng(4).gamma(2, 1, (512, 7, 11))
    vector = feature_map.mean((1, 2))
    cam = grad_cam(svm.path_gradient(vector), feature_map, svm.reference)
    decision, of_reference = svm.decision_function(np.stack([vector, svm.reference]))
    assert abs(decision - of_reference) > 0.01
    assert cam.mean() == pytest.approx(decision - of_reference, abs=1e-3)


def drawn(pixels: np.ndarray, cam: np.ndarray, scale: float) -> np.ndarray:
    png = overlay(pixels, cam.astype(np.float32), scale)
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def test_overlay_has_the_field_size_and_colours_each_side():
    pixels = np.full((92, 140, 3), 200, np.uint8)
    cam = np.zeros((3, 5), np.float32)
    cam[1, 0], cam[1, 4] = 2, -2
    picture = drawn(pixels, cam, 2)
    assert picture.shape == pixels.shape
    red_minus_blue = picture[..., 0] - picture[..., 2]
    assert red_minus_blue[46, 14] > 50  # orange, towards malignant
    assert red_minus_blue[46, 126] < -50  # blue, towards benign
    assert abs(red_minus_blue[46, 70]) < 5


def test_what_moves_the_decision_half_as_much_is_half_as_opaque_in_every_field():
    pixels = np.full((92, 140, 3), 200, np.uint8)
    full, half, beyond = (drawn(pixels, np.full((3, 5), value), 4) for value in (4, 2, 9))
    grey = pixels[0, 0].astype(int)
    assert np.abs((half - grey) - (full - grey) / 2).max() <= 1
    assert (beyond == full).all()


def test_overlay_of_a_flat_map_is_the_grey_field():
    pixels = np.full((30, 40, 3), 90, np.uint8)
    picture = drawn(pixels, np.zeros((2, 3)), 1)
    assert (picture == 90).all()


def test_decision_rule():
    rule = DecisionRule(threshold=0.25, abstain=(0.1, 0.4), slope=2, intercept=-0.5)
    assert rule.label(0.25) == "malignant"
    assert rule.label(0.2499) == "benign"
    assert rule.probability(0.25) == pytest.approx(0.5)
    assert rule.probability(1) == pytest.approx(1 / (1 + np.exp(-1.5)))
    assert [rule.is_uncertain(d) for d in (0.09, 0.1, 0.4, 0.41)] == [False, True, True, False]
    assert 0 <= rule.probability(-1e6) < rule.probability(1e6) <= 1
