"""Kinds of breast tissue to draw: what lies in a field, and how it was stained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tissue:
    """What lies in a field, and how it was stained.

    Attributes
    ----------
    lobules, fat, nests : float
        Shares of the field, 0 to 1: groups of acini, fat cells, sheets of carcinoma.
    ducts, cords : float
        How many a square millimetre: ducts, and single files of carcinoma cells.
    fibroblasts : float
        Spindle nuclei a square millimetre of stroma.
    loose : float
        From 0, dense collagen, to 1, loose and bluish stroma.
    clefts : float
        Share of the stroma, 0 to 1, that is torn apart between its fibres.
    nuclear_area_um2 : float
        Of carcinoma cells, in square micrometres.
    haematoxylin, eosin : float
        Strength of the stains; 1 is usual.
    """

    lobules: float = 0.0
    fat: float = 0.0
    nests: float = 0.0
    ducts: float = 0.0
    cords: float = 0.0
    fibroblasts: float = 900.0
    loose: float = 0.3
    clefts: float = 0.02
    nuclear_area_um2: float = 32.0
    haematoxylin: float = 1.0
    eosin: float = 1.0


FIBROADENOMA = Tissue(ducts=30, loose=0.8, fibroblasts=2200, eosin=0.8)
ADENOSIS = Tissue(lobules=0.3, ducts=20, eosin=0.9)
FAT_WITH_DUCTS = Tissue(fat=0.2, ducts=14, lobules=0.06, clefts=0.03)
DUCTAL_CARCINOMA = Tissue(
    nests=0.55, fat=0.04, fibroblasts=1800, haematoxylin=1.15, eosin=1.15, clefts=0.03
)
LOBULAR_CARCINOMA = Tissue(
    cords=1100, fat=0.04, fibroblasts=2000, loose=0.2, nuclear_area_um2=28, eosin=1.3
)
PRESETS = (FIBROADENOMA, ADENOSIS, FAT_WITH_DUCTS, DUCTAL_CARCINOMA, LOBULAR_CARCINOMA)
