"""The figures, against scikit-learn and against cases worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, recall_score, roc_auc_score

from handler.decision import DecisionRule
from scripts.errors import DataSetError
from scripts.evaluation.figures import (
    area_under_roc,
    by_tumour_type,
    calibration_error,
    calibration_noise,
    figures,
)
from scripts.training.calibration import TOLERATED_RISK, decision_rule, held_out_probabilities
from scripts.training.out_of_fold import OutOfFoldPredictions

RULE = DecisionRule(threshold=0.0, abstain=(-0.5, 0.5), slope=2.0, intercept=0.0)


def judged_of(decisions, malignant, patients, magnifications=None) -> OutOfFoldPredictions:
    n = len(malignant)
    return OutOfFoldPredictions(
        names=np.array([f"image{i}" for i in range(n)]),
        patients=np.array(patients),
        tumour_types=np.where(malignant, "DC", "A"),
        malignant=np.array(malignant),
        magnifications=np.array(magnifications if magnifications is not None else [40] * n),
        folds=np.zeros((len(decisions), n), int),
        decisions=np.array(decisions, float),
    )


@pytest.fixture(scope="module")
def judged() -> OutOfFoldPredictions:
    """Thirty patients of three images at two magnifications, two repetitions."""
    rng = np.random.default_rng(0)
    malignant = np.repeat(rng.random(30) < 0.6, 6)
    patients = np.repeat([f"{n:02}" for n in range(30)], 6)
    decisions = malignant * 1.5 - 0.75 + rng.normal(0, 1, (2, 180))
    return judged_of(decisions, malignant, patients, [40, 100] * 90)


def test_image_figures_are_those_of_scikit_learn(judged):
    probabilities = 1 / (1 + np.exp(-2 * judged.decisions))
    image = figures(judged, probabilities, RULE)["image"]
    called = judged.decisions >= 0
    for r in range(2):
        found = {
            name: image[name]["repetitions"][r]
            for name in image
            if "malig" not in name and name != "benign"
        }
        m = judged.malignant
        assert found["auc"] == pytest.approx(roc_auc_score(m, judged.decisions[r]))
        assert found["sensitivity"] == pytest.approx(recall_score(m, called[r]))
        assert found["specificity"] == pytest.approx(recall_score(~m, ~called[r]))
        assert found["brier"] == pytest.approx(brier_score_loss(m, probabilities[r]))
    assert image["auc"]["value"] == pytest.approx(np.mean(image["auc"]["repetitions"]))
    low, high = image["auc"]["interval"]
    assert low < image["auc"]["value"] < high


def test_equal_decisions_count_half():
    rng = np.random.default_rng(0)
    malignant = np.repeat([False, True], 50)
    decisions = rng.integers(0, 4, 100) + malignant
    found = area_under_roc(decisions, malignant)
    assert found == pytest.approx(roc_auc_score(malignant, decisions))


def test_patient_figures_by_hand():
    # One benign patient, 1 of 4 images right; one malignant patient, 2 of 2 right.
    judged = judged_of([[1, 1, 1, -4, 2, 1]], [False] * 4 + [True] * 2, list("aaaabb"))
    patient = figures(judged, np.full((1, 6), 0.5), RULE)["patient"]
    assert patient["recognition_rate"]["value"] == pytest.approx((1 / 4 + 1) / 2)
    assert patient["specificity"]["value"] == 1.0  # the mean decision of a is -0.25
    assert patient["abstained"]["value"] == 0.5  # and inside the band
    assert (patient["benign"], patient["malignant"]) == (1, 1)


def test_a_patient_with_many_images_widens_the_interval():
    rng = np.random.default_rng(1)
    malignant = np.repeat([False, True] * 10, 20)
    decisions = np.repeat(rng.normal(0, 1, 20), 20)[None] + malignant
    dependent = judged_of(decisions, malignant, np.repeat(range(20), 20).astype(str))
    independent = judged_of(decisions, malignant, [str(i) for i in range(400)])
    widths = [
        np.ptp(figures(j, np.full((1, 400), 0.5), RULE)["image"]["auc"]["interval"])
        for j in (dependent, independent)
    ]
    assert widths[0] > 2 * widths[1]


def test_calibration_error_by_hand():
    probabilities = np.array([0.05, 0.05, 0.95, 0.95])
    assert calibration_error(probabilities, np.array([0, 0, 1, 1], bool)) == pytest.approx(0.05)
    assert calibration_error(probabilities, np.array([1, 1, 0, 0], bool)) == pytest.approx(0.95)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0


def test_chance_alone_shows_less_error_with_more_images():
    few, many = (calibration_noise(np.linspace(0.05, 0.95, n)) for n in (40, 4000))
    assert many < 0.02 < few


def test_a_probability_never_depends_on_its_own_patient(judged):
    probabilities = held_out_probabilities(judged)
    own = judged.patients == "03"
    flipped = judged_of(
        judged.decisions, judged.malignant ^ own, judged.patients, judged.magnifications
    )
    assert np.allclose(held_out_probabilities(flipped)[:, own], probabilities[:, own])
    assert not np.allclose(held_out_probabilities(flipped)[:, ~own], probabilities[:, ~own])


def test_calibration_finds_the_sigmoid_that_made_the_classes():
    rng = np.random.default_rng(2)
    decisions = rng.normal(0, 1, 4000)
    malignant = rng.random(4000) < 1 / (1 + np.exp(-(2 * decisions + 0.5)))
    rule = decision_rule(judged_of([decisions], malignant, [str(i) for i in range(4000)]))
    assert rule.slope == pytest.approx(2, abs=0.2)
    # Made for equal classes: less the logit of the share of malignant images.
    share = malignant.mean()
    assert rule.intercept == pytest.approx(0.5 - np.log(share / (1 - share)), abs=0.15)
    edge = np.log((1 - TOLERATED_RISK) / TOLERATED_RISK)
    assert rule.slope * rule.abstain[1] + rule.intercept == pytest.approx(edge)


@pytest.mark.parametrize("sense", [0, -1])
def test_decisions_that_say_nothing_or_the_contrary_give_no_probability(judged, sense):
    with pytest.raises(DataSetError, match="Check the labels"):
        decision_rule(judged_of(sense * judged.decisions, judged.malignant, judged.patients))


def test_types_are_measured_one_by_one():
    judged = judged_of([[1, -1, 1, 1]], [False, False, True, True], list("aabc"))
    types = by_tumour_type(judged, RULE)
    assert types["A"] == {
        "images": 2,
        "patients": 1,
        "accuracy": {"value": 0.5},
    }
    assert types["DC"]["accuracy"]["value"] == 1.0


def test_decisions_survive_the_file(judged):
    again = OutOfFoldPredictions.from_json(judged.to_json())
    assert (again.decisions == judged.decisions).all()
    assert (again.patients == judged.patients).all()
    assert again.to_json() == judged.to_json()
