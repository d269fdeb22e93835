"""The pictures that the tissue check is measured on."""

import numpy as np
import pytest

from handler.images import Field
from handler.model import Model
from handler.tissue import measure
from scripts.evaluation.ood_pictures import CHANGES, ood_pictures
from scripts.paths import MODEL_STORE
from serve.drawn_tissue import draw_field
from serve.tissue_kinds import FAT_WITH_DUCTS


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[np.ndarray]]:
    return ood_pictures()


@pytest.mark.slow
def test_each_kind_has_some_all_readable_and_the_same_each_time(pictures):
    again = ood_pictures()
    for kind, some in pictures.items():
        assert len(some) >= 3
        for one, other in zip(some, again[kind], strict=True):
            assert one.dtype == np.uint8
            assert one.shape[2:] == (3,)
            assert np.array_equal(one, other)


def test_changes_change_the_colour_or_the_focus_and_leave_the_shape():
    field = draw_field(1)
    before = measure(field)
    for name, change in CHANGES.items():
        after = change(field)
        assert after.dtype == np.uint8
        assert after.shape == field.shape
        if "focus" in name:
            assert measure(after).sharpness < before.sharpness / 4
        else:
            assert np.abs(after.astype(int) - field).mean() > 3
    field = draw_field(1, tissue=FAT_WITH_DUCTS)
    brown = CHANGES["haematoxylin and DAB"](field)
    green_to_blue = [picture[..., 1].mean() / picture[..., 2].mean() for picture in (field, brown)]
    assert green_to_blue[1] > green_to_blue[0] + 0.05


@pytest.mark.slow
def test_the_committed_model_gives_photographs_text_and_charts_no_verdict(pictures):
    model = Model.open(MODEL_STORE)
    for kind in ("photographs", "text", "charts and shapes", "single colours and gradients"):
        answers = model.classify([Field(pixels) for pixels in pictures[kind]])
        assert np.mean([answer.verdict == "rejected" for answer in answers]) > 0.9
