"""What the file names of BreakHis tell.

Reference: Spanhol, Oliveira, Petitjean, Heutte, "A Dataset for Breast Cancer
Histopathological Image Classification", IEEE TBME 2016, doi:10.1109/TBME.2015.2496264.
"""

import re
from pathlib import Path

from bulk.names import printable

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
