"""Cross-validation by patient, one checkpoint a fold, so that a stopped run goes on."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from handler.resnet import Trunk
from handler.whole_file import write_whole
from scripts.training.breakhis import Sample, patient_folds
from scripts.training.field_svm import FieldClassifier, decide, fit_svm
from scripts.training.finetune import fine_tune
from scripts.training.out_of_fold import OutOfFoldPredictions
from scripts.training.recipe import MAGNIFICATIONS, MEAN, STD, Recipe

SETTINGS = "settings.json"
FITS = "fits"
WEIGHTS = "weights.safetensors"
CLASSIFIER = "classifier.pkl"
DECISIONS = "decisions.json"


@dataclass(frozen=True)
class Run:
    """One training run: what it learns from, and where its checkpoints lie.

    Attributes
    ----------
    samples : list of Sample
    start : dict of str to Tensor
        Starting weights.
    recipe : Recipe
    folder : Path
        A run with the same samples, weights and recipe resumes here; any other
        starts anew.
    """

    samples: list[Sample]
    start: dict[str, Tensor]
    recipe: Recipe
    folder: Path

    def prepare(self) -> None:
        """Make the folder ready, deleting the checkpoints of another run."""
        settings = self.folder / SETTINGS
        wanted = json.dumps(self._fingerprint(), indent=2)
        if settings.exists() and settings.read_text("utf-8") == wanted:
            return
        if (self.folder / FITS).exists():
            shutil.rmtree(self.folder / FITS)
        write_whole(settings, wanted.encode())

    def cross_validate(
        self, n_folds: int, n_repetitions: int, on_step: Callable[[], None]
    ) -> OutOfFoldPredictions:
        """Judge every image, once a repetition, with a model that never saw its patient.

        Each repetition deals the patients into other folds and trains with another seed.
        """
        images = [sample.image for sample in self.samples]
        decisions = np.empty((n_repetitions, len(images)))
        folds = np.empty((n_repetitions, len(images)), int)
        for r in range(n_repetitions):
            seed = self.recipe.seed + r
            fold_of = patient_folds(images, n_folds, seed)
            folds[r] = [fold_of[image.patient] for image in images]
            for k in range(n_folds):
                held_out = folds[r] == k
                name = fold_name(r, k, n_folds)
                decisions[r, held_out] = self.judge(name, ~held_out, held_out, seed, on_step)
        return OutOfFoldPredictions(
            np.array([image.path.name for image in images]),
            np.array([image.patient for image in images]),
            np.array([image.tumour_type for image in images]),
            np.array([image.malignant for image in images]),
            np.array([image.magnification for image in images]),
            folds,
            decisions,
        )

    def judge(
        self,
        name: str,
        training: np.ndarray,
        held_out: np.ndarray,
        seed: int,
        on_step: Callable[[], None],
    ) -> np.ndarray:
        """Fit on some samples, and decide others.

        Parameters
        ----------
        name : str
            The split's; the checkpoint's folder.
        training, held_out : ndarray of bool, shape (n,)
        seed : int
        on_step : callable

        Returns
        -------
        ndarray, shape (number held out,)
        """
        checkpoint = self.folder / FITS / name / DECISIONS
        if checkpoint.exists():
            self._skip(on_step)
        else:
            trunk, classifier = self._fit(training, seed, checkpoint.parent, on_step)
            samples = list(compress(self.samples, held_out))
            decisions = decide(trunk, classifier, samples, self.recipe)
            write_whole(checkpoint, json.dumps(decisions.tolist()).encode())
        return np.array(json.loads(checkpoint.read_text("utf-8")))

    def final(self, on_step: Callable[[], None]) -> tuple[Trunk, FieldClassifier]:
        """Fit on all patients."""
        folder = self.folder / FITS / "all"
        if (folder / CLASSIFIER).exists():
            self._skip(on_step)
            return open_fold(folder)
        everyone = np.ones(len(self.samples), bool)
        return self._fit(everyone, self.recipe.seed, folder, on_step)

    def _fit(
        self, training: np.ndarray, seed: int, folder: Path, on_step: Callable[[], None]
    ) -> tuple[Trunk, FieldClassifier]:
        samples, recipe = list(compress(self.samples, training)), replace(self.recipe, seed=seed)
        trunk = fine_tune(samples, self.start, recipe, on_step)
        # Features are computed with the weights as they are served, in half precision.
        write_whole(folder / WEIGHTS, save(half(trunk)))
        trunk.resnet.load_state_dict(load_file(folder / WEIGHTS))
        classifier = fit_svm(trunk, samples, recipe)
        write_whole(folder / CLASSIFIER, pickle.dumps(classifier))
        return trunk, classifier

    def _skip(self, on_step: Callable[[], None]) -> None:
        for _ in range(self.recipe.steps):
            on_step()

    def _fingerprint(self) -> dict[str, Any]:
        pixels, weights = hashlib.sha256(), hashlib.sha256()
        for sample in self.samples:
            pixels.update(sample.image.path.name.encode() + sample.pixels.tobytes())
        for name in sorted(self.start):
            weights.update(name.encode() + self.start[name].numpy().tobytes())
        return {
            "recipe": asdict(self.recipe),
            "magnifications": MAGNIFICATIONS,
            "samples": pixels.hexdigest(),
            "start": weights.hexdigest(),
        }


def fold_name(repetition: int, fold: int, n_folds: int) -> str:
    """Name one fold's checkpoint, a folder in `FITS` of the run's."""
    return f"repetition{repetition}-fold{fold}of{n_folds}"


def open_fold(folder: Path) -> tuple[Trunk, FieldClassifier]:
    """Open the checkpoint of one fold; only of a run of one's own, for it is unpickled."""
    trunk = Trunk(MEAN, STD)
    trunk.resnet.load_state_dict(load_file(folder / WEIGHTS))
    return trunk.eval(), pickle.loads((folder / CLASSIFIER).read_bytes())


def half(trunk: Trunk) -> dict[str, Tensor]:
    """Return the weights in half precision; every figure is measured with them so rounded."""
    return {
        name: (v.to(torch.float16) if v.is_floating_point() else v).cpu().contiguous()
        for name, v in trunk.resnet.state_dict().items()
    }
