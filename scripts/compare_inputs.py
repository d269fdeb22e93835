"""Compare sizes of the model's input, by patient-wise cross-validation without averaging.

python -m scripts.compare_inputs --data FOLDER
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import Progress, track

from scripts.errors import ScriptError
from scripts.evaluation.figures import area_under_roc
from scripts.paths import CHECKPOINTS, add_data_argument
from scripts.train import PLAN
from scripts.training.breakhis import BreakHis, read
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
    parser.add_argument("--weights", type=Path, help="starting weights, as for scripts.train")
    args = parser.parse_args()
    print("| input | crops | magnification | AUC by image | AUC by patient |")
    print("| --- | --- | --- | --- | --- |")
    try:
        for width, height, crop in SIZES:
            recipe = Recipe(width=width, height=height, crop=crop, soup=1)
            predictions = judge(args.data, args.weights, recipe)
            for magnification, *aucs in rows(predictions):
                print(f"| {width} x {height} | {crop} | {magnification}X |", *aucs, sep=" ")
    except ScriptError as error:
        parser.exit(1, f"{error}\n")


def judge(root: Path, weights: Path | None, recipe: Recipe) -> OutOfFoldPredictions:
    """Judge every image with models of this recipe that never saw its patient."""
    images = [i for i in BreakHis(root).images if i.magnification in MAGNIFICATIONS]
    samples = [read(image, recipe.width, recipe.height) for image in track(images, "Reading ")]
    start, _ = starting_weights(weights)
    recipe = recipe.for_images(len(samples))
    run = Run(samples, start, recipe, CHECKPOINTS / f"input-{recipe.width}")
    run.prepare()
    with Progress() as progress:
        steps = PLAN.folds * PLAN.repetitions * recipe.steps
        task = progress.add_task("Training", total=steps)
        return run.cross_validate(PLAN.folds, PLAN.repetitions, lambda: progress.advance(task))


def rows(predictions: OutOfFoldPredictions) -> Iterator[tuple[int, str, str]]:
    """Measure by magnification: mean and each repetition of the AUC by image and by patient."""
    for magnification in MAGNIFICATIONS:
        at = predictions.at(magnification)
        members = at.members()
        means = np.stack([at.decisions[:, own].mean(axis=1) for own in members], axis=1)
        of_class = np.array([at.malignant[own[0]] for own in members])
        by_image, by_patient = (
            [area_under_roc(row, classes) for row in decisions]
            for decisions, classes in ((at.decisions, at.malignant), (means, of_class))
        )
        yield magnification, _mean_and_each(by_image), _mean_and_each(by_patient)


def _mean_and_each(aucs: list[float]) -> str:
    return f"{np.mean(aucs):.3f} ({', '.join(f'{auc:.2f}' for auc in aucs)}) |"


if __name__ == "__main__":
    main()
