import hashlib
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from scripts.errors import DataSetError
from scripts.published_splits import eva_split, official_fold
from scripts.training.breakhis import BreakHis, FieldImage, patient_folds, read
from scripts.training.recipe import Recipe
from serve.drawn_tissue import draw_field, encode
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "breakhis"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="needs BreakHis images")


def test_a_name_tells_all():
    image = FieldImage.from_path(Path("SOB_M_DC-14-22549AB-40-001.png"))
    assert image.malignant
    assert image.tumour_type == "DC"
    assert image.patient == "22549"
    assert image.slide == "22549AB"
    assert image.magnification == 40


@pytest.mark.parametrize(
    "name", ["SOB_M_XX-14-1-40-001.png", "SOB_M_DC-14-1-50-001.png", "photo.png", "SOB_B_A.png"]
)
def test_other_names_are_odd(name):
    assert FieldImage.from_path(Path(name)) is None


def test_slides_of_one_person_are_never_parted():
    images = [
        FieldImage.from_path(
            Path(f"SOB_{'BM'[n % 2]}_{('A', 'DC')[n % 2]}-14-{n}{part}-{m}-001.png")
        )
        for n in range(100, 140)
        for part in ("", "AB", "CD")
        for m in (40, 100)
    ]
    folds = patient_folds(images, 5, seed=0)
    assert set(folds) == {str(n) for n in range(100, 140)}
    by_fold = defaultdict(list)
    for patient, fold in folds.items():
        by_fold[fold].append(int(patient) % 2)
    assert sorted(by_fold) == [0, 1, 2, 3, 4]
    assert all(sum(classes) == 4 and len(classes) == 8 for classes in by_fold.values())
    assert patient_folds(images[::-1], 5, seed=0) == folds
    assert patient_folds(images, 5, seed=1) != folds


def test_a_higher_magnification_is_a_smaller_piece_at_the_same_scale(tmp_path):
    sizes = {}
    for magnification in (40, 100, 200, 400):
        path = tmp_path / f"SOB_B_A-14-1-{magnification}-001.png"
        path.write_bytes(encode(draw_field(magnification)))
        sample = read(FieldImage.from_path(path), 352, 224)
        sizes[magnification] = sample.pixels.shape
        assert sample.as_sent.shape == (224, 352, 3)
        assert sample.is_original
    assert sizes == {40: (224, 352, 3), 100: (91, 144, 3), 200: (46, 72, 3), 400: (23, 36, 3)}


def test_more_images_get_more_steps():
    assert Recipe(steps=100).for_images(85).steps == 100
    assert Recipe(steps=100).for_images(6400).steps == 400


def test_what_is_missing_or_odd_is_named(tmp_path):
    for name in ("SOB_B_A-14-1-40-001.png", "SOB_M_DC-14-1-40-001.png", "holiday.jpg"):
        (tmp_path / name).write_bytes(b"")
    problems = "\n".join(BreakHis(tmp_path).problems())
    assert "40X: 1 benign and 1 malignant images, the full set has 625 and 1370" in problems
    assert "patient 1 has images of both classes" in problems
    assert "slide 1 is filed under A and DC" in problems
    assert "holiday.jpg" in problems


def test_a_folder_without_both_classes_is_refused(tmp_path):
    (tmp_path / "SOB_B_A-14-1-40-001.png").write_bytes(b"")
    with pytest.raises(DataSetError, match="both classes"):
        BreakHis(tmp_path)


@needs_data
def test_official_folds_hold_every_image_once():
    train, test = official_fold(SHARED / "folds" / "dsfold1.txt")
    assert len(train | test) == len(train) + len(test) == 7909


@needs_data
def test_eva_split_has_the_published_counts():
    names = set().union(*official_fold(SHARED / "folds" / "dsfold1.txt"))
    images = [FieldImage.from_path(Path(name)) for name in sorted(names)]
    assert None not in images
    train, validation = eva_split(images)
    assert (len(train), len(validation)) == (1132, 339)
    counts = BreakHis.__new__(BreakHis)
    counts.images = images
    assert counts.counts() == {
        40: (625, 1370),
        100: (644, 1437),
        200: (623, 1390),
        400: (588, 1232),
    }


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True)
    return [ROOT / name for name in listed.stdout.decode().splitlines()]


def test_no_picture_is_in_the_repository_but_those_of_the_page():
    screenshots = ROOT / "docs" / "screenshots"  # which show drawn fields
    suffixes = {path.suffix.lower() for path in tracked_files() if path.parent != screenshots}
    assert suffixes.isdisjoint({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})


@needs_data
def test_no_file_of_the_data_or_the_starting_weights_is_in_the_repository():
    given = [path for path in SHARED.parent.rglob("*") if path.is_file()]
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in given}
    assert len(digests) > 1000
    copied = [p for p in tracked_files() if hashlib.sha256(p.read_bytes()).digest() in digests]
    assert copied == []
