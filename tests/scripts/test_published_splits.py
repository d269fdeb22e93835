"""The published splits, on a small drawn data set with slides of both sides."""

import pytest

from scripts.errors import DataSetError
from scripts.published_splits import eva, official
from scripts.training.crossval import Run
from scripts.training.recipe import Recipe
from serve.drawn_tissue import draw_field, encode

pytestmark = pytest.mark.slow
RECIPE = Recipe(
    width=96, height=64, crop=48, crops=4, steps=2, batch=4, soup=1, no_tissue=4, mosaics=1, seed=0
)
# Two slides of one person, on both sides of the folds below; the one filed twice; and
# slides that are on either side of eva's split.
SLIDES = [
    *("B_TA-14-1", "B_F-14-2", "B_TA-14-19854", "B_F-14-3AB", "B_F-14-3CD"),
    *("M_DC-14-4", "M_MC-14-5", "M_DC-14-13412", "M_LC-14-13412"),
    *("B_TA-14-15275", "B_F-14-23060CD", "M_DC-14-2773", "M_MC-14-19979"),
]
TEST = ("B_F-14-3CD", "M_LC-14-13412", "M_DC-14-2773", "B_TA-14-15275")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("BreaKHis_v1")
    names = [f"SOB_{slide}-40-{i:03}.png" for slide in SLIDES for i in (1, 2)]
    for seed, name in enumerate(names):
        (root / name).write_bytes(encode(draw_field(seed, 350, 230)))
    for n in range(1, 6):
        rows = [f"{x}|40|{n}|{'test' if x[4:-11] in TEST else 'train'}\n" for x in names]
        (root / f"dsfold{n}.txt").write_text("".join(rows))
    return root


def test_official_folds_with_no_patient_on_both_sides(data, weights, tmp_path, monkeypatch):
    splits = []
    judge = Run.judge

    def watched(self, name, training, held_out, *rest):
        patients = [sample.image.patient for sample in self.samples]
        sides = [
            {p for p, own in zip(patients, mask, strict=True) if own}
            for mask in (training, held_out)
        ]
        splits.append(sides)
        return judge(self, name, training, held_out, *rest)

    monkeypatch.setattr(Run, "judge", watched)
    measured = official(data, weights, RECIPE, tmp_path)
    assert len(measured["folds"]) == len(splits) == 5
    for training, held_out in splits:
        assert held_out == {"3", "13412", "2773", "15275"}
        assert training.isdisjoint(held_out)
    for fold in measured["folds"]:
        assert set(fold) == {"all", "without slide 13412"}
        assert all(0 <= value <= 1 for level in fold.values() for value in level.values())
    assert any("40X" in note for note in measured["notes"])


def test_eva_measures_four_types_on_its_own_patients(data, weights):
    measured = eva(data, weights, RECIPE)
    assert measured["validation_images"] == 8
    assert measured["training_images"] == 16
    assert 0 <= measured["balanced_accuracy"] <= 1


def test_folds_that_are_not_there_are_asked_for(data, weights, tmp_path):
    for image in data.glob("*.png"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    with pytest.raises(DataSetError, match=r"dsfold1\.txt"):
        official(tmp_path, weights, RECIPE, tmp_path / "work")
