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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from scripts.errors import DataSetError
from scripts.evaluation.figures import area_under_roc
from scripts.paths import CHECKPOINTS, add_data_argument, add_weights_argument
from scripts.training.breakhis import BreakHis, FieldImage, read
from scripts.training.crossval import Run
from scripts.training.field_svm import GAMMA, C, extract
from scripts.training.finetune import fine_tune
from scripts.training.pictures import prepare
from scripts.training.recipe import MAGNIFICATIONS, Recipe
from scripts.training.starting_weights import starting_weights

# Filed under ductal and under lobular carcinoma, on both sides of three official folds.
DOUBTFUL_SLIDE = "13412"

# Validation slides of the 4-class 40X task of the eva benchmark (kaiko), which
# gives 1,132 training and 339 validation images of the full set.
EVA_TYPES = ("TA", "MC", "F", "DC")
EVA_VALIDATION_SLIDES = frozenset(
    (
        *("18842D", "19979", "15275", "15792", "16875", "3909", "5287"),
        *("16716", "2773", "5695", "16184CD", "23060CD", "21998CD", "21998EF"),
    )
)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("split", choices=("official", "eva"))
    add_data_argument(parser)
    add_weights_argument(parser)
    args = parser.parse_args()
    if args.split == "eva":
        measured = eva(args.data, args.weights, Recipe())
    else:
        measured = official(args.data, args.weights, Recipe(), CHECKPOINTS / "official")
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
    images = [image for image in data.images if image.magnification in MAGNIFICATIONS]
    patients = np.array([image.patient for image in images])
    at_40x = np.array([image.magnification == 40 for image in images])
    run = Run.begin(images, starting_weights(weights)[0], recipe, work)
    folds: list[dict[str, Any]] = []
    for table in track(tables, "Training   "):
        trained, tested = (
            np.isin([image.path.stem for image in images], [Path(name).stem for name in side])
            for side in official_fold(table)
        )
        tested &= at_40x
        trained &= ~np.isin(patients, patients[tested])
        decisions = run.judge(f"official{len(folds) + 1}", trained, tested, recipe.seed)
        folds.append(_figures([images[i] for i in np.flatnonzero(tested)], decisions))
    return {"folds": folds, "notes": data.problems()}


def _table(root: Path, n: int) -> Path:
    for path in root.rglob(f"dsfold{n}.txt"):
        return path
    raise DataSetError(f"dsfold{n}.txt is not in {root}. Get the folds from the data set's page.")


def official_fold(table: Path) -> tuple[set[str], set[str]]:
    """Read one of the authors' folds (``dsfold1.txt`` to ``dsfold5.txt``).

    They split by slide; slide 13412 is on both sides in three of them.

    Parameters
    ----------
    table : Path
        Rows of ``file name|magnification|fold|train or test``.

    Returns
    -------
    train, test : set of str
        File names as in the official archive.
    """
    sides: dict[str, set[str]] = {"train": set(), "test": set()}
    for line in table.read_text("utf-8").splitlines():
        name, _, _, side = line.strip().split("|")
        sides[side].add(name)
    return sides["train"], sides["test"]


def _figures(images: list[FieldImage], decisions: np.ndarray) -> dict[str, Any]:
    malignant = np.array([image.malignant for image in images])
    slides = np.array([image.slide for image in images])
    right = (decisions >= 0) == malignant
    result = {}
    for name, kept in (
        ("all", np.ones(len(images), bool)),
        (f"without slide {DOUBTFUL_SLIDE}", slides != DOUBTFUL_SLIDE),
    ):
        if len(set(malignant[kept])) < 2:
            raise DataSetError(
                "A fold has not both classes among its 40X test images. Use the full set."
            )
        by_slide = [right[slides == slide].mean() for slide in set(slides[kept])]
        result[name] = {
            "accuracy": float(right[kept].mean()),
            "auc": area_under_roc(decisions[kept], malignant[kept]),
            "recognition_rate": float(np.mean(by_slide)),
        }
    return result


def eva(root: Path, weights: Path | None, recipe: Recipe) -> dict[str, Any]:
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
    train_images = [image for image in train_images if image.patient not in patients]
    types = [[i.tumour_type for i in side] for side in (train_images, validation_images)]
    missing = set(types[0]) ^ set(types[1])
    if missing or not train_images:
        raise DataSetError(
            f"Not every type is on both sides of the split ({', '.join(sorted(missing))}). "
            "Use the full set."
        )
    train, validation = (
        [read(i, recipe.width, recipe.height) for i in track(side, "Reading    ")]
        for side in (train_images, validation_images)
    )
    start, _ = starting_weights(weights)
    learnt = {image.patient for image in train_images}
    trunk = fine_tune(prepare(train, start, recipe), learnt, start, recipe)
    vectors = [extract(trunk, np.stack([s.pixels for s in side])) for side in (train, validation)]
    svc = SVC(C=C, gamma=GAMMA, class_weight="balanced")
    classifier = make_pipeline(StandardScaler(), svc).fit(vectors[0], types[0])
    score = balanced_accuracy_score(types[1], classifier.predict(vectors[1]))
    return {
        "balanced_accuracy": float(score),
        "training_images": len(train),
        "validation_images": len(validation),
        "notes": data.problems(),
    }


def eva_split(images: Iterable[FieldImage]) -> tuple[list[FieldImage], list[FieldImage]]:
    """Split the 40X images of four tumour types as the eva benchmark does.

    Returns
    -------
    train, validation : list of FieldImage
        1,132 and 339 images of the full set.
    """
    used = [i for i in images if i.magnification == 40 and i.tumour_type in EVA_TYPES]
    validation = [i for i in used if i.slide in EVA_VALIDATION_SLIDES]
    return [i for i in used if i.slide not in EVA_VALIDATION_SLIDES], validation


if __name__ == "__main__":
    main()
