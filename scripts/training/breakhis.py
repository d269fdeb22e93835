"""The BreakHis data set: names, patients, physical size, splits.

Reference: Spanhol, Oliveira, Petitjean, Heutte, "A Dataset for Breast Cancer
Histopathological Image Classification", IEEE TBME 2016,
doi:10.1109/TBME.2015.2496264.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bulk.breakhis_names import BREAKHIS_NAME
from handler.images import read_field, resize
from handler.light import in_standard_light
from handler.manifest import TrainingField
from scripts.errors import DataSetError

# The authors' pixel size in the specimen, micrometres.
UM_PER_PIXEL = {40: 0.49, 100: 0.20, 200: 0.10, 400: 0.05}
FIELD_SIZE = (700, 460)
# What the model takes for one whole field.
TRAINING_FIELD = TrainingField(*FIELD_SIZE, UM_PER_PIXEL[40])

# Images of the full set, by magnification: benign, malignant.
EXPECTED_COUNTS = {40: (625, 1370), 100: (644, 1437), 200: (623, 1390), 400: (588, 1232)}

TUMOUR_TYPES = {
    **{"A": "adenosis", "F": "fibroadenoma", "PT": "phyllodes tumour", "TA": "tubular adenoma"},
    **{"DC": "ductal carcinoma", "LC": "lobular carcinoma"},
    **{"MC": "mucinous carcinoma", "PC": "papillary carcinoma"},
}


@dataclass(frozen=True)
class FieldImage:
    """One photograph of the data set, as its file name tells.

    Attributes
    ----------
    path : Path
    malignant : bool
    tumour_type : str
        A key of `TUMOUR_TYPES`.
    patient : str
        Accession number: the digits of the slide id. Slides 22549AB and 22549CD
        are one person's biopsy as far as anyone outside can tell.
    slide : str
    magnification : int
        A key of `UM_PER_PIXEL`.
    """

    path: Path
    malignant: bool
    tumour_type: str
    patient: str
    slide: str
    magnification: int

    @classmethod
    def from_path(cls, path: Path) -> "FieldImage | None":
        """Read the name; None if it is not one of BreakHis."""
        match = BREAKHIS_NAME.fullmatch(path.name)
        if match is None or match["type"] not in TUMOUR_TYPES:
            return None
        magnification, patient = int(match["magnification"]), match["accession"]
        if magnification not in UM_PER_PIXEL:
            return None
        is_malignant, slide = match["malignancy"] == "M", patient + match["part"]
        return cls(path, is_malignant, match["type"], patient, slide, magnification)


class BreakHis:
    """The images of a folder, in the official layout or any other.

    Parameters
    ----------
    root : Path
        Searched with all its subfolders for images with BreakHis names.

    Attributes
    ----------
    images : list of FieldImage
        In a fixed order, whatever the file system's.
    odd : list of Path
        Pictures whose names are not those of BreakHis; they are left out.

    Raises
    ------
    DataSetError
        There is no image of either class.
    """

    def __init__(self, root: Path) -> None:
        pictures = sorted(
            p for p in root.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg")
        )
        named = {path: FieldImage.from_path(path) for path in pictures}
        self.images = [image for image in named.values() if image is not None]
        self.odd = [path for path, image in named.items() if image is None]
        if len({image.malignant for image in self.images}) < 2:
            raise DataSetError(
                f"No BreakHis images of both classes in {root}. Give the folder that "
                "BreaKHis_v1.tar.gz was unpacked into."
            )

    def counts(self) -> dict[int, tuple[int, int]]:
        """Count benign and malignant images at each magnification."""
        seen = Counter((image.magnification, image.malignant) for image in self.images)
        return {m: (seen[m, False], seen[m, True]) for m in UM_PER_PIXEL}

    def problems(self) -> list[str]:
        """Name what is missing or odd, compared with the full set; empty if nothing is."""
        classes, types = defaultdict(set), defaultdict(set)
        for image in self.images:
            classes[image.patient].add(image.malignant)
            types[image.slide].add(image.tumour_type)
        wanted = EXPECTED_COUNTS
        return [
            *(
                f"{m}X: {have[0]} benign and {have[1]} malignant images, "
                f"the full set has {wanted[m][0]} and {wanted[m][1]}"
                for m, have in self.counts().items()
                if have != wanted[m]
            ),
            *(f"patient {p} has images of both classes" for p, c in classes.items() if len(c) > 1),
            *(
                f"slide {slide} is filed under {' and '.join(sorted(t))}"
                for slide, t in types.items()
                if len(t) > 1
            ),
            *(f"{path} is not named as in BreakHis" for path in self.odd),
        ]


@dataclass(frozen=True)
class Sample:
    """An image of the data set, as training and the model see it.

    Attributes
    ----------
    image : FieldImage
    pixels : ndarray of uint8, shape (h, w, 3)
        RGB. At 40X exactly the model's input; else a smaller piece of tissue with
        the same micrometres a pixel.
    as_sent : ndarray of uint8, shape (height, width, 3)
        What the model would get of this image, whatever its magnification.
    is_original : bool
        Whether it has the pixels of a microscope's picture; some public copies have fewer,
        which hides what tells the magnification.
    """

    image: FieldImage
    pixels: np.ndarray
    as_sent: np.ndarray
    is_original: bool


def read(image: FieldImage, width: int, height: int) -> Sample:
    """Read an image at the scale of a 40X field of `width` x `height` pixels.

    Every file shows a whole field, whatever its number of pixels: the official
    ones, enlarged and squashed copies alike. (The 672 x 448 crops among the public
    copies are 4 % smaller; random scale covers it.)

    Parameters
    ----------
    image : FieldImage
    width, height : int
        The model's input size, which stands for one 40X field.
    """
    pixels = read_field(image.path.read_bytes()).pixels
    zoom = UM_PER_PIXEL[image.magnification] / UM_PER_PIXEL[40]
    return Sample(
        image,
        in_standard_light(resize(pixels, round(width * zoom), round(height * zoom))),
        in_standard_light(resize(pixels, width, height)),
        is_original=pixels.shape[1] > 0.75 * FIELD_SIZE[0],
    )


def patient_folds(images: Sequence[FieldImage], n_folds: int, seed: int) -> dict[str, int]:
    """Deal the patients into folds, stratified by class and by having a 40X image.

    Parameters
    ----------
    images : sequence of FieldImage
    n_folds : int
    seed : int

    Returns
    -------
    dict of str to int
        The fold, 0 to n_folds - 1, that holds each patient out.
    """
    strata = defaultdict(set)
    at_40x = {image.patient for image in images if image.magnification == 40}
    for image in images:
        strata[image.malignant, image.patient in at_40x].add(image.patient)
    rng = np.random.default_rng(seed)
    folds = {}
    for stratum in sorted(strata):
        start = rng.integers(n_folds)
        for i, patient in enumerate(rng.permutation(sorted(strata[stratum]))):
            folds[str(patient)] = int(start + i) % n_folds
    return folds
