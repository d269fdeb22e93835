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

import numpy as np

from handler import EVALUATION, MANIFEST, PLOTS
from handler.decision import DecisionRule
from handler.whole_file import write_whole
from scripts.evaluation import plots
from scripts.evaluation.card import write_card
from scripts.evaluation.faithfulness import faithfulness
from scripts.evaluation.figures import from_decisions
from scripts.evaluation.held_out import held_out_fields
from scripts.evaluation.magnification import magnification_figures
from scripts.evaluation.ood_detection import ood_detection
from scripts.evaluation.robustness import engine_agreement, robustness
from scripts.paths import (
    CHECKPOINTS,
    MODEL_STORE,
    OUT_OF_FOLD,
    OUT_OF_FOLD_KINDS,
    add_data_argument,
)
from scripts.training.calibration import held_out_probabilities
from scripts.training.magnification import OutOfFoldKinds
from scripts.training.out_of_fold import OutOfFoldPredictions

# Robustness and heat maps are measured on this many 40X fields at most, evenly spaced: each
# takes about two seconds.
MAX_FIELDS = 200


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    evaluate(parser.parse_args().data, CHECKPOINTS / "full", MODEL_STORE)


def evaluate(root: Path, work: Path, model_store: Path, max_fields: int = MAX_FIELDS) -> None:
    """Measure, and write ``evaluation.json``, the plots and the model card.

    Parameters
    ----------
    root : Path
        Folder of the data set.
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
    predictions = OutOfFoldPredictions.from_json((model_store / OUT_OF_FOLD).read_text("utf-8"))
    kinds = OutOfFoldKinds.from_json((model_store / OUT_OF_FOLD_KINDS).read_text("utf-8"))
    rule = DecisionRule(**manifest["decision_rule"])
    probabilities = held_out_probabilities(predictions)
    at_40x = predictions.at(40)
    every = -(-len(at_40x.names) // max_fields)
    at_40x = at_40x.only(np.arange(len(at_40x.names)) % every == 0)
    fields = held_out_fields(root, work, manifest, predictions, at_40x)
    evaluation = {
        "model": {part: entry["sha256"] for part, entry in manifest["files"].items()},
        **from_decisions(predictions, probabilities, rule),
        "magnification_check": magnification_figures(kinds),
        "engine": engine_agreement(fields),
        "robustness": robustness(fields, at_40x),
        "heatmap": faithfulness(fields, at_40x),
        "rejection": ood_detection(fields),
    }
    write_whole(model_store / EVALUATION, json.dumps(evaluation, indent=1).encode())
    for name, svg in plots.draw(predictions, probabilities, rule, evaluation).items():
        write_whole(model_store / PLOTS / name, svg)
    write_card(model_store)


if __name__ == "__main__":
    main()
