"""Fields for a visitor of the demo to click: from BreakHis where it is at hand, else drawn."""

from pathlib import Path

import cv2
import numpy as np

from bulk.breakhis_names import BREAKHIS_NAME
from gradio_ui.errors import NoExamples
from serve.drawn_slides import write_slide
from serve.drawn_tissue import (
    ADENOSIS,
    DUCTAL_CARCINOMA,
    FAT_WITH_DUCTS,
    FIBROADENOMA,
    LOBULAR_CARCINOMA,
    draw_field,
    encode,
)

DRAWN = "Drawn by a program of this project (synthetic): no tissue, and no patient's."
REAL = (
    "From the BreakHis folder of this machine; the letter after SOB is the true class, B for "
    "benign and M for malignant. The model learnt from this data set, perhaps from these images."
)
# Kinds of tissue and seeds. The model gives the fields the verdicts "benign", "uncertain" and
# "malignant"; find others with scripts.choose_examples where a new model says otherwise.
FIELDS = {
    "Drawn: ducts in loose stroma": (FIBROADENOMA, 101),
    "Drawn: ducts and fat": (FAT_WITH_DUCTS, 101),
    "Drawn: sheets of carcinoma": (DUCTAL_CARCINOMA, 100),
}
PATIENT = [(DUCTAL_CARCINOMA, seed) for seed in (1, 2, 3, 4)] + [
    (LOBULAR_CARCINOMA, 1),
    (ADENOSIS, 1),
]
SLIDE = [(FIBROADENOMA, 1), (DUCTAL_CARCINOMA, 1)]
FIELD_WIDTH, FIELD_HEIGHT = 700, 460
PIECE = (3 * FIELD_WIDTH, 2 * FIELD_HEIGHT)
# As many of each class, from different patients.
OF_EACH_CLASS = 2


def example_fields(data: Path | None) -> tuple[dict[str, bytes], str]:
    """Choose or draw a few 40X fields.

    Parameters
    ----------
    data : Path or None
        Folder of the data set, if there is one.

    Returns
    -------
    fields : dict of str to bytes
        Image files by name.
    origin : str
        What they are, in a sentence.

    Raises
    ------
    NoExamples
        The folder holds no 40X images of BreakHis.
    """
    if data is None:
        return {name: encode(pixels) for name, pixels in _drawn().items()}, DRAWN
    by_patient: dict[str, dict[str, Path]] = {"B": {}, "M": {}}
    for path in sorted(data.rglob("*")):
        named = BREAKHIS_NAME.fullmatch(path.name)
        if named and named["magnification"] == "40":
            by_patient[named["malignancy"].upper()][named["accession"]] = path
    chosen = [
        path for paths in by_patient.values() for path in list(paths.values())[:OF_EACH_CLASS]
    ]
    if not chosen:
        raise NoExamples(
            f"{data} holds no 40X images of BreakHis. Set BREAKHIS_DATA to a folder that does."
        )
    return {path.stem: path.read_bytes() for path in chosen}, REAL


def drawn_patient(folder: Path) -> list[Path]:
    """Draw six fields of one patient.

    Parameters
    ----------
    folder : Path
        Where the PNG files are written; it must exist. Its name becomes the patient's.

    Returns
    -------
    list of Path
    """
    paths = []
    for number, (tissue, seed) in enumerate(PATIENT, start=1):
        paths.append(folder / f"drawn-{number}.png")
        paths[-1].write_bytes(encode(draw_field(seed, tissue=tissue)))
    return paths


def drawn_slide(path: Path) -> Path:
    """Draw a slide with two pieces of tissue: fibroadenoma, and ductal carcinoma.

    Parameters
    ----------
    path : Path
        Of the pyramidal TIFF that is written.

    Returns
    -------
    Path
        The same.
    """
    width, height = PIECE
    pieces = {
        (FIELD_WIDTH * (1 + i * 4), FIELD_HEIGHT): draw_field(seed, width, height, tissue)
        for i, (tissue, seed) in enumerate(SLIDE)
    }
    return write_slide(path, (9 * FIELD_WIDTH, 4 * FIELD_HEIGHT), pieces)


def _drawn() -> dict[str, np.ndarray]:
    fields = {name: draw_field(seed, tissue=tissue) for name, (tissue, seed) in FIELDS.items()}
    grey = cv2.cvtColor(next(iter(fields.values())), cv2.COLOR_RGB2GRAY)
    return fields | {"Drawn: without stain": cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)}
