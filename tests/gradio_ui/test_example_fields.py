import numpy as np
import pytest

from bulk.slides.slide import Slide
from bulk.slides.tiles import find_tiles
from gradio_ui.errors import NoExamples
from gradio_ui.example_fields import FIELDS, PIECE, drawn_patient, drawn_slide, example_fields
from handler.images import Field, read_field
from handler.model import Model
from handler.prediction import VERDICTS
from scripts.paths import MODEL_STORE
from serve.drawn_tissue import draw_field, encode


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.open(MODEL_STORE)


def test_without_a_data_set_they_are_drawn_and_say_so():
    fields, origin = example_fields(None)
    assert len(fields) == 4
    assert "Synthetic" in origin
    for content in fields.values():
        assert read_field(content).pixels.shape == (460, 700, 3)


def test_each_drawn_one_gets_the_verdict_that_it_should_show(model):
    fields, _ = example_fields(None)
    answers = dict(
        zip(fields, model.classify([read_field(f) for f in fields.values()]), strict=True)
    )
    *tissue, without_stain = answers.values()
    expected = [field.verdict for field in FIELDS.values()]
    assert [answer.verdict for answer in tissue] == expected
    assert {*expected, without_stain.verdict} == set(VERDICTS)
    assert [answer.warnings for answer in tissue] == [[]] * len(FIELDS)
    assert "not_he" in {warning.code for warning in without_stain.warnings}


def test_a_drawn_patient_has_six_fields_that_are_all_judged(tmp_path, model):
    paths = drawn_patient(tmp_path)
    assert sorted(paths) == sorted(tmp_path.iterdir())
    answers = model.classify([read_field(path.read_bytes()) for path in paths])
    assert len(answers) == 6
    assert "rejected" not in {answer.verdict for answer in answers}
    assert len({answer.decision for answer in answers}) == 6


def test_a_drawn_slide_has_a_benign_piece_and_one_of_carcinoma(tmp_path, model):
    (path,) = drawn_slide(tmp_path)
    with Slide.open(path, model.training_field) as slide:
        tiles = find_tiles(slide, slide.overview(), model.tissue_limits.min_tissue)
        answers = model.classify([Field(slide.field(tile)) for tile in tiles])
    across, down = PIECE
    assert len(tiles) == 2 * across * down
    benign, carcinoma = (
        np.mean([a.decision for t, a in zip(tiles, answers, strict=True) if later(t.column)])
        for later in (lambda column: column <= across, lambda column: column > across)
    )
    assert benign < carcinoma


def test_with_one_they_are_of_both_classes_and_of_different_patients(tmp_path):
    for name in (
        *("B_A-14-1-40-001", "B_A-14-1-40-002", "B_F-14-2-40-001", "B_TA-14-3-40-001"),
        *("M_DC-14-4-40-001", "M_LC-14-5AB-40-001", "M_LC-14-5CD-40-001", "M_MC-14-6-100-001"),
    ):
        (tmp_path / f"SOB_{name}.png").write_bytes(encode(draw_field(0, 70, 46)))
    fields, origin = example_fields(tmp_path)
    assert "true class" in origin
    assert [name[:5] for name in fields] == ["SOB_B", "SOB_B", "SOB_M", "SOB_M"]
    patients = {name.split("-")[2].rstrip("ABCD") for name in fields}
    assert len(patients) == 4


def test_a_folder_without_40x_images_says_what_to_do(tmp_path):
    for name in ("SOB_M_DC-14-4-100-001", "SOB_B_A-14-5-100-001"):
        (tmp_path / f"{name}.png").write_bytes(encode(draw_field(0, 70, 46)))
    with pytest.raises(NoExamples, match="BREAKHIS_DATA"):
        example_fields(tmp_path)
