"""How high activations get on training fields: the ranges of the 8-bit engine."""

from dataclasses import replace

from rich.progress import track

from handler.openvino_engine import ActivationRanges
from handler.resnet import Trunk
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
    """
    fields, _ = training_fields(samples, replace(recipe, mosaics=1))
    ranges = ActivationRanges(trunk, (recipe.width, recipe.height))
    for field in track(fields, "Activations"):
        ranges.watch(field)
    return ranges.maxima
