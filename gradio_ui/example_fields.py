"""Fields for a visitor of the demo to click: from BreakHis where it is at hand, else drawn."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from bulk.breakhis_names import BREAKHIS_NAME
from gradio_ui.errors import NoExamples
from handler.prediction import Verdict
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field, encode
from serve.tissue_kinds import (
    ADENOSIS,
    DUCTAL_CARCINOMA,
    FAT_WITH_DUCTS,
    FIBROADENOMA,
    LOBULAR_CARCINOMA,
    Tissue,
)

# Some seconds of work for a slide.
draw = cache(draw_field)

DRAWN = "Synthetic: a program of this project drew them. They are no tissue, and no patient's."
REAL = (
    "From BreakHis; the letter after SOB is the true class, B for benign and M for malignant. The "
    "model learnt from this data set, perhaps from these images."
)


class Drawn(NamedTuple):
    """A field to draw, and the verdict that the committed model gives it by itself."""

    tissue: Tissue
    seed: int
    verdict: Verdict


# After a new model, `python -m scripts.choose_examples` finds the seeds.
FIELDS = {
    "Drawn: ducts in loose stroma": Drawn(FIBROADENOMA, 0, "benign"),
    "Drawn: lobules and ducts": Drawn(ADENOSIS, 9, "uncertain"),
    "Drawn: sheets of carcinoma": Drawn(DUCTAL_CARCINOMA, 17, "malignant"),
}
WITHOUT_STAIN = "Drawn: without stain"
PATIENT = (
    *((DUCTAL_CARCINOMA, seed) for seed in range(3)),
    *((LOBULAR_CARCINOMA, seed) for seed in range(2)),
    (FAT_WITH_DUCTS, 0),
)
# Fields across and down of each piece of tissue on the slide; around each lies one of glass.
PIECE = 3, 2
PIECES = (FIBROADENOMA, DUCTAL_CARCINOMA)
WIDTH, HEIGHT = 700, 460
# As many of each class, from different patients.
OF_EACH_CLASS = 2


def example_fields(data: Path | None) -> tuple[dict[str, bytes], str]:
    """Choose a few 40X fields in the folder of the data set, or draw some if there is none.

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
    """Draw six fields of one patient, as PNG files."""
    paths = []
    for number, (tissue, seed) in enumerate(PATIENT, start=1):
        paths.append(folder / f"drawn-{number}.png")
        paths[-1].write_bytes(encode(draw(seed, tissue=tissue)))
    return paths


def drawn_slide(folder: Path) -> list[Path]:
    """Draw a slide, a pyramidal TIFF, with two pieces of tissue: fibroadenoma, ductal carcinoma."""
    across, down = PIECE
    places = [(WIDTH * (1 + i * (across + 1)), HEIGHT) for i in range(len(PIECES))]
    drawn = [draw(0, WIDTH * across, HEIGHT * down, tissue) for tissue in PIECES]
    size = (WIDTH * (1 + len(PIECES) * (across + 1)), HEIGHT * (down + 2))
    return [write_slide(folder / "drawn.tiff", size, dict(zip(places, drawn, strict=True)))]


def _drawn() -> dict[str, np.ndarray]:
    fields = {name: draw(f.seed, tissue=f.tissue) for name, f in FIELDS.items()}
    grey = cv2.cvtColor(next(iter(fields.values())), cv2.COLOR_RGB2GRAY)
    return fields | {WITHOUT_STAIN: cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)}
