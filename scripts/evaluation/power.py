"""How many patients would settle a question about the model."""

import itertools
import math

from scipy.stats import norm

# Patients of the full data set, benign and malignant.
FULL_SET = (24, 58)


def patients_needed(auc: float, other: float, power: float = 0.8, level: float = 0.05) -> int:
    """Count the patients by which one AUC is told from another.

    Of the two classes as in the full set, for a two-sided test of one sample. The standard
    error is that of Hanley and McNeil, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve", Radiology 143, 1982.

    Parameters
    ----------
    auc, other : float
        The true one, and the one that is to be ruled out.
    power, level : float
        Chance of finding a difference that is there, and one that is not.
    """
    unlikely, likely = norm.ppf(1 - level / 2), norm.ppf(power)
    return next(
        n
        for n in itertools.count(10)
        if unlikely * standard_error(other, n) + likely * standard_error(auc, n) <= abs(auc - other)
    )


def standard_error(auc: float, n_patients: int) -> float:
    """Return the standard error of an AUC on so many patients, classes as in the full set."""
    n_benign, n_malignant = (n_patients * n / sum(FULL_SET) for n in FULL_SET)
    of_malignant, of_benign = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc)
        + (n_malignant - 1) * (of_malignant - auc**2)
        + (n_benign - 1) * (of_benign - auc**2)
    )
    return math.sqrt(variance / (n_benign * n_malignant))
