import pytest

from gradio_ui.errors import NoExamples
from gradio_ui.example_fields import example_fields
from handler.images import read_field
from handler.model import Model
from scripts.paths import MODEL_STORE
from serve.drawn_tissue import draw_field, encode


def test_without_a_data_set_they_are_drawn_and_say_so():
    fields, origin = example_fields(None)
    assert len(fields) == 4
    assert "synthetic" in origin
    for content in fields.values():
        assert read_field(content).pixels.shape == (460, 700, 3)


def test_the_drawn_ones_show_every_kind_of_answer():
    fields, _ = example_fields(None)
    model = Model.open(MODEL_STORE)
    answers = model.classify([read_field(content) for content in fields.values()])
    assert [answer.verdict for answer in answers] == [
        *("malignant", "uncertain", "malignant", "rejected"),
    ]
    assert [{w.code for w in answer.warnings} for answer in answers] == [
        *(set(), set(), {"out_of_focus"}, {"not_he", "unfamiliar"}),
    ]


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
