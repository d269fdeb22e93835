"""Fields for a visitor of the demo to click: from BreakHis where it is at hand, else drawn."""

from pathlib import Path

import cv2
import numpy as np

from scripts.errors import DataSetError
from scripts.learning.breakhis import BreakHis
from serve.drawn_tissue import GLASS, draw_field, encode

DRAWN = "Drawn by a program of this project (synthetic): no tissue, and no patient's."
REAL = (
    "From the BreakHis folder of this machine; the letter after SOB is the true class, B for "
    "benign and M for malignant. The model learnt from this data set, perhaps from these images."
)
# Of each class, and of different patients.
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
    DataSetError
        The folder holds no 40X images of BreakHis.
    """
    if data is None:
        return {name: encode(pixels) for name, pixels in _drawn().items()}, DRAWN
    chosen = []
    for malignant in (False, True):
        by_patient = {
            image.patient: image
            for image in BreakHis(data).images
            if image.magnification == 40 and image.malignant == malignant
        }
        chosen += list(by_patient.values())[:OF_EACH_CLASS]
    if not chosen:
        raise DataSetError(f"{data} holds no 40X images of BreakHis. Set BREAKHIS_DATA to one.")
    return {image.path.stem: image.path.read_bytes() for image in chosen}, REAL


def _drawn() -> dict[str, np.ndarray]:
    """Draw one field for each kind of answer."""
    field = draw_field(1)
    pale = cv2.addWeighted(field, 0.6, np.full_like(field, GLASS.astype(np.uint8)), 0.4, 0)
    grey = cv2.cvtColor(field, cv2.COLOR_RGB2GRAY)
    return {
        "Drawn": field,
        "Drawn, pale": pale,
        "Drawn, out of focus": cv2.GaussianBlur(draw_field(14), (0, 0), 2.5),
        "Drawn, without stain": cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB),
    }
