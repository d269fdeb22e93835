"""The committed model, opened and used as the archive does it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from handler import MANIFEST
from handler.errors import BadModel
from handler.images import Field, read_field
from handler.magnification import NO_TISSUE
from handler.manifest import TrainingField
from handler.model import Include, Model
from handler.tissue import (
    Likeness,
    TissueCheck,
    TissueLimits,
    TissueMeasures,
    check,
    distances,
    measure,
)
from scripts.training.breakhis import BreakHis
from scripts.training.no_tissue import draw_no_tissue
from serve.drawn_tissue import draw_field, encode
from serve.tissue_kinds import ADENOSIS
from tests.conftest import ROOT
from tests.scripts.test_breakhis import SHARED, needs_data

STORE = ROOT / "model_store"
MAGNIFICATION = "wrong_magnification"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.open(STORE)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for file in STORE.glob("*.*"):
        if file.suffix != ".mar":
            shutil.copy(file, tmp_path)
    return tmp_path


def test_answers_keep_the_contract(model):
    (answer,) = model.classify([Field(draw_field(1))], [Include(features=True, heatmap=True)])
    json_answer = json.loads(json.dumps(answer.to_json()))
    assert set(json_answer) == {
        *("label", "probability", "verdict", "decision", "warnings", "model"),
        *("features", "heatmap"),
    }
    assert json_answer["label"] in ("benign", "malignant")
    assert json_answer["verdict"] in ("benign", "malignant", "uncertain", "rejected")
    assert 0 <= json_answer["probability"] <= 1
    assert len(json_answer["features"]) == 512
    assert set(json_answer["model"]) == {"name", "version", "sha256"}


def test_extras_come_only_to_those_who_asked(model):
    fields = [Field(draw_field(seed)) for seed in range(3)]
    asked = [Include(attribution=True), Include(features=True), Include(heatmap=True)]
    answers = [answer.to_json() for answer in model.classify(fields, asked)]
    assert ["features" in answer for answer in answers] == [False, True, False]
    assert ["heatmap" in answer for answer in answers] == [False, False, True]
    assert ["attribution" in answer for answer in answers] == [True, False, False]


def test_the_places_of_an_attribution_explain_the_decision_on_one_scale(model):
    fields = [Field(draw_field(0)), Field(draw_field(5, 460, 700))]
    answers = model.classify(fields, [Include(attribution=True)] * 2)
    for answer in answers:
        explained = answer.attribution
        assert explained.base + explained.places.mean() == pytest.approx(answer.decision, abs=0.01)
        assert explained.scale == model.manifest["heatmap_scale"] > 0
    landscape, portrait = (answer.attribution.places.shape for answer in answers)
    assert landscape == portrait[::-1]
    assert landscape[1] > landscape[0]


def test_an_answer_does_not_depend_on_its_batch(model):
    sizes = [(700, 460), (1400, 920), (350, 230), (640, 480), (460, 700)]
    fields = [Field(draw_field(seed, *size)) for seed, size in enumerate(sizes)]
    together = [answer.decision for answer in model.classify(fields)]
    alone = [model.classify([field])[0].decision for field in fields]
    assert np.allclose(together, alone, atol=1e-4)
    assert np.ptp(together) > 1e-3


@pytest.mark.parametrize("enlarged", [1, 4])
def test_a_jpeg_that_is_decoded_small_is_judged_as_if_it_were_not(model, enlarged):
    size = (enlarged * 700, enlarged * 460)
    jpegs = [
        encode(cv2.resize(draw_field(s), size, interpolation=cv2.INTER_CUBIC), "JPEG", quality=95)
        for s in range(6)
    ]
    whole = model.classify([read_field(jpeg) for jpeg in jpegs])
    small = model.classify([read_field(jpeg, seen_at=model.size) for jpeg in jpegs])
    assert np.allclose([a.decision for a in whole], [a.decision for a in small], atol=0.1)


def test_more_fields_than_one_forward_pass_takes(model, monkeypatch):
    monkeypatch.setattr("handler.torch_engine.MAX_FORWARD", 2)
    fields = [Field(draw_field(seed)) for seed in range(5)]
    in_pieces = [answer.decision for answer in model.classify(fields)]
    monkeypatch.undo()
    assert np.allclose(in_pieces, [a.decision for a in model.classify(fields)], atol=1e-4)


def test_a_portrait_field_is_turned_not_squashed(model):
    pixels = draw_field(3)
    turned = np.ascontiguousarray(np.rot90(pixels, -1))
    one, other = model.classify([Field(pixels), Field(turned)], [Include(heatmap=True)] * 2)
    assert abs(one.decision - other.decision) < 1e-4
    assert {w.code for w in one.warnings} == {w.code for w in other.warnings}
    maps = [read_field(answer.heatmap).pixels for answer in (one, other)]
    assert np.abs(np.rot90(maps[1]).astype(int) - maps[0]).max() <= 2
    attribution, decision = model.attribute(Field(turned))
    assert attribution.shape[0] > attribution.shape[1]
    assert decision == pytest.approx(other.decision, abs=1e-4)


def test_what_is_no_tissue_is_rejected(model):
    blank = np.full((460, 700, 3), 245, np.uint8)
    green = np.zeros((460, 700, 3), np.uint8)
    green[..., 1] = np.random.default_rng(0).integers(80, 255, (460, 700))
    green[:46] = 255
    answers = model.classify([Field(blank), Field(green)])
    codes = [{w.code for w in answer.warnings} for answer in answers]
    assert [answer.verdict for answer in answers] == ["rejected", "rejected"]
    assert {"little_tissue", "unfamiliar"} <= codes[0]
    assert {"not_he", "unfamiliar"} <= codes[1]


def test_drawn_fields_are_close_enough_to_be_judged(model):
    answers = model.classify([Field(draw_field(seed)) for seed in range(8)])
    assert [answer.warnings for answer in answers] == [[]] * 8
    assert "rejected" not in [answer.verdict for answer in answers]


def test_the_verdict_is_withheld_beyond_the_limit_and_only_there():
    limits = TissueLimits(2.0, -1.0, 0.1, 0.5, 40.0)
    field = TrainingField(600, 400, 0.5)
    good, known = TissueMeasures(0.8, 0.9, 500.0), Likeness(2.0, -1.0, 200)
    assert check(good, known, 1.5, limits, field) == TissueCheck(True, [])
    for unlike, code in (
        (replace(known, distance=2.01), "unfamiliar"),
        (replace(known, log_odds=-1.01), "wrong_magnification"),
        (replace(known, log_odds=-1.01, looks_like=NO_TISSUE), "unfamiliar"),
    ):
        seen = check(good, unlike, 1.5, limits, field)
        assert (seen.in_distribution, [w.code for w in seen.warnings]) == (False, [code])
    seen = check(good, replace(known, log_odds=-1.01), 1.5, limits, field)
    assert "looks like 200x" in seen.warnings[0].message
    for poor, code in (
        (replace(good, tissue=0.05), "little_tissue"),
        (replace(good, he=0.4), "not_he"),
        (replace(good, sharpness=30.0), "out_of_focus"),
    ):
        seen = check(poor, known, 1.5, limits, field)
        assert (seen.in_distribution, [w.code for w in seen.warnings]) == (True, [code])
    seen = check(good, known, 1.0, limits, field)
    assert [w.code for w in seen.warnings] == ["unusual_size"]
    assert "(600 x 400)" in seen.warnings[0].message


def test_noise_in_the_colours_of_the_stain_gets_no_verdict(model):
    """The pictures are of other seeds than those that the model learnt from."""
    noise = [Field(draw_no_tissue(np.random.default_rng(1000 + seed))) for seed in range(20)]
    rejected = [answer.verdict == "rejected" for answer in model.classify(noise)]
    assert np.mean(rejected) >= 0.9


@pytest.mark.slow
@needs_data
def test_fields_of_another_magnification_are_told_so(model):
    """A check of the served path, not a figure: these patients were seen in training."""
    for magnification in (100, 200, 400):
        images = [i for i in BreakHis(SHARED).images if i.magnification == magnification]
        answers = model.classify([read_field(i.path.read_bytes()) for i in images[::12]])
        rejected = [answer.verdict == "rejected" for answer in answers]
        assert np.mean(rejected) >= 0.85
        messages = [w.message for a in answers for w in a.warnings if w.code == MAGNIFICATION]
        assert f"looks like {magnification}x" in " ".join(messages)


def test_the_scale_of_a_slide_is_not_guessed(model):
    """A field in which everything is twice as large, nearly as at 100x."""
    part = draw_field(0, tissue=ADENOSIS)[:230, :350]
    large = cv2.resize(part, (700, 460), interpolation=cv2.INTER_CUBIC)
    (asked,), (known,) = (
        model.classify([Field(large)], scale_is_known=scale) for scale in (False, True)
    )
    assert MAGNIFICATION in {w.code for w in asked.warnings}
    assert MAGNIFICATION not in {w.code for w in known.warnings}


def test_the_distance_is_that_of_the_nearest_known_field():
    known = np.array([[0.0, 0.0], [10.0, 0.0]])
    assert distances(np.array([[3.0, 4.0], [10.0, 1.0]]), known).tolist() == [5.0, 1.0]


def test_colours_are_judged_against_the_light_of_the_picture():
    """A yellow lamp leaves the stain what it is; brown (DAB) in eosin's place does not."""
    field = draw_field(1)
    lamp = (field * (1.0, 0.95, 0.8)).astype(np.uint8)
    assert measure(lamp).he > 0.95
    assert measure(np.full_like(field, 240)).tissue == 0
    brown = field[..., [0, 2, 1]]
    assert measure(brown).he < 0.5


def test_odd_shapes_and_blur_are_warned_of(model):
    tall = Field(draw_field(5, 200, 700))
    blurred = Field(cv2.GaussianBlur(draw_field(5), (0, 0), 12))
    codes = [{w.code for w in answer.warnings} for answer in model.classify([tall, blurred])]
    assert "unusual_size" in codes[0]
    assert "out_of_focus" in codes[1]
    assert "unusual_size" not in codes[1]


def test_description_holds_card_and_figures(model):
    description = model.describe()
    assert description["evaluation"]["magnifications"]["40X"]["image"]["auc"]["value"] > 0.5
    assert "Intended use" in description["card"]
    json.dumps(description)


@pytest.mark.parametrize("part", ["weights", "svm", "references", "magnification"])
def test_tampered_files_are_refused_before_they_are_used(copied, part):
    name = json.loads((copied / MANIFEST).read_text())["files"][part]["name"]
    data = bytearray((copied / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / name).write_bytes(data)
    with pytest.raises(BadModel, match=name):
        Model.open(copied)


def test_a_swapped_pickle_never_runs(copied, tmp_path):
    marker = tmp_path / "it-ran"
    payload = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    (copied / json.loads((copied / MANIFEST).read_text())["files"]["svm"]["name"]).write_bytes(
        payload
    )
    with pytest.raises(BadModel):
        Model.open(copied)
    assert not marker.exists()


def test_a_missing_file_is_named(copied):
    (copied / "MODEL_CARD.md").unlink()
    with pytest.raises(BadModel, match=r"MODEL_CARD\.md"):
        Model.open(copied)
