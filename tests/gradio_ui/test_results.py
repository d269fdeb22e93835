"""The patient's score, table, CSV and PDF."""

import csv
import io
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pypdf
import pytest

from bulk.patient import PatientScore, score_patient
from bulk.tables import ANSWER
from bulk.tables import MODEL as MODEL_COLUMNS
from gradio_ui.heat_map_view import describe
from gradio_ui.patient_result import PatientRun
from gradio_ui.report import to_csv, to_pdf
from gradio_ui.run import conclude
from gradio_ui.scoring import JudgedImage
from gradio_ui.verdict import figures, prediction
from handler import RESEARCH_ONLY
from handler.decision import DecisionRule
from handler.prediction import ModelId, Prediction, Warning
from serve.description import Description, RunningModel
from serve.drawn_tissue import draw_field, encode
from serve.management import Management

MODEL = ModelId("breakhis", "9.9", "f" * 64)
RULE = DecisionRule(threshold=0.0, abstain=(-0.5, 0.5), slope=1.5, intercept=0.0)
MANIFEST = {"decision_rule": vars(RULE), "training": {"tolerated_risk": 0.3}}
NOBODY = RunningModel(Management("http://127.0.0.1:9", None))
MEASURED = {"abstained": {"value": 0.5}, "wrong_verdicts": {"value": 0.1}}
EVALUATION = {"magnifications": {"40X": {"patient": {"benign": 4, "malignant": 6, **MEASURED}}}}
DESCRIPTION = Description(MODEL, "torch-fp32", MANIFEST, EVALUATION, "", {})


@cache
def picture(seed: int) -> bytes:
    return encode(draw_field(seed, 350, 230), "JPEG")


def scored(decision: float, verdict: str | None = None, name: str = "a.png") -> JudgedImage:
    probability = RULE.probability(decision)
    label = "malignant" if decision >= 0 else "benign"
    answer = Prediction(label, probability, verdict or RULE.verdict(decision), decision, [], MODEL)
    return JudgedImage(name, answer, picture(int(100 * abs(decision)) % 16))


def answers(*images: JudgedImage) -> list[Prediction]:
    return [image.answer for image in images if image.answer]


def test_a_patient_is_judged_by_the_mean_decision():
    score = score_patient(answers(scored(2.0), scored(-0.5), scored(9.0, "rejected")), RULE)
    mean = (RULE.probability(2.0) + RULE.probability(-0.5)) / 2
    assert score == PatientScore("malignant", 0.75, pytest.approx(mean), 2, 1)
    assert score_patient(answers(scored(0.6), scored(0.2)), RULE).verdict == "uncertain"
    assert score_patient(answers(scored(-2.0)), RULE).verdict == "benign"
    assert score_patient(answers(scored(9.0, "rejected")), RULE) is None


def test_a_table_row_is_the_prediction_under_its_own_names():
    results = [scored(0.25), JudgedImage("b.png", reason="It is damaged.")]
    (first, second) = csv.DictReader(io.StringIO(to_csv(results).decode("utf-8-sig")))
    assert list(first) == ["file", *ANSWER, "message", *MODEL_COLUMNS, "note"]
    assert float(first["decision"]) == 0.25
    assert (first["label"], first["message"]) == ("malignant", "")
    assert (second["verdict"], second["message"]) == ("", "It is damaged.")


def test_names_can_be_no_formula_and_no_markup():
    results = [
        scored(1.0, name="=cmd()"),
        JudgedImage("<script>alert(1)</script>", reason="<b>bad"),
    ]
    (first, second) = csv.DictReader(io.StringIO(to_csv(results).decode("utf-8-sig")))
    assert first["file"] == "'=cmd()"
    assert first["note"] == second["note"] == RESEARCH_ONLY
    assert "<script>" not in PatientRun(NOBODY, 2, results).gallery()
    text = pypdf.PdfReader(io.BytesIO(to_pdf(results, None, "<i>", MODEL))).pages[0].extract_text()
    assert "<script>alert(1)</script>: <b>bad" in text


def test_images_judged_by_two_models_have_no_score_together():
    first, second = scored(1.0), scored(2.0)
    second = replace(second, answer=replace(second.answer, model=replace(MODEL, sha256="e" * 64)))
    _, together, files, gallery = conclude(PatientRun(NOBODY, 2, [first, second]))
    assert "model changed" in together  # the answers alone tell
    assert files == ""
    assert "a.png" in gallery


@pytest.mark.parametrize("n", [1, 7, 200])
def test_the_report_is_one_page(n):
    results = [scored(i / 100, name=f"{'long-' * 30}{i}.png") for i in range(n)]
    results += [JudgedImage(f"bad-{i}.png", reason="It is damaged. " * 20) for i in range(n)]
    pdf = pypdf.PdfReader(
        io.BytesIO(to_pdf(results, score_patient(answers(*results), RULE), "formed " * 80, MODEL))
    )
    assert len(pdf.pages) == 1
    assert len(pdf.pages[0].images) == min(n, 9)


def test_a_rejected_image_has_no_probability():
    images = [scored(0.0), scored(9.0, "rejected"), JudgedImage("b")]
    assert [row[2] for row in PatientRun(NOBODY, 3, images).view()] == [0.5, None, None]


def test_a_rejection_says_why_before_all_else():
    why = Warning("wrong_magnification", "It looks like 200x: take it at 40x.")
    said = prediction(replace(scored(9.0, "rejected").answer, warnings=[why]), DESCRIPTION, 0.1)
    assert "It looks like 200x" in said.split("</div>")[0]
    assert "Probability" not in said


def test_the_three_figures_are_shares_of_the_same_patients():
    said = figures(DESCRIPTION)
    assert "Of 10 patients" in said
    assert re.findall(r"(\d+)%", said) == ["40", "50", "10"]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([[3, 0, 0], [0, 0, 0], [0, 0, -1]], ("malignant lies in the upper left", "lower right")),
        ([[0, 0, 0], [0, 2, 0], [0, 0, 1]], ("malignant lies in the centre",)),
        ([[0, 0], [0, 0]], ("No place moved",)),
    ],
)
def test_a_heat_map_is_described_in_words(places, said):
    described = describe(np.array(places, dtype=np.float32))
    assert all(part in described for part in said)
    assert ("benign" in described) == bool(np.min(places) < 0)


def test_a_verdict_of_another_model_shows_no_limits_of_this_one():
    answer = scored(1.0).answer
    assert "threshold" in prediction(answer, DESCRIPTION, 0.1)
    assert "threshold" not in prediction(answer, None, 0.1)
