"""The words of an answer, which everybody uses and which need no torch."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from handler.prediction import Attribution, ModelId, Prediction, Warning
from tests.conftest import ROOT

PLAIN = Prediction(
    label="benign",
    probability=0.25,
    verdict="uncertain",
    decision=-0.75,
    warnings=[Warning("not_he", "Another stain.")],
    model=ModelId("breakhis", "9.9", "f" * 64),
)


def test_an_answer_is_read_as_it_was_written():
    said = json.loads(json.dumps(PLAIN.to_json()))
    assert Prediction.from_json(said) == PLAIN
    assert said.keys() == {"label", "probability", "verdict", "decision", "warnings", "model"}
    said["model"]["later"] = said["later"] = "unknown to this program"
    assert Prediction.from_json(said) == PLAIN


def test_extras_are_read_as_they_were_written():
    features = np.arange(512, dtype=np.float32)
    full = Prediction(**{**vars(PLAIN), "features": features, "heatmap": b"\0", "field": b""})
    read = Prediction.from_json(json.loads(json.dumps(full.to_json())))
    assert (read.heatmap, read.field) == (b"\0", b"")
    assert (read.features == features).all()
    assert read.features.dtype == np.float32


def test_an_attribution_is_read_as_it_was_written():
    places = np.array([[0.25, -0.5, 1.5]], dtype=np.float32)
    full = replace(PLAIN, attribution=Attribution(places, base=-0.0625, scale=3.5))
    said = json.loads(json.dumps(full.to_json()))
    assert said["attribution"] == {"places": places.tolist(), "base": -0.0625, "scale": 3.5}
    read = Prediction.from_json(said).attribution
    assert (read.places == places).all()
    assert (read.base, read.scale) == (-0.0625, 3.5)
    del said["attribution"]["scale"]
    with pytest.raises(LookupError):
        Prediction.from_json(said)


def test_an_answer_of_another_shape_is_no_prediction():
    for part in ("label", "warnings", "model"):
        said = {name: value for name, value in PLAIN.to_json().items() if name != part}
        with pytest.raises((LookupError, TypeError)):
            Prediction.from_json(said)


def test_neither_page_nor_client_loads_torch():
    check = "import gradio_ui.page, serve.client, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=ROOT).returncode == 0
