"""How high activations get on training fields: the ranges of the 8-bit engine."""

from dataclasses import replace

import numpy as np
from rich.progress import track
from torch import Tensor, nn

from handler.resnet import Trunk
from handler.torch_engine import TorchEngine
from scripts.training.breakhis import Sample
from scripts.training.field_svm import training_fields
from scripts.training.recipe import Recipe


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
    fields, _ = training_fields(samples, replace(recipe, mosaics=1))
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
