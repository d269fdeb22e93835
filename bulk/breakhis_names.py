"""What the file names of BreakHis tell.

Reference: Spanhol, Oliveira, Petitjean, Heutte, "A Dataset for Breast Cancer
Histopathological Image Classification", IEEE TBME 2016, doi:10.1109/TBME.2015.2496264.
"""

import re

BREAKHIS_NAME = re.compile(
    r"SOB_(?P<malignancy>[BM])_(?P<type>[A-Z]+)-(?P<year>\d+)-(?P<accession>\d+)(?P<part>[A-Z]*)"
    r"-(?P<magnification>\d+)-(?P<sequence>s?\d+)\.(?:png|jpe?g)",
    re.IGNORECASE,
)


def accession_of(name: str) -> str | None:
    """Return the accession number in a file's name, which stands for a patient, if it has one."""
    match = BREAKHIS_NAME.fullmatch(name)
    return match["accession"] if match else None
