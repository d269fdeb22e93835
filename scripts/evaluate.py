"""Measure the trained model on patients it never saw; write figures, plots and card.

    python -m scripts.evaluate --data FOLDER

`scripts.train` ends with this. Run by itself, after a training with the same data, it
reads the decisions of the cross-validation, and for robustness and heat maps the models
of its first repetition.
Everything that quotes a figure (model card, demo, README) reads ``evaluation.json``.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track

from handler import EVALUATION, MANIFEST, PLOTS
from handler.decision import DecisionRule
from handler.features import TorchEngine
from handler.images import Field, read_field
from handler.model import Include, Model, ModelId, Prediction
from handler.openvino_engine import OpenVinoEngine
from handler.svm import Svm
from scripts.errors import NoCheckpoints, ScriptError
from scripts.learning import plots
from scripts.learning.breakhis import BreakHis, FieldImage, read
from scripts.learning.calibration import held_out_probabilities
from scripts.learning.card import write_card
from scripts.learning.crossval import FITS, fold_name, open_fold, write
from scripts.learning.faithfulness import SHARES, curves
from scripts.learning.figures import (
    area_under_roc,
    by_tumour_type,
    calibration_noise,
    draw_images,
    figures,
    interval,
)
from scripts.learning.finetune import Recipe, Sample
from scripts.learning.judged import Judged
from scripts.learning.known_tissue import known_tissue
from scripts.learning.places import CHECKPOINTS, MODEL_STORE, OUT_OF_FOLD, add_data_argument
from scripts.learning.quantisation import agreement, calibrate
from scripts.learning.rejection import Fold, rejection
from scripts.learning.robustness import PERTURBATIONS

# Robustness and heat maps are measured on this many 40X fields at most, evenly spaced: each
# takes three seconds.
MAX_FIELDS = 200


class HeldOut(NamedTuple):
    """A 40X field, the model of the fold that held its patient out, and its answers.

    The fast answer is that of the 8-bit engine, calibrated on the training patients.
    """

    model: Model
    fast: Model
    pixels: np.ndarray
    answer: Prediction
    fast_answer: Prediction


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    args = parser.parse_args()
    try:
        evaluate(args.data, CHECKPOINTS / "full", MODEL_STORE)
    except ScriptError as error:
        parser.exit(1, f"{error}\n")


def evaluate(root: Path, work: Path, model_store: Path, max_fields: int = MAX_FIELDS) -> None:
    """Measure, and write ``evaluation.json``, the plots and the model card.

    Parameters
    ----------
    root : Path
        Of the data set.
    work : Path
        Folder with the checkpoints of the training run.
    model_store : Path
        Folder with the model; what is measured is added to it.
    max_fields : int
        See `MAX_FIELDS`.

    Raises
    ------
    DataSetError
    NoCheckpoints
        They are missing, or not those of this model.
    """
    manifest = json.loads((model_store / MANIFEST).read_text("utf-8"))
    judged = Judged.from_json((model_store / OUT_OF_FOLD).read_text("utf-8"))
    rule = DecisionRule(**manifest["decision_rule"])
    probabilities = held_out_probabilities(judged)
    at_40x = judged.at(40)
    every = -(-len(at_40x.names) // max_fields)
    at_40x = at_40x.only(np.arange(len(at_40x.names)) % every == 0)
    fields = held_out_fields(root, work, manifest, judged, at_40x)
    evaluation = {
        "model": {part: entry["sha256"] for part, entry in manifest["files"].items()},
        **from_decisions(judged, probabilities, rule),
        "engine": agreement([f.answer for f in fields], [f.fast_answer for f in fields]),
        "robustness": robustness(fields, at_40x),
        "heatmap": heatmap_check(fields, at_40x),
        "rejection": rejection(by_fold(fields, at_40x)),
    }
    write(model_store / EVALUATION, json.dumps(evaluation, indent=1).encode())
    for name, svg in plots.draw(judged, probabilities, rule, evaluation).items():
        write(model_store / PLOTS / name, svg)
    write_card(model_store)


def from_decisions(judged: Judged, probabilities: np.ndarray, rule: DecisionRule) -> dict[str, Any]:
    """Measure what follows from the decisions of the cross-validation alone."""
    magnifications = {}
    for m in track(np.unique(judged.magnifications).tolist(), "Bootstrap  "):
        own = judged.magnifications == m
        at = judged.only(own)
        if len(set(at.malignant)) == 2:
            measured: dict[str, Any] = figures(at, probabilities[:, own], rule)
            measured["image"]["calibration_noise"] = calibration_noise(probabilities[0, own])
            measured["tumour_types"] = by_tumour_type(at, rule)
            magnifications[f"{m}X"] = measured
    return {"repetitions": len(judged.decisions), "magnifications": magnifications}


def held_out_fields(
    root: Path, work: Path, manifest: dict[str, Any], judged: Judged, chosen: Judged
) -> list[HeldOut]:
    """Open the models of the first repetition, each beside the fields it never saw.

    Parameters
    ----------
    root : Path
        Of the data set.
    work : Path
        Folder with the checkpoints.
    manifest : dict
    judged : Judged
        All images.
    chosen : Judged
        The 40X images of `judged` whose fields are wanted.

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
            [images[name] for name in judged.names[judged.folds[0] != fold]],
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
        fields.append(HeldOut(model, fast, field.pixels, answer, fast_answer))
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
    samples = [Sample(image, read(image, *size)) for image in training]
    maxima = calibrate(trunk, samples, recipe)
    known, limits = known_tissue(trunk, samples)
    manifest = {**manifest, "tissue_limits": vars(limits)}
    identity = ModelId(manifest["name"], manifest["version"], checkpoint.name)
    svm = Svm(classifier.shipped())
    reference, fast = (
        Model(identity, manifest, engine, svm, known, evaluation={}, card="", plots={})
        for engine in (TorchEngine(trunk), OpenVinoEngine(trunk, size, 2, maxima))
    )
    return reference, fast


def by_fold(fields: list[HeldOut], judged: Judged) -> list[Fold]:
    """Sort the fields by the fold that held them out; `judged` are the same, in this order."""
    folds: dict[str, Fold] = {}
    for field, patient in zip(fields, judged.patients.tolist(), strict=True):
        name = field.model.identity.sha256
        fold = folds.setdefault(name, Fold(field.model, field.fast, [], []))
        fold.fields.append(field.pixels)
        fold.patients.append(patient)
    return list(folds.values())


def robustness(fields: list[HeldOut], judged: Judged) -> dict[str, dict[str, Any]]:
    """Measure how perturbed pictures change AUC, labels and verdicts.

    Returns
    -------
    dict of str to dict
        For each perturbation ``auc``, ``auc_change`` with ``value`` and ``interval``, and
        the shares ``labels_changed`` and ``verdicts_changed``.
    """
    drawn = draw_images(judged)
    answers = [field.answer for field in fields]
    before = np.array([answer.decision for answer in answers])
    result = {}
    for name, perturb in track(PERTURBATIONS.items(), "Robustness "):
        answers_after = [f.model.classify([Field(perturb(f.pixels))])[0] for f in fields]
        after = np.array([answer.decision for answer in answers_after])
        pairs = list(zip(answers, answers_after, strict=True))

        def change(of: np.ndarray, after: np.ndarray = after) -> float:
            malignant = judged.malignant[of]
            return area_under_roc(after[of], malignant) - area_under_roc(before[of], malignant)

        result[name] = {
            "auc": area_under_roc(after, judged.malignant),
            "auc_change": {
                "value": change(np.arange(len(after))),
                "interval": interval([change(sample) for sample in drawn]),
            },
            "labels_changed": float(np.mean([a.label != b.label for a, b in pairs])),
            "verdicts_changed": float(np.mean([a.verdict != b.verdict for a, b in pairs])),
        }
    return result


def heatmap_check(fields: list[HeldOut], judged: Judged) -> dict[str, Any]:
    """Measure deletion and insertion on every field; see `faithfulness`.

    Returns
    -------
    dict
        ``share``; the mean curves ``deletion``, ``deletion_control``, ``insertion`` and
        ``insertion_control``; and ``deletion_gain`` and ``insertion_gain``, by how much
        the heat map does better than the control, with ``value`` and ``interval``.
    """
    rng = np.random.default_rng(0)
    measured = [curves(f.model, f.pixels, rng) for f in track(fields, "Heat maps  ")]
    table = {name: np.array([m[name] for m in measured]) for name in measured[0]}
    gains = {
        "deletion_gain": (table["deletion_control"] - table["deletion"]).mean(axis=1),
        "insertion_gain": (table["insertion"] - table["insertion_control"]).mean(axis=1),
    }
    drawn = draw_images(judged)
    result: dict[str, Any] = {"fields": len(fields), "share": list(SHARES)}
    result |= {name: values.mean(axis=0).tolist() for name, values in table.items()}
    for name, gain in gains.items():
        spread = interval([gain[sample].mean() for sample in drawn])
        result[name] = {"value": float(gain.mean()), "interval": spread}
    return result


if __name__ == "__main__":
    main()
