"""The exported graphs give the served probabilities, in the runtimes they are made for."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from wsinfer_zoo.client import ModelConfiguration

from handler.images import Field, resize
from handler.model import Model
from scripts.export import export
from scripts.paths import MODEL_STORE
from serve.drawn_tissue import draw_field

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    export(MODEL_STORE, folder)
    return folder


@pytest.fixture(scope="module")
def fields():
    """Drawn tissue, pale, dark and drowned in noise, so that the probabilities spread."""
    drawn = [draw_field(seed) for seed in range(4)]
    lit = [np.clip(p * f, 0, 255).astype(np.uint8) for p in drawn for f in (0.5, 0.8, 1.0, 1.3)]
    noise = np.random.default_rng(0).integers(0, 256, drawn[0].shape)
    return lit + [((1 - a) * p + a * noise).astype(np.uint8) for p in drawn for a in (0.3, 0.6, 1)]


@pytest.fixture(scope="module")
def expected(fields):
    answers = Model.open(MODEL_STORE).classify([Field(pixels) for pixels in fields])
    probabilities = np.array([answer.probability for answer in answers])
    assert np.ptp(probabilities) > 0.1
    return probabilities


@pytest.fixture(scope="module")
def pixels(fields):
    size = json.loads((MODEL_STORE / "manifest.json").read_text())["preprocessing"]
    resized = [resize(pixels, size["width"], size["height"]) for pixels in fields]
    return np.stack(resized).transpose(0, 3, 1, 2).astype(np.float32) / 255


def test_torchscript_as_wsinfer_runs_it(folder, pixels, expected):
    graph = torch.jit.load(folder / "torchscript_model.pt")
    with torch.inference_mode():
        probabilities = torch.softmax(graph(torch.from_numpy(pixels)), dim=1).numpy()
    assert np.abs(probabilities[:, 1] - expected).max() < 1e-3


def test_onnx_in_onnxruntime(folder, pixels, expected):
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (probabilities,) = session.run(None, {"pixels": pixels})
    assert np.abs(probabilities[:, 1] - expected).max() < 1e-3


def test_the_configuration_is_that_of_the_wsinfer_zoo(folder):
    config = ModelConfiguration.from_dict(json.loads((folder / "config.json").read_text()))
    assert config.class_names == ["benign", "malignant"]
    assert 0.45 < config.spacing_um_px < 2
    # Without it WSInfer gives the model patches at the slide's resolution, not the model's.
    resize = next(step for step in config.transform if step.name == "Resize")
    assert resize.arguments == {"size": config.patch_size_pixels}


def test_a_square_patch_of_a_slide_is_taken_too(folder):
    config = json.loads((folder / "config.json").read_text())
    side = config["patch_size_pixels"]
    patches = np.random.default_rng(0).random((3, 3, side, side)).astype(np.float32)
    graph = torch.jit.load(folder / "torchscript_model.pt")
    with torch.inference_mode():
        by_torch = torch.softmax(graph(torch.from_numpy(patches)), dim=1).numpy()
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (by_onnx,) = session.run(None, {"pixels": patches})
    assert by_torch.shape == (3, 2)
    assert np.abs(by_torch - by_onnx).max() < 1e-3
