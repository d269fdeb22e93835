"""Training, on drawn fields in the official layout; small, but the real thing."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score

from handler.images import Field, read_field
from handler.model import Model
from handler.resnet import Trunk
from scripts.learning.breakhis import BreakHis
from scripts.learning.card import model_card
from scripts.learning.crossval import Run
from scripts.learning.finetune import MEAN, STD, Recipe
from scripts.train import MODEL_STORE, judge, train
from tests.scripts.test_breakhis import SHARED, needs_data
from tests.synthetic import draw_field, encode

RECIPE = Recipe(width=176, height=112, crop=64, steps=3, batch=4, mosaics=1, seed=0)
N_PATIENTS = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Drawn fields; the malignant ones are darker, so there is something to learn."""
    root = tmp_path_factory.mktemp("BreaKHis_v1")
    for n in range(N_PATIENTS):
        malignant = n % 2
        kind = ("B_A", "M_DC")[malignant]
        for magnification in (40, 100):
            folder = root / "breast" / f"SOB_{kind}-14-{n}" / f"{magnification}X"
            folder.mkdir(parents=True)
            for i in range(2):
                pixels = draw_field(100 * n + 10 * magnification + i, 350, 230)
                pixels = (pixels * (0.6 if malignant else 1)).astype(np.uint8)
                name = f"SOB_{kind}-14-{n}-{magnification}-{i:03}.png"
                (folder / name).write_bytes(encode(pixels))
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file(Trunk(MEAN, STD).resnet.state_dict(), path)
    return path


def digests(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def trained(data, weights, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(data, weights, RECIPE, folds=2, work=folder / "work", destination=folder / "model")
    return folder


def test_the_model_opens_and_answers(trained):
    model = Model.open(trained / "model")
    (answer,) = model.classify([Field(draw_field(1))])
    assert 0 <= answer.probability <= 1
    manifest = model.manifest
    assert manifest["training"]["patients"] == {"benign": 4, "malignant": 4}
    assert manifest["training"]["images"]["40X"] == {"benign": 8, "malignant": 8}
    assert manifest["metrics"]["40X"]["patient"]["auc"]["value"] <= 1
    assert model.card == model_card(manifest)


def test_each_patient_is_judged_once_and_by_a_model_that_never_saw_it(trained):
    rows = json.loads((trained / "model" / "out_of_fold.json").read_text())
    assert len(rows) == len({row["name"] for row in rows}) == N_PATIENTS * 4
    folds = {(row["patient"], row["fold"]) for row in rows}
    assert len(folds) == N_PATIENTS


def test_the_same_seed_gives_the_same_model_and_another_does_not(trained, data, weights, tmp_path):
    train(data, weights, RECIPE, folds=2, work=tmp_path / "w1", destination=tmp_path / "same")
    assert digests(tmp_path / "same") == digests(trained / "model")
    other = Recipe(**{**RECIPE.to_json(), "seed": 1})
    train(data, weights, other, folds=2, work=tmp_path / "w2", destination=tmp_path / "other")
    assert digests(tmp_path / "other") != digests(trained / "model")


def test_a_stopped_run_goes_on_where_it_was(trained, data, weights, tmp_path, monkeypatch):
    fitted = []
    fit = Run._fit

    def counted(self, samples, folder, on_step):
        if len(fitted) == 1:
            raise KeyboardInterrupt
        fitted.append(folder.name)
        return fit(self, samples, folder, on_step)

    monkeypatch.setattr(Run, "_fit", counted)
    where = {"work": tmp_path / "work", "destination": tmp_path / "model"}
    with pytest.raises(KeyboardInterrupt):
        train(data, weights, RECIPE, folds=2, **where)
    assert not where["destination"].exists()

    monkeypatch.setattr(Run, "_fit", lambda *a: fitted.append(a[2].name) or fit(*a))
    train(data, weights, RECIPE, folds=2, **where)
    assert fitted == ["fold0", "fold1", "fold_all"]
    assert digests(where["destination"]) == digests(trained / "model")


def test_the_committed_figures_and_card_are_those_of_the_committed_decisions():
    manifest = json.loads((MODEL_STORE / "manifest.json").read_text())
    rows = json.loads((MODEL_STORE / "out_of_fold.json").read_text())
    rule, metrics = judge(rows)
    assert json.loads(json.dumps(metrics)) == manifest["metrics"]
    assert json.loads(json.dumps(vars(rule))) == manifest["decision_rule"]
    assert (MODEL_STORE / "MODEL_CARD.md").read_text() == model_card(manifest)


def test_the_committed_model_is_small_enough_for_git():
    sizes = [f.stat().st_size for f in MODEL_STORE.iterdir() if f.suffix != ".mar"]
    assert sum(sizes) <= 30_000_000


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
