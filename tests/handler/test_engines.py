"""The fast engines against the reference, on tissue that none was calibrated on."""

import logging
import os
import subprocess
import sys
from functools import cache

import numpy as np
import openvino as ov
import pytest
from safetensors.numpy import load_file

from handler.engines import open_engine
from handler.errors import BadModel, UnknownEngine
from handler.features import Features
from handler.images import Field, read_field, resize
from handler.model import Include, Model
from handler.openvino_engine import OpenVinoEngine, has_no_overflow
from handler.openvino_graph import trunk_graph
from handler.prediction import Prediction
from handler.weights import Weights
from scripts.paths import MODEL_STORE, SHARED
from scripts.training.breakhis import BreakHis
from scripts.training.recipe import MEAN, STD
from serve.drawn_tissue import draw_field
from tests.conftest import ROOT

# Of the 8-bit engine: length of the features' difference, over that of the reference's
# features; and how much a decision may change, so how near to a limit of the rule it must be
# for its label or verdict to change.
FEATURE_TOLERANCE, MARGIN = 0.05, 0.1


def drawn() -> list[Field]:
    return [Field(draw_field(seed)) for seed in range(12)]


def breakhis() -> list[Field]:
    folder = SHARED / "breakhis"
    if not folder.exists():
        pytest.skip("the BreakHis images are not here")
    images = [image for image in BreakHis(folder).images if image.magnification == 40]
    return [read_field(image.path.read_bytes()) for image in images[::3]]


@cache
def open_model(engine: str) -> Model:
    model = Model.open(MODEL_STORE, engine=engine, threads=1)
    assert model.describe()["engine"] == engine
    return model


def answers(fields: list[Field], engine: str) -> tuple[Model, list[Prediction]]:
    model = open_model(engine)
    return model, model.classify(fields, [Include(features=True)] * len(fields))


def extract(fields: list[Field], engine: str) -> Features:
    model = open_model(engine)
    return model.engine.extract(np.stack([resize(field.pixels, *model.size) for field in fields]))


def differences(seen: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Length of each row's difference, over that of the expected row."""
    return np.linalg.norm(seen - expected, axis=1) / np.linalg.norm(expected, axis=1)


@pytest.mark.parametrize("tissue", [drawn, pytest.param(breakhis, marks=pytest.mark.slow)])
def test_8_bit_integers_change_nothing_outside_the_margin(tissue):
    fields = tissue()
    model, reference = answers(fields, "torch-fp32")
    _, fast = answers(fields, "openvino-int8")
    expected, seen = (extract(fields, engine) for engine in ("torch-fp32", "openvino-int8"))
    assert 0 < differences(seen.vectors, expected.vectors).max() < FEATURE_TOLERANCE
    assert 0 < differences(seen.textures, expected.textures).max() < FEATURE_TOLERANCE
    changes = [abs(a.decision - b.decision) for a, b in zip(reference, fast, strict=True)]
    assert max(changes) < MARGIN
    rule = model.manifest["decision_rule"]
    limits = np.array([rule["threshold"], *rule["abstain"]])
    for one, other in zip(reference, fast, strict=True):
        to_threshold = abs(one.decision - rule["threshold"])
        to_limit = np.abs(one.decision - limits).min()
        assert one.label == other.label or to_threshold < MARGIN
        assert one.verdict == other.verdict or to_limit < MARGIN
        assert [w.code for w in one.warnings] == [w.code for w in other.warnings]


@pytest.mark.parametrize("no_overflow", [False, True])
def test_the_first_convolution_uses_integers_only_where_they_do_not_overflow(
    no_overflow, monkeypatch
):
    """With integers on a CPU without VNNI the features would be wrong, so only a CPU can tell."""
    if no_overflow and not has_no_overflow():
        pytest.skip("no VNNI here")
    monkeypatch.setattr("handler.openvino_engine.has_no_overflow", lambda: no_overflow)
    model, fields = open_model("torch-fp32"), drawn()
    inputs = np.stack([resize(field.pixels, *model.size) for field in fields])
    weights = Weights.read((MODEL_STORE / "weights.safetensors").read_bytes(), MEAN, STD)
    maxima = model.manifest["activation_maxima"]
    engine = OpenVinoEngine(weights, model.size, 1, maxima)
    compiled = ov.compile_model(
        trunk_graph(weights, model.size, maxima, no_overflow=no_overflow),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    convolutions = [
        op.get_rt_info()["runtimePrecision"].astype(str)
        for op in compiled.get_runtime_model().get_ops()
        if op.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert len(convolutions) == 20
    assert convolutions.count("f32") == (not no_overflow)
    expected, seen = model.engine.extract(inputs), engine.extract(inputs)
    assert 0 < differences(seen.vectors, expected.vectors).max() < FEATURE_TOLERANCE
    assert 0 < differences(seen.textures, expected.textures).max() < FEATURE_TOLERANCE


def test_a_pass_that_breaks_off_leaves_nothing_to_the_next():
    model, fields = Model.open(MODEL_STORE, engine="openvino-fp32", threads=2), drawn()
    inputs = [model.prepare(field).seen for field in fields]

    def broken():
        yield from inputs[:5]
        raise MemoryError

    expected = model.engine.extract(inputs[5:9]).vectors
    for _ in range(5):
        with pytest.raises(MemoryError):
            model.engine.extract(broken())
        assert np.array_equal(model.engine.extract(inputs[5:9]).vectors, expected)


def test_openvino_in_single_precision_is_the_reference():
    fields = drawn()[:6]
    expected, seen = (extract(fields, engine) for engine in ("torch-fp32", "openvino-fp32"))
    for ours, theirs in zip(seen, expected, strict=True):
        assert ours.shape == theirs.shape
        assert np.allclose(ours, theirs, atol=1e-4)
    (_, reference), (_, fast) = (answers(fields, e) for e in ("torch-fp32", "openvino-fp32"))
    for one, other in zip(reference, fast, strict=True):
        assert abs(one.decision - other.decision) < 1e-3


@pytest.mark.parametrize("engine", ["openvino-fp32", "openvino-int8"])
def test_an_answer_does_not_depend_on_its_batch(engine):
    fields = drawn()[:7]
    model, together = answers(fields, engine)
    alone = [model.classify([field])[0].decision for field in fields]
    assert np.allclose([answer.decision for answer in together], alone, atol=1e-4)


def test_auto_is_8_bit_integers_on_a_cpu():
    assert Model.open(MODEL_STORE, engine="auto").describe()["engine"] == "openvino-int8"


def test_without_openvino_the_reference_answers_and_one_line_says_so(monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, "handler.openvino_engine", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with caplog.at_level(logging.INFO):
        model = Model.open(MODEL_STORE, engine="auto")
    assert model.describe()["engine"] == "torch-fp32"
    (line,) = [record.getMessage() for record in caplog.records]
    assert "OpenVINO" in line or "openvino" in line
    assert model.classify(drawn()[:1])[0].label in ("benign", "malignant")


def test_the_fast_engine_imports_nothing_slow():
    code = """if True:
        import sys
        from handler.images import Field
        from handler.settings import HandlerSettings
        from scripts.paths import MODEL_STORE
        from serve.drawn_tissue import draw_field
        model = HandlerSettings.read().open_model(MODEL_STORE, gpu=0)
        assert model.classify([Field(draw_field(0))])
        slow = {"torch", "torchvision", "sklearn", "scipy"} & set(sys.modules)
        assert not slow or model.engine.name.startswith("torch")"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("engine", ["torch-fp32", "openvino-int8"])
def test_weights_of_another_network_are_refused(engine):
    weights = load_file(MODEL_STORE / "weights.safetensors")
    without = {name: array for name, array in weights.items() if not name.startswith("layer4.1")}
    wrong = {**weights, "layer2.1.conv1.weight": weights["layer3.1.conv1.weight"]}
    for arrays in (without, wrong):
        with pytest.raises(BadModel, match="ResNet18"):
            open_engine(
                engine,
                Weights(arrays, MEAN, STD),
                size=(96, 64),
                maxima=[1.0] * 16,
                device="cpu",
                threads=1,
            )


def test_an_engine_that_is_none_is_refused():
    with pytest.raises(UnknownEngine, match="openvino-int8"):
        Model.open(MODEL_STORE, engine="fast")


@pytest.mark.slow
def test_openvino_reports_nothing_to_its_maker(tmp_path):
    """It keeps its books on that in the home folder."""
    code = "import handler.openvino_engine"
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**environment, "HOME": str(tmp_path)}
    )
    assert list(tmp_path.iterdir()) == []
