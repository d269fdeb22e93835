"""What the fields of the training patients set as usual, once a model is trained.

How far from them a field may be, how high the activations of the 8-bit engine get, and how
strongly a place of the heat map moves the decision.
"""

from dataclasses import replace

import numpy as np
from rich.progress import track
from torch import Tensor, nn

from handler.heatmap import grad_cam
from handler.magnification import MAGNIFICATION
from handler.resnet import Trunk
from handler.svm import Svm
from handler.tissue import TissueLimits, distances, measure
from handler.torch_engine import TorchEngine
from scripts.training.breakhis import Sample
from scripts.training.field_svm import extract
from scripts.training.pictures import group_by_patient, training_fields
from scripts.training.recipe import Recipe


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
    at_40x = [sample for sample in samples if sample.image.magnification == MAGNIFICATION]
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


def activation_ranges(trunk: Trunk, samples: list[Sample], recipe: Recipe) -> list[float]:
    """Measure the highest activations on training fields.

    The highest of all, not a quantile: cutting off one in ten thousand costs more than
    the finer steps gain.

    Parameters
    ----------
    trunk : Trunk
        On the CPU.
    samples : list of Sample
        Those of the training patients.
    recipe : Recipe
        One pseudo-field is made of each patient and higher magnification.

    Returns
    -------
    list of float
        As `handler.openvino_graph.trunk_graph` takes them.
    """
    fields, _ = training_fields(group_by_patient(samples), replace(recipe, mosaics=1))
    ranges = [field_ranges(trunk, field) for field in track(fields, "Activations")]
    return np.max(ranges, axis=0).tolist()


def field_ranges(trunk: Trunk, field: np.ndarray) -> list[float]:
    """Measure them on one field, uint8 of shape (height, width, 3)."""
    maxima: list[float] = []

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        maxima.append(output.max().item())

    net = trunk.resnet
    layers = (net.layer1, net.layer2, net.layer3, net.layer4)
    # A block has one ReLU, which comes after each of its convolutions.
    rectified = [block.relu for layer in layers for block in layer]
    hooks = [module.register_forward_hook(note) for module in (net.maxpool, *rectified)]
    TorchEngine(trunk).extract(field[None])
    for hook in hooks:
        hook.remove()
    # No convolution comes after the last.
    return maxima[:-1]


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
        if sample.image.magnification == MAGNIFICATION:
            (vector,), (feature_map,), _ = engine.extract(sample.pixels[None])
            places = grad_cam(svm.path_gradient(vector), feature_map, svm.reference)
            strongest.append(np.abs(places).max())
    return float(np.quantile(strongest, 0.95))
