"""What file names tell, and how to show them.

Reference for those of BreakHis: Spanhol, Oliveira, Petitjean, Heutte, "A Dataset for Breast
Cancer Histopathological Image Classification", IEEE TBME 2016, doi:10.1109/TBME.2015.2496264.
"""

import re
from pathlib import Path

BREAKHIS_NAME = re.compile(
    r"SOB_(?P<malignancy>[BM])_(?P<type>[A-Z]+)-(?P<year>\d+)-(?P<accession>\d+)(?P<part>[A-Z]*)"
    r"-(?P<magnification>\d+)-(?P<sequence>s?\d+)\.(?:png|jpe?g)",
    re.IGNORECASE,
)


def patient_of(path: Path) -> str:
    """Tell whose an image is.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        The accession number in a BreakHis name; of another file, the name of its folder.
    """
    match = BREAKHIS_NAME.fullmatch(path.name)
    return match["accession"] if match else printable(path.parent.name)


def printable(name: str) -> str:
    """Make a name fit for a line on a terminal, which control characters would steer."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
