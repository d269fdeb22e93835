"""Slides that scanners and other programs wrote; see `../shared/slides/README.md`."""

import shutil
from pathlib import Path

import pytest
import tifffile

from bulk.errors import SlideUnusable
from bulk.slides.folder import find_slides
from bulk.slides.options import SlideOptions
from bulk.slides.slide import Slide
from bulk.slides.tiles import find_tiles
from scripts.training.breakhis import TRAINING_FIELD as FIELD
from serve.drawn_slides import write_slide
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "slides"
NOT_ITS_PICTURE = "not the picture of a whole slide"
NOT_READ = "does not read what it is stored as"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip("needs the slides in ../shared/slides")
    return path


@pytest.mark.parametrize(
    ("name", "openslide_says", "advice"),
    [
        ("openslide-python/unopenable.tiff", "Unsupported TIFF compression: 52479", NOT_READ),
        (
            "dicom/highdicom-sm_image_jpegls/highdicom-sm_image_jpegls.dcm",
            "Unsupported transfer syntax 1.2.840.10008.1.2.4.80",
            NOT_READ,
        ),
        ("dicom/ezwsi-test_wsi/ezwsi-test_wsi.dcm", "Found associated image", NOT_ITS_PICTURE),
        (
            "dicom/pathml-small_dicom/pathml-small_dicom.dcm",
            "Couldn't get image flavor",
            NOT_ITS_PICTURE,
        ),
        ("histolab-broken.svs", "no slide that OpenSlide reads", "breakhis predict"),
    ],
)
def test_only_what_is_damaged_is_called_so(name, openslide_says, advice):
    path = shared(name)
    with pytest.raises(SlideUnusable, match=openslide_says) as caught:
        Slide.open(path, FIELD, "the visitor's.dcm")
    said = str(caught.value)
    assert advice in said
    assert "damaged" not in said
    assert str(SHARED) not in said
    assert ("the visitor's.dcm" in said) or ("breakhis predict" in said)


def test_a_compression_that_openslide_does_not_know(tmp_path):
    path = write_slide(tmp_path / "odd.tiff", (1400, 920), {})
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            page.aspage().tags["Compression"].overwrite(52479)
    with pytest.raises(SlideUnusable, match=f"Unsupported TIFF compression: 52479.*{NOT_READ}"):
        Slide.open(path, FIELD)


def test_what_opens_and_is_damaged_is_called_so():
    path = shared("openslide-python/unreadable.svs")
    with Slide.open(path, FIELD) as slide, pytest.raises(SlideUnusable, match=r"is damaged \(Bog"):
        slide.overview()


def test_a_scanner_s_slide_without_a_scale():
    path = shared("TCGA-CR-7395-01A-01-TS1.svs")
    with pytest.raises(SlideUnusable, match="does not say how many micrometres"):
        Slide.open(path, FIELD)
    options = SlideOptions(objective=40.0)
    with Slide.open(path, FIELD, options=options) as slide:
        assert slide.facts.scale == (0.25, 0.25, "objective")
        tiles = find_tiles(slide, slide.overview(), 0.05, options)
        assert slide.field(tiles[0]).shape == (460, 700, 3)
    assert len(tiles) == 14


def test_the_files_of_one_dicom_slide_are_one_slide(tmp_path):
    for file in shared("openslide-python/boxes").glob("*.dcm"):
        shutil.copy(file, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert find_slides(tmp_path) == [tmp_path / "boxes_0.dcm"]
