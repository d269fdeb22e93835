"""How strongly places of training fields move the decision: the scale of every heat map."""

import numpy as np

from handler.heatmap import grad_cam
from handler.resnet import Trunk
from handler.svm import Svm
from handler.torch_engine import TorchEngine
from scripts.training.breakhis import Sample


def heatmap_scale(trunk: Trunk, svm: Svm, samples: list[Sample]) -> float:
    """Return what the strongest place of 19 in 20 fields at 40X does not exceed.

    In units of the decision, as `handler.heatmap.grad_cam` gives them.

    Parameters
    ----------
    trunk : Trunk
    svm : Svm
    samples : list of Sample
        Those of the training patients.
    """
    engine = TorchEngine(trunk)
    strongest = []
    for sample in samples:
        if sample.image.magnification == 40:
            (vector,), (feature_map,), _ = engine.extract(sample.pixels[None])
            places = grad_cam(svm.path_gradient(vector), feature_map, svm.reference)
            strongest.append(np.abs(places).max())
    return float(np.quantile(strongest, 0.95))
