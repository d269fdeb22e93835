"""Train the model on BreakHis, and write it with its cross-validated figures.

    python -m scripts.train --data FOLDER

A stopped run goes on where it was, fold by fold, if it is started again with the
same data and settings.
"""

import argparse
import hashlib
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress, track
from safetensors.torch import load_file, save
from torch import Tensor

from handler import CARD, MANIFEST
from handler.images import read_field
from handler.svm import CLASSES, DecisionRule
from handler.tissue import TissueLimits, measure
from scripts.errors import NoStartingWeights, ScriptError
from scripts.learning.breakhis import FIELD_SIZE, BreakHis, read
from scripts.learning.calibration import TOLERATED_RISK, decision_rule
from scripts.learning.card import model_card
from scripts.learning.crossval import Run, half, write
from scripts.learning.figures import figures
from scripts.learning.finetune import MAGNIFICATIONS, MEAN, STD, Recipe, Sample

ROOT = Path(__file__).resolve().parent.parent
MODEL_STORE = ROOT / "model_store"
WORK = ROOT / ".work" / "train"
VERSION = "1.0"

RECIPE = Recipe()
QUICK = Recipe(steps=25, mosaics=2)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("BREAKHIS_DATA", ROOT.parent / "shared" / "breakhis"),
        help="folder with BreakHis images (default: $BREAKHIS_DATA, else ../shared/breakhis)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        help="starting weights, safetensors with torchvision's names "
        "(default: torchvision's ImageNet weights)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a poorer model in a few minutes, kept apart from the one that is served",
    )
    args = parser.parse_args()
    try:
        if args.quick:
            train(
                args.data,
                args.weights,
                replace(QUICK, seed=args.seed),
                folds=2,
                work=WORK / "quick",
                destination=WORK / "quick" / "model",
            )
        else:
            train(
                args.data,
                args.weights,
                replace(RECIPE, seed=args.seed),
                folds=args.folds,
                work=WORK / "full",
                destination=MODEL_STORE,
            )
    except ScriptError as error:
        parser.exit(1, f"{error}\n")


def train(
    root: Path,
    weights: Path | None,
    recipe: Recipe,
    *,
    folds: int,
    work: Path,
    destination: Path,
) -> None:
    """Cross-validate, fit on all patients, and write the model.

    Parameters
    ----------
    root : Path
        Of the data set.
    weights : Path or None
        See `starting_weights`.
    recipe : Recipe
    folds : int
    work : Path
        Folder for checkpoints.
    destination : Path
        Folder for the model.
    """
    data = BreakHis(root)
    for problem in data.problems():
        print("Note:", problem)
    start, start_name = starting_weights(weights)
    used = [image for image in data.images if image.magnification in MAGNIFICATIONS]
    samples = [
        Sample(image, read(image, recipe.width, recipe.height)) for image in track(used, "Reading ")
    ]
    run = Run(samples, start, recipe, folds, work)
    run.prepare()
    with Progress() as progress:
        task = progress.add_task("Training", total=(folds + 1) * recipe.steps)
        rows = run.out_of_fold(lambda: progress.advance(task))
        trunk, classifier = run.final(lambda: progress.advance(task))

    rule, measured = judge(rows)
    about = {
        "preprocessing": {
            "width": recipe.width,
            "height": recipe.height,
            "mean": MEAN,
            "std": STD,
        },
        "decision_rule": vars(rule),
        "tissue_limits": vars(tissue_limits(data)),
        "training": {
            **summary(data),
            "starting_weights": start_name,
            "folds": folds,
            "tolerated_risk": TOLERATED_RISK,
            "recipe": recipe.to_json(),
        },
        "metrics": measured,
    }
    write(destination / "out_of_fold.json", json.dumps(rows, indent=1).encode())
    write_model(destination, save(half(trunk)), pickle.dumps(classifier.shipped()), about)
    print(json.dumps(measured, indent=2))


def starting_weights(path: Path | None) -> tuple[dict[str, Tensor], str]:
    """Find the weights that the trunk starts with.

    Torchvision's complete ImageNet weights where they are on disk or can be fetched,
    else those of ``../shared/weights``.

    Raises
    ------
    NoStartingWeights
    """
    if path is None:
        # Only importable after handler.resnet, whatever the order of the lines at the top.
        from torchvision.models import ResNet18_Weights  # noqa: PLC0415

        try:
            full = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
            return {k: v for k, v in full.items() if not k.startswith("fc.")}, "IMAGENET1K_V1"
        except OSError:
            found = sorted((ROOT.parent / "shared" / "weights").glob("resnet18*.safetensors"))
            if not found:
                raise NoStartingWeights(
                    "Torchvision's ImageNet weights can't be fetched. Connect to the internet, "
                    "or give a safetensors file with --weights."
                ) from None
            path = found[0]
    return load_file(path), path.name


def summary(data: BreakHis) -> dict[str, Any]:
    """Count what the model learnt from."""
    malignant = {i.patient: i.malignant for i in data.images if i.magnification in MAGNIFICATIONS}
    n_malignant = sum(malignant.values())
    return {
        "data": "BreakHis v1, doi:10.1109/TBME.2015.2496264",
        "patients": {"benign": len(malignant) - n_malignant, "malignant": n_malignant},
        "images": {
            f"{magnification}X": {"benign": benign, "malignant": malignant}
            for magnification, (benign, malignant) in data.counts().items()
            if magnification in MAGNIFICATIONS
        },
    }


def tissue_limits(data: BreakHis) -> TissueLimits:
    """Set the limits of the tissue checks to half of the lowest 40X training field."""
    seen = [
        measure(read_field(image.path.read_bytes()).pixels)
        for image in data.images
        if image.magnification == 40
    ]
    width, height = FIELD_SIZE
    return TissueLimits(
        min_tissue=min(field.tissue for field in seen) / 2,
        min_he=min(field.he for field in seen) / 2,
        min_sharpness=min(field.sharpness for field in seen) / 2,
        aspect_ratio=width / height,
    )


def judge(rows: list[dict[str, Any]]) -> tuple[DecisionRule, dict[str, Any]]:
    """Derive the decision rule, and measure every magnification with it."""
    decisions = np.array([row["decision"] for row in rows])
    malignant = np.array([row["malignant"] for row in rows])
    patients = np.array([row["patient"] for row in rows])
    magnifications = np.array([row["magnification"] for row in rows])
    rule = decision_rule(decisions, malignant, patients, magnifications)
    measured = {}
    for m in MAGNIFICATIONS:
        own = magnifications == m
        if len(set(malignant[own])) == 2:
            measured[f"{m}X"] = figures(
                decisions[own], malignant[own], patients[own], rule.threshold
            )
            given = np.array([not rule.is_uncertain(decision) for decision in decisions[own]])
            wrong = (decisions[own] >= rule.threshold) != malignant[own]
            measured[f"{m}X"]["image"]["abstained"] = float((~given).mean())
            measured[f"{m}X"]["image"]["wrong_verdicts"] = float((wrong & given).mean())
    return rule, measured


def write_model(folder: Path, weights: bytes, svm: bytes, about: dict[str, Any]) -> None:
    """Write weights, SVM and card, and last the manifest that makes them the model.

    Parameters
    ----------
    folder : Path
    weights : bytes
        Safetensors.
    svm : bytes
        The pickled pipeline.
    about : dict
        What else the manifest says.
    """
    files = {}
    for part, name, content in (
        ("weights", "weights.safetensors", weights),
        ("svm", "svm.pkl", svm),
    ):
        write(folder / name, content)
        files[part] = {"name": name, "sha256": hashlib.sha256(content).hexdigest()}
    manifest = {
        "name": "breakhis",
        "version": VERSION,
        "classes": CLASSES,
        "files": files,
        **about,
    }
    write(folder / CARD, model_card(manifest).encode())
    write(folder / MANIFEST, json.dumps(manifest, indent=2).encode())


if __name__ == "__main__":
    main()
