"""Compare sizes of the model's input, by patient-wise cross-validation without averaging.

python -m scripts.compare_inputs --data FOLDER
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scripts.evaluation.figures import area_under_roc
from scripts.paths import CHECKPOINTS, add_data_argument, add_weights_argument
from scripts.train import PLAN
from scripts.training.breakhis import BreakHis
from scripts.training.crossval import Run
from scripts.training.out_of_fold import OutOfFoldPredictions
from scripts.training.recipe import MAGNIFICATIONS, Recipe
from scripts.training.starting_weights import starting_weights

# Width and height of the input, and the crops in proportion, in steps of layer3's 16 pixels.
SIZES = ((160, 104, 96), (176, 116, 96), (224, 148, 128), (256, 168, 144), (352, 224, 128))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    add_weights_argument(parser)
    args = parser.parse_args()
    print("| input | crops | magnification | AUC by image | AUC by patient |")
    print("| --- | --- | --- | --- | --- |")
    for width, height, crop in SIZES:
        recipe = Recipe(width=width, height=height, crop=crop, soup=1)
        predictions = judge(args.data, args.weights, recipe)
        for magnification, *aucs in rows(predictions):
            print(f"| {width} x {height} | {crop} | {magnification}X |", *aucs, sep=" ")


def judge(root: Path, weights: Path | None, recipe: Recipe) -> OutOfFoldPredictions:
    """Judge every image with models of this recipe that never saw its patient."""
    images = [i for i in BreakHis(root).images if i.magnification in MAGNIFICATIONS]
    start, _ = starting_weights(weights)
    run = Run.begin(images, start, recipe, CHECKPOINTS / f"input-{recipe.width}")
    return run.cross_validate(PLAN)


def rows(predictions: OutOfFoldPredictions) -> Iterator[tuple[int, str, str]]:
    """Measure by magnification: mean and each repetition of the AUC by image and by patient."""
    for magnification in MAGNIFICATIONS:
        at = predictions.at(magnification)
        means = at.by_patient(at.decisions)
        by_image, by_patient = (
            [area_under_roc(row, classes) for row in decisions]
            for decisions, classes in (
                (at.decisions, at.malignant),
                (means, at.class_of_patients()),
            )
        )
        yield magnification, _mean_and_each(by_image), _mean_and_each(by_patient)


def _mean_and_each(aucs: list[float]) -> str:
    return f"{np.mean(aucs):.3f} ({', '.join(f'{auc:.2f}' for auc in aucs)}) |"


if __name__ == "__main__":
    main()
