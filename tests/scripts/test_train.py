"""Training and evaluation, on drawn fields in the official layout; small, but the real thing."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save
from sklearn.metrics import roc_auc_score

from handler import EVALUATION, MANIFEST, PLOTS
from handler.decision import DecisionRule
from handler.errors import BadModel
from handler.images import Field, read_field
from handler.model import Model
from handler.openvino_engine import OpenVinoEngine
from handler.resnet import Trunk
from handler.torch_engine import TorchEngine
from handler.weights import Weights
from scripts.errors import NoCheckpoints
from scripts.evaluate import evaluate
from scripts.evaluation import plots
from scripts.evaluation.card import model_card
from scripts.evaluation.figures import from_decisions
from scripts.evaluation.magnification import magnification_figures
from scripts.paths import MODEL_STORE, OUT_OF_FOLD, OUT_OF_FOLD_KINDS
from scripts.train import train
from scripts.training.bounds import field_ranges
from scripts.training.breakhis import BreakHis
from scripts.training.calibration import decision_rule, held_out_probabilities
from scripts.training.crossval import CrossValidationPlan, Run, half
from scripts.training.magnification import OutOfFoldKinds
from scripts.training.out_of_fold import OutOfFoldPredictions
from scripts.training.recipe import MEAN, STD, Recipe
from scripts.training.starting_weights import starting_weights
from serve.drawn_tissue import draw_field, encode
from serve.tissue_kinds import DUCTAL_CARCINOMA, FIBROADENOMA
from tests.scripts.test_breakhis import SHARED, needs_data

RECIPE = Recipe(
    width=96, height=64, crop=48, crops=4, steps=3, batch=4, soup=2, no_tissue=4, mosaics=1, seed=0
)
PLAN = CrossValidationPlan(folds=2, repetitions=2)
N_PATIENTS = 8
FEW_FIELDS = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Drawn fields, each class another tissue, so that there is something to learn."""
    root = tmp_path_factory.mktemp("BreaKHis_v1")
    for n in range(N_PATIENTS):
        kind, tissue = (("B_A", FIBROADENOMA), ("M_DC", DUCTAL_CARCINOMA))[n % 2]
        for magnification, n_images in ((40, 2), (100, 1)):
            folder = root / "breast" / f"SOB_{kind}-14-{n}" / f"{magnification}X"
            folder.mkdir(parents=True)
            for i in range(n_images):
                pixels = draw_field(100 * n + 10 * magnification + i, 530, 160, tissue)
                name = f"SOB_{kind}-14-{n}-{magnification}-{i:03}.png"
                (folder / name).write_bytes(encode(pixels))
    return root


def digests(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def trained(data, weights, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(data, weights, RECIPE, PLAN, work=folder / "work", destination=folder / "model")
    evaluate(data, folder / "work", folder / "model", max_fields=FEW_FIELDS)
    return folder


def test_the_model_opens_and_answers(trained):
    model = Model.open(trained / "model")
    (answer,) = model.classify([Field(draw_field(1))])
    assert 0 <= answer.probability <= 1
    assert model.manifest["training"]["patients"] == {"benign": 4, "malignant": 4}
    assert model.manifest["training"]["images"]["40X"] == {"benign": 8, "malignant": 8}
    assert model.card == model_card(model.manifest, model.evaluation)


def test_every_figure_that_was_asked_for_is_there(trained):
    evaluation = json.loads((trained / "model" / EVALUATION).read_text())
    assert set(evaluation["magnifications"]) == {"40X", "100X"}
    at_40x = evaluation["magnifications"]["40X"]
    measures = {
        *("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity"),
        *("brier", "calibration_error", "abstained", "wrong_verdicts"),
    }
    assert measures <= set(at_40x["image"])
    assert measures | {"recognition_rate"} <= set(at_40x["patient"])
    for name in measures:
        low, high = at_40x["image"][name]["interval"]
        assert 0 <= low <= at_40x["image"][name]["value"] <= high <= 1
        assert len(at_40x["image"][name]["repetitions"]) == PLAN.repetitions
    assert at_40x["tumour_types"]["A"]["patients"] == 4
    assert len(evaluation["robustness"]) == 11
    rejection = evaluation["rejection"]
    assert (rejection["real"]["images"], rejection["real"]["patients"]) == (FEW_FIELDS,) * 2
    assert 0 <= rejection["real"]["images_rejected"]["count"] <= FEW_FIELDS
    assert rejection["auroc"] > 0.9
    assert rejection["negatives"]["photographs"]["rejected"] > 0.9
    assert len(evaluation["heatmap"]["deletion"]) == len(evaluation["heatmap"]["share"])


def test_heat_maps_are_measured_on_fewer_fields_and_figures_on_all(trained):
    evaluation = json.loads((trained / "model" / EVALUATION).read_text())
    assert evaluation["heatmap"]["fields"] == FEW_FIELDS
    assert evaluation["magnifications"]["40X"]["image"]["benign"] == N_PATIENTS


def test_each_patient_is_judged_by_a_model_that_never_saw_it(trained):
    judged = OutOfFoldPredictions.from_json((trained / "model" / OUT_OF_FOLD).read_text())
    assert len(judged.names) == len(set(judged.names)) == N_PATIENTS * 3
    assert judged.decisions.shape == (PLAN.repetitions, N_PATIENTS * 3)
    assert np.isfinite(judged.decisions).all()
    for folds in judged.folds:
        assert len(set(zip(judged.patients, folds, strict=True))) == N_PATIENTS
    assert (judged.folds[0] != judged.folds[1]).any()


def test_activation_ranges_are_in_the_order_of_the_8_bit_engine():
    weights = Weights.read((MODEL_STORE / "weights.safetensors").read_bytes(), MEAN, STD)
    trunk = Trunk.of(weights)
    field = draw_field(0, 176, 112)
    expected = TorchEngine(trunk).extract(field[None]).vectors

    def error(ranges: list[float]) -> float:
        seen = OpenVinoEngine(weights, (176, 112), 1, ranges).extract(field[None]).vectors
        return float(np.linalg.norm(seen - expected) / np.linalg.norm(expected))

    ranges = field_ranges(trunk, field)
    assert error(ranges) < 0.05 < error(ranges[::-1])


def test_another_seed_gives_another_model(trained, data, weights, tmp_path):
    start, _ = starting_weights(weights)
    run = Run.begin(BreakHis(data).images, start, replace(RECIPE, seed=1), tmp_path)
    trunk, _ = run.final()
    assert save(half(trunk)) != (trained / "model" / "weights.safetensors").read_bytes()


def test_a_stopped_run_goes_on_where_it_was_to_the_same_model_and_figures(
    trained, data, weights, tmp_path, monkeypatch
):
    work, destination = tmp_path / "work", tmp_path / "model"
    fitted: list[str] = []
    fit = Run._fit

    def stopped(self, training, seed, folder):
        if fitted:
            raise KeyboardInterrupt
        return watched(self, training, seed, folder)

    def watched(self, training, seed, folder):
        fitted.append(folder.name)
        return fit(self, training, seed, folder)

    monkeypatch.setattr(Run, "_fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(data, weights, RECIPE, PLAN, work=work, destination=destination)
    assert not destination.exists()
    monkeypatch.setattr(Run, "_fit", watched)
    train(data, weights, RECIPE, PLAN, work=work, destination=destination)
    assert fitted == [f"repetition{r}-fold{k}of2" for r in (0, 1) for k in (0, 1)] + ["all"]
    evaluate(data, work, destination, max_fields=FEW_FIELDS)
    assert digests(destination) == digests(trained / "model")


def test_models_of_another_run_are_not_evaluated(trained, data, tmp_path):
    with pytest.raises(NoCheckpoints, match=r"scripts\.train"):
        evaluate(data, tmp_path, trained / "model")


def test_figures_of_another_model_are_refused(trained, tmp_path):
    for file in (trained / "model").glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    evaluation = json.loads((tmp_path / EVALUATION).read_text())
    evaluation["model"]["weights"] = "0" * 64
    (tmp_path / EVALUATION).write_text(json.dumps(evaluation))
    with pytest.raises(BadModel, match="another model"):
        Model.open(tmp_path)


NUMBER = re.compile(r"-?\d+\.\d+")
# A name that matplotlib makes from coordinates, down to their last digit.
SVG_NAME = re.compile(r"\b[mp][0-9a-f]{10}\b")


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Name where two JSON values differ by more than rounding does on another CPU."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [d for key in one for d in differences(one[key], other[key], f"{at}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, pair in pairs for d in differences(*pair, f"{at}/{i}")]
    if isinstance(one, float) and isinstance(other, float):
        return [] if one == pytest.approx(other, rel=1e-9, abs=1e-9) else [f"{at}: {one} {other}"]
    return [] if one == other else [f"{at}: {one!r} {other!r}"]


def test_figures_are_compared_with_a_tolerance_and_all_else_exactly():
    assert differences({"a": [1.5, 2]}, {"a": [1.5 + 1e-12, 2]}) == []
    for other in ({"a": [1.6, 2]}, {"a": [1.5, 3]}, {"a": [1.5]}, {"b": [1.5, 2]}, {"a": None}):
        assert differences({"a": [1.5, 2]}, other)


@pytest.mark.slow
def test_the_committed_figures_plots_and_card_are_those_of_the_committed_decisions():
    manifest = json.loads((MODEL_STORE / MANIFEST).read_text())
    evaluation = json.loads((MODEL_STORE / EVALUATION).read_text())
    judged = OutOfFoldPredictions.from_json((MODEL_STORE / OUT_OF_FOLD).read_text())
    fitted = json.loads(json.dumps(vars(decision_rule(judged))))
    assert differences(fitted, manifest["decision_rule"]) == []
    rule = DecisionRule(**manifest["decision_rule"])
    probabilities = held_out_probabilities(judged)
    again = json.loads(json.dumps(from_decisions(judged, probabilities, rule)))
    assert differences(again, {key: evaluation[key] for key in again}) == []
    kinds = OutOfFoldKinds.from_json((MODEL_STORE / OUT_OF_FOLD_KINDS).read_text())
    assert kinds.min_log_odds() == pytest.approx(
        manifest["tissue_limits"]["min_log_odds"], abs=1e-4
    )
    checked = json.loads(json.dumps(magnification_figures(kinds)))
    assert differences(checked, evaluation["magnification_check"]) == []
    assert (MODEL_STORE / "MODEL_CARD.md").read_text() == model_card(manifest, evaluation)
    for name, svg in plots.draw(judged, probabilities, rule, evaluation).items():
        drawn, committed = (
            SVG_NAME.sub("name", text)
            for text in (svg.decode(), (MODEL_STORE / PLOTS / name).read_text())
        )
        assert NUMBER.sub("number", drawn) == NUMBER.sub("number", committed)
        one, other = (list(map(float, NUMBER.findall(text))) for text in (drawn, committed))
        assert np.allclose(one, other, rtol=0, atol=1e-3), name  # of a point


def test_the_committed_model_is_small_enough_for_git():
    sizes = [f.stat().st_size for f in MODEL_STORE.rglob("*.*") if f.suffix != ".mar"]
    assert sum(sizes) <= 30_000_000


@pytest.mark.slow
@needs_data
def test_the_committed_model_knows_the_tissue_that_it_learnt_from():
    """A check of the served path against training, not a figure: these patients were seen."""
    images = [image for image in BreakHis(SHARED).images if image.magnification == 40]
    model = Model.open(MODEL_STORE)
    answers = model.classify([read_field(image.path.read_bytes()) for image in images])
    malignant = [image.malignant for image in images]
    assert roc_auc_score(malignant, [answer.decision for answer in answers]) > 0.95
    rejected = np.mean([answer.verdict == "rejected" for answer in answers])
    assert rejected <= 0.02
