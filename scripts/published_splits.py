"""Measure the recipe on the splits that others publish results for; needs the full set.

    python -m scripts.published_splits official --data FOLDER
    python -m scripts.published_splits eva --data FOLDER

``official``: the five folds of the data set's authors (``dsfold1.txt`` to
``dsfold5.txt``, anywhere in the folder). ``eva``: the four tumour types of the eva
benchmark at 40X, its published split. Both split by slide; training images whose
accession number is also in the test are left out, so no patient is on both sides. The
served model is left alone.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress, track
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from scripts.errors import DataSetError, ScriptError
from scripts.evaluation.figures import area_under_roc
from scripts.paths import CHECKPOINTS, add_data_argument
from scripts.training.breakhis import BreakHis, FieldImage, Sample, eva_split, official_fold, read
from scripts.training.crossval import Run
from scripts.training.field_svm import GAMMA, C, extract
from scripts.training.finetune import fine_tune
from scripts.training.pictures import prepare
from scripts.training.recipe import MAGNIFICATIONS, Recipe
from scripts.training.starting_weights import starting_weights

# Filed under ductal and under lobular carcinoma, on both sides of three official folds.
DOUBTFUL_SLIDE = "13412"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("split", choices=("official", "eva"))
    add_data_argument(parser)
    parser.add_argument("--weights", type=Path, help="starting weights, as for scripts.train")
    args = parser.parse_args()
    measure = {"official": official, "eva": eva}[args.split]
    try:
        measured = measure(args.data, args.weights, Recipe(), CHECKPOINTS / args.split)
    except ScriptError as error:
        parser.exit(1, f"{error}\n")
    print(json.dumps(measured, indent=2))


def official(root: Path, weights: Path | None, recipe: Recipe, work: Path) -> dict[str, Any]:
    """Measure the 40X test images of each official fold.

    Returns
    -------
    dict
        ``folds``: for each, with and without the slide that is filed twice, image-level
        ``accuracy``, ``auc`` and the patient ``recognition_rate`` (slides, as its authors
        count); ``notes``: what the data lacks.

    Raises
    ------
    DataSetError
        The tables of the folds are missing, or a test has but one class.
    """
    data = BreakHis(root)
    tables = [_table(root, n) for n in range(1, 6)]
    samples = _read([i for i in data.images if i.magnification in MAGNIFICATIONS], recipe)
    stems = [sample.image.path.stem for sample in samples]
    patients = np.array([sample.image.patient for sample in samples])
    at_40x = np.array([sample.image.magnification == 40 for sample in samples])
    recipe = recipe.for_images(len(samples))
    run = Run(samples, starting_weights(weights)[0], recipe, work)
    run.prepare()
    folds = []
    with Progress() as progress:
        task = progress.add_task("Training", total=len(tables) * recipe.steps * recipe.soup)
        for n, table in enumerate(tables, 1):
            train, test = ({Path(name).stem for name in side} for side in official_fold(table))
            tested = np.array([stem in test for stem in stems]) & at_40x
            trained = np.array([stem in train for stem in stems])
            trained &= ~np.isin(patients, patients[tested])
            decisions = run.judge(
                f"official{n}", trained, tested, recipe.seed, lambda: progress.advance(task)
            )
            images = [samples[i].image for i in np.flatnonzero(tested)]
            folds.append(_official_figures(images, decisions))
    return {"folds": folds, "notes": data.problems()}


def _table(root: Path, n: int) -> Path:
    for path in root.rglob(f"dsfold{n}.txt"):
        return path
    raise DataSetError(f"dsfold{n}.txt is not in {root}. Get the folds from the data set's page.")


def _official_figures(images: list[FieldImage], decisions: np.ndarray) -> dict[str, Any]:
    malignant = np.array([image.malignant for image in images])
    slides = np.array([image.slide for image in images])
    result = {}
    for name, kept in (
        ("all", np.ones(len(images), bool)),
        (f"without slide {DOUBTFUL_SLIDE}", slides != DOUBTFUL_SLIDE),
    ):
        if len(set(malignant[kept])) < 2:
            raise DataSetError(
                "A fold has not both classes among its 40X test images. Use the full set."
            )
        right = (decisions >= 0) == malignant
        result[name] = {
            "accuracy": float(right[kept].mean()),
            "auc": area_under_roc(decisions[kept], malignant[kept]),
            "recognition_rate": float(
                np.mean([right[slides == slide].mean() for slide in set(slides[kept])])
            ),
        }
    return result


def eva(root: Path, weights: Path | None, recipe: Recipe, work: Path) -> dict[str, Any]:
    """Measure the balanced accuracy over four tumour types on eva's validation patients.

    The trunk is fine-tuned on the training images to tell malignant from benign, as
    always; an SVM for four classes is fitted on their features.

    Raises
    ------
    DataSetError
        A tumour type is missing on one side.
    """
    data = BreakHis(root)
    train_images, validation_images = eva_split(data.images)
    patients = {image.patient for image in validation_images}
    train = _read([image for image in train_images if image.patient not in patients], recipe)
    sides = (train, _read(validation_images, recipe))
    types = [np.array([s.image.tumour_type for s in side]) for side in sides]
    missing = set(types[0]) ^ set(types[1])
    if missing or not train:
        raise DataSetError(
            f"Not every type is on both sides of the split ({', '.join(sorted(missing))}). "
            "Use the full set."
        )
    start, _ = starting_weights(weights)
    pictures = prepare(train, start, recipe)
    with Progress() as progress:
        task = progress.add_task("Training", total=recipe.steps * recipe.soup)
        trunk = fine_tune(
            pictures.crops, pictures.groups, start, recipe, lambda: progress.advance(task)
        )
    vectors = [extract(trunk, np.stack([s.pixels for s in side])) for side in sides]
    svc = SVC(C=C, gamma=GAMMA, class_weight="balanced")
    classifier = make_pipeline(StandardScaler(), svc).fit(vectors[0], types[0])
    score = balanced_accuracy_score(types[1], classifier.predict(vectors[1]))
    return {
        "balanced_accuracy": float(score),
        "training_images": len(train),
        "validation_images": len(sides[1]),
        "notes": data.problems(),
    }


def _read(images: list[FieldImage], recipe: Recipe) -> list[Sample]:
    return [read(i, recipe.width, recipe.height) for i in track(images, "Reading ")]


if __name__ == "__main__":
    main()
