"""Fields beside a model that never saw their patients: that of the fold that held them out."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track

from handler.images import read_field
from handler.magnification import MagnificationClassifier
from handler.model import Include, Model
from handler.openvino_engine import OpenVinoEngine
from handler.prediction import ModelId, Prediction
from handler.svm import Svm
from handler.torch_engine import TorchEngine
from scripts.errors import NoCheckpoints
from scripts.paths import OUT_OF_FOLD
from scripts.training.bounds import activation_ranges, reference_features
from scripts.training.breakhis import BreakHis, FieldImage, read
from scripts.training.crossval import FITS, MAGNIFICATION, fold_name, open_fold
from scripts.training.out_of_fold import OutOfFoldPredictions
from scripts.training.recipe import Recipe


class HeldOut(NamedTuple):
    """A 40X field, the model of the fold that held its patient out, and its answers.

    The fast answer is that of the 8-bit engine, whose ranges are those of the training patients.
    """

    model: Model
    fast: Model
    patient: str
    pixels: np.ndarray
    answer: Prediction
    fast_answer: Prediction


def held_out_fields(
    root: Path,
    work: Path,
    manifest: dict[str, Any],
    predictions: OutOfFoldPredictions,
    chosen: OutOfFoldPredictions,
) -> list[HeldOut]:
    """Open the models of the first repetition, each beside the fields it never saw.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    work : Path
        Folder with the checkpoints.
    manifest : dict
    predictions : OutOfFoldPredictions
        All images.
    chosen : OutOfFoldPredictions
        The 40X images of `predictions` whose fields are wanted.

    Raises
    ------
    NoCheckpoints
        A model is missing, or does not decide as the cross-validation says.
    """
    images = {image.path.name: image for image in BreakHis(root).images}
    models = {
        fold: fold_models(
            work / FITS / fold_name(0, fold, manifest["training"]["folds"]),
            manifest,
            [images[name] for name in predictions.names[predictions.folds[0] != fold]],
        )
        for fold in np.unique(chosen.folds[0]).tolist()
    }
    fields = []
    for i in track(range(len(chosen.names)), "Reading    "):
        model, fast = models[chosen.folds[0, i]]
        field = read_field(images[chosen.names[i]].path.read_bytes())
        answer, fast_answer = (m.classify([field], [Include(True)])[0] for m in (model, fast))
        if abs(answer.decision - chosen.decisions[0, i]) > 1e-3:
            raise NoCheckpoints(
                f"The models in {work} do not decide as {OUT_OF_FOLD} says. "
                "Run scripts.train again."
            )
        fields.append(HeldOut(model, fast, chosen.patients[i], field.pixels, answer, fast_answer))
    return fields


def fold_models(
    checkpoint: Path, manifest: dict[str, Any], training: list[FieldImage]
) -> tuple[Model, Model]:
    """Open the model of a fold twice: with the reference engine and with the 8-bit one.

    All that was learnt or set, the limits of the tissue checks too, comes from `training`.
    """
    try:
        trunk, classifier = open_fold(checkpoint)
    except FileNotFoundError:
        raise NoCheckpoints(
            f"{checkpoint} holds no model. Run scripts.train with the same data first."
        ) from None
    recipe = Recipe(**manifest["training"]["recipe"])
    size = recipe.width, recipe.height
    samples = [read(image, *size) for image in training]
    maxima = activation_ranges(trunk, samples, recipe)
    # This limit alone was set on the scores of all patients, each judged unseen.
    min_log_odds = manifest["tissue_limits"]["min_log_odds"]
    references, limits = reference_features(trunk, samples, min_log_odds)
    magnification = MagnificationClassifier.read((checkpoint / MAGNIFICATION).read_bytes())
    manifest = {**manifest, "tissue_limits": vars(limits)}
    identity = ModelId(manifest["name"], manifest["version"], checkpoint.name)
    svm = Svm(classifier.shipped())
    rest: dict[str, Any] = {"evaluation": {}, "card": "", "plots": {}}
    reference, fast = (
        Model(identity, manifest, engine, svm, references, magnification=magnification, **rest)
        for engine in (TorchEngine(trunk), OpenVinoEngine(trunk.weights(), size, 2, maxima))
    )
    return reference, fast
