"""Fields for a visitor of the demo to click: from BreakHis where it is at hand, else drawn."""

from pathlib import Path

import cv2
import numpy as np

from bulk.breakhis_names import BREAKHIS_NAME
from gradio_ui.errors import NoExamples
from serve.drawn_tissue import GLASS, draw_field, encode

DRAWN = "Drawn by a program of this project (synthetic): no tissue, and no patient's."
REAL = (
    "From the BreakHis folder of this machine; the letter after SOB is the true class, B for "
    "benign and M for malignant. The model learnt from this data set, perhaps from these images."
)
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
    """Draw six fields of one patient."""
    files = [folder / f"field-{seed}.png" for seed in range(6)]
    for seed, file in enumerate(files):
        file.write_bytes(encode(draw_field(seed)))
    return files


def drawn_slide(path: Path) -> None:
    """Draw a slide with two kinds of regions."""
    from scripts.benchmarking.drawn_slides import write_slide  # noqa: PLC0415

    pale = draw_field(2) // 2 + 112
    fields = {(700 * c, 460 * r): draw_field(c + r) for r in (1, 2, 3) for c in (1, 2, 3)}
    fields |= {(700 * c, 460 * r): pale for r in (2, 3, 4) for c in (5, 6, 7)}
    write_slide(path, (6300, 2760), fields)


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
