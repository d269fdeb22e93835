"""Features and limits of the training fields, by which a model tells what is unlike them."""

import numpy as np

from handler.resnet import Trunk
from handler.tissue import TissueLimits, distances, measure
from scripts.training.breakhis import Sample
from scripts.training.field_svm import extract


def reference_features(
    trunk: Trunk, samples: list[Sample], min_log_odds: float
) -> tuple[np.ndarray, TissueLimits]:
    """Take features and limits from the 40X training fields.

    Parameters
    ----------
    trunk : Trunk
    samples : list of Sample
        Those of the training patients; of two of them at 40X at least.
    min_log_odds : float
        See `scripts.training.magnification.OutOfFoldKinds.min_log_odds`.

    Returns
    -------
    vectors : ndarray of float16, shape (n, 512)
    limits : TissueLimits
        A field of an unseen patient is as far from the training fields as each of these is
        from those of the other patients, so the largest such distance is the limit. How
        much of a field is stained, and how sharp it is, varies with the tissue, so half of
        the lowest training field is the limit; the colour varies with the stain, so it is
        the lowest itself.
    """
    at_40x = [sample for sample in samples if sample.image.magnification == 40]
    vectors = extract(trunk, np.stack([sample.pixels for sample in at_40x])).astype(np.float16)
    patients = np.array([sample.image.patient for sample in at_40x])
    to_others = [
        distances(vectors[patients == patient], vectors[patients != patient]).max()
        for patient in np.unique(patients)
    ]
    seen = [measure(sample.pixels) for sample in at_40x]
    return vectors, TissueLimits(
        max_distance=float(max(to_others)),
        min_log_odds=min_log_odds,
        min_tissue=min(field.tissue for field in seen) / 2,
        min_he=min(field.he for field in seen),
        min_sharpness=min(field.sharpness for field in seen) / 2,
    )
