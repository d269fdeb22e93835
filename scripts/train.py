"""Train the model on BreakHis, and write it with its cross-validated figures.

    python -m scripts.train --data FOLDER

A stopped run goes on where it was, fold by fold, if it is started again with the
same data and settings.
"""

import argparse
import hashlib
import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.numpy import save as save_arrays
from safetensors.torch import save

from handler import CARD, MANIFEST, MODEL_NAME
from handler.prediction import CLASSES
from handler.svm import Svm
from handler.whole_file import replace_folder, write_whole
from scripts.evaluate import MAX_FIELDS, evaluate
from scripts.paths import (
    CHECKPOINTS,
    MODEL_STORE,
    OUT_OF_FOLD,
    OUT_OF_FOLD_KINDS,
    add_data_argument,
    add_weights_argument,
)
from scripts.training.bounds import activation_ranges, heatmap_scale, reference_features
from scripts.training.breakhis import TRAINING_FIELD, BreakHis
from scripts.training.calibration import TOLERATED_RISK, decision_rule
from scripts.training.crossval import CrossValidationPlan, Run, half
from scripts.training.magnification import fit_magnification
from scripts.training.recipe import MAGNIFICATIONS, MEAN, STD, Recipe
from scripts.training.starting_weights import starting_weights

VERSION = "2.0"

PLAN = CrossValidationPlan(folds=5, repetitions=3)
QUICK = Recipe(crops=16, steps=25, soup=1, mosaics=2), CrossValidationPlan(2, 1), 20


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    add_weights_argument(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a poorer model in a few minutes, kept apart from the one that is served",
    )
    args = parser.parse_args()
    work = CHECKPOINTS / ("quick" if args.quick else "full")
    model = work / "model"
    recipe, plan, max_fields = QUICK if args.quick else (Recipe(), PLAN, MAX_FIELDS)
    recipe = replace(recipe, seed=args.seed)
    train(args.data, args.weights, recipe, plan, work=work, destination=model)
    evaluate(args.data, work, model, max_fields)
    if not args.quick:
        # A model without its figures can't be opened, so all of it comes at once.
        replace_folder(MODEL_STORE, model, keep="*.mar")
        model = MODEL_STORE
    print(f"Wrote the model and its card, {model / CARD}.")


def train(
    root: Path,
    weights: Path | None,
    recipe: Recipe,
    plan: CrossValidationPlan,
    *,
    work: Path,
    destination: Path,
) -> None:
    """Cross-validate, fit on all patients, and write the model.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    weights : Path or None
        See `starting_weights`.
    recipe : Recipe
    plan : CrossValidationPlan
    work : Path
        Folder for checkpoints.
    destination : Path
        Folder for the model, whose manifest is written last.
    """
    data = BreakHis(root)
    for problem in data.problems():
        print("Note:", problem)
    start, start_name = starting_weights(weights)
    run = Run.begin(data.images, start, recipe, work)
    kinds = run.tell_magnifications(plan)
    predictions = run.cross_validate(plan)
    trunk, classifier = run.final()
    references, limits = reference_features(trunk, run.samples, kinds.min_log_odds())
    svm = classifier.shipped()
    magnification = fit_magnification(run.pictures.seen).arrays()
    parts = {
        "weights": ("weights.safetensors", save(half(trunk))),
        "svm": ("svm.pkl", pickle.dumps(svm)),
        "references": ("references.safetensors", save_arrays({"vectors": references})),
        "magnification": ("magnification.safetensors", save_arrays(magnification)),
    }
    manifest = {
        "name": MODEL_NAME,
        "version": VERSION,
        "classes": CLASSES,
        "files": {
            part: {"name": name, "sha256": hashlib.sha256(content).hexdigest()}
            for part, (name, content) in parts.items()
        },
        "field": asdict(TRAINING_FIELD),
        "preprocessing": {"width": recipe.width, "height": recipe.height, "mean": MEAN, "std": STD},
        "activation_maxima": activation_ranges(trunk, run.samples, recipe),
        "decision_rule": vars(decision_rule(predictions)),
        "tissue_limits": vars(limits),
        "heatmap_scale": heatmap_scale(trunk, Svm(svm), run.samples),
        "training": {
            **summary(data),
            "starting_weights": start_name,
            **plan._asdict(),
            "tolerated_risk": TOLERATED_RISK,
            "recipe": asdict(run.recipe),
        },
    }
    for name, content in [
        (OUT_OF_FOLD, predictions.to_json().encode()),
        (OUT_OF_FOLD_KINDS, kinds.to_json().encode()),
        *parts.values(),
        (MANIFEST, json.dumps(manifest, indent=2).encode()),
    ]:
        write_whole(destination / name, content)


def summary(data: BreakHis) -> dict[str, Any]:
    """Count what the model learnt from."""
    malignant = {i.patient: i.malignant for i in data.images if i.magnification in MAGNIFICATIONS}
    n_malignant = sum(malignant.values())
    counts = data.counts()
    return {
        "data": "BreakHis v1, doi:10.1109/TBME.2015.2496264",
        "patients": {"benign": len(malignant) - n_malignant, "malignant": n_malignant},
        "images": {f"{m}X": dict(zip(CLASSES, counts[m], strict=True)) for m in MAGNIFICATIONS},
    }


if __name__ == "__main__":
    main()
