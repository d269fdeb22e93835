"""Cross-validation by patient, one checkpoint a fold, so that a stopped run goes on."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from safetensors.numpy import save as save_arrays
from safetensors.torch import load_file, save
from torch import Tensor

from handler.resnet import Trunk
from handler.whole_file import write_whole
from scripts.training.breakhis import Sample, patient_folds
from scripts.training.field_svm import FieldClassifier, fit_svm, last_features
from scripts.training.finetune import fine_tune
from scripts.training.magnification import OutOfFoldKinds, fit_magnification
from scripts.training.out_of_fold import OutOfFoldPredictions
from scripts.training.pictures import Pictures, prepare
from scripts.training.recipe import MAGNIFICATIONS, MEAN, STD, Recipe

SETTINGS = "settings.json"
FITS = "fits"
WEIGHTS = "weights.safetensors"
CLASSIFIER = "classifier.pkl"
DECISIONS = "decisions.json"
MAGNIFICATION = "magnification.safetensors"


@dataclass(frozen=True)
class Run:
    """One training run: what it learns from, and where its checkpoints lie.

    Attributes
    ----------
    samples : list of Sample
        Of all magnifications.
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

    @cached_property
    def pictures(self) -> Pictures:
        """All pictures, through the frozen layers."""
        return prepare(self.samples, self.start, self.recipe)

    def cross_validate(
        self, n_folds: int, n_repetitions: int, on_step: Callable[[], None]
    ) -> OutOfFoldPredictions:
        """Judge every image, once a repetition, with a model that never saw its patient.

        Each repetition deals the patients into other folds and trains with another seed.
        """
        used = self.used()
        images = list(compress((sample.image for sample in self.samples), used))
        decisions = np.empty((n_repetitions, len(images)))
        folds = self.folds(n_folds, n_repetitions)[:, used]
        for r, k in np.ndindex(n_repetitions, n_folds):
            held_out = np.zeros(len(used), bool)
            held_out[used] = folds[r] == k
            seed = self.recipe.seed + r
            name = fold_name(r, k, n_folds)
            judged = self.judge(name, used & ~held_out, held_out, seed, on_step)
            decisions[r, folds[r] == k] = judged
        return OutOfFoldPredictions(
            np.array([image.path.name for image in images]),
            np.array([image.patient for image in images]),
            np.array([image.tumour_type for image in images]),
            np.array([image.malignant for image in images]),
            np.array([image.magnification for image in images]),
            folds,
            decisions,
        )

    def used(self) -> np.ndarray:
        """Tell which samples the SVM learns from and judges, bool of shape (n,)."""
        return np.array([s.image.magnification in MAGNIFICATIONS for s in self.samples])

    def folds(self, n_folds: int, n_repetitions: int) -> np.ndarray:
        """Return the fold that holds each sample's patient out, int of (repetitions, n).

        A patient without a sample that is used is in no fold: -1.
        """
        images = [sample.image for sample in self.samples]
        dealt = [
            patient_folds(list(compress(images, self.used())), n_folds, self.recipe.seed + r)
            for r in range(n_repetitions)
        ]
        return np.array([[fold_of.get(i.patient, -1) for i in images] for fold_of in dealt])

    def tell_magnifications(self, n_folds: int, n_repetitions: int) -> OutOfFoldKinds:
        """Ask of every image, sent as it is, whether it is a 40X field.

        Asked are classifiers that never saw its patient, of the folds of `cross_validate`;
        those of the first repetition are kept as checkpoints.
        """
        pictures = self.pictures
        folds = self.folds(n_folds, n_repetitions)
        log_odds, looks_like = np.empty(folds.shape), np.empty(folds.shape, int)
        patients = np.array([sample.image.patient for sample in self.samples])
        for r, k in track(list(np.ndindex(n_repetitions, n_folds)), "Magnification"):
            held_out = folds[r] == k
            # Patients in no fold are judged by the model of the first.
            held_out |= (folds[r] == -1) & (k == 0)
            learnt = ~np.isin(pictures.seen.patients, patients[held_out])
            classifier = fit_magnification(pictures.seen.only(learnt))
            log_odds[r, held_out] = classifier.log_odds(pictures.as_sent[held_out])
            looks_like[r, held_out] = classifier.looks_like(pictures.as_sent[held_out])
            if r == 0:
                folder = self.folder / FITS / fold_name(r, k, n_folds)
                write_whole(folder / MAGNIFICATION, save_arrays(classifier.arrays()))
        return OutOfFoldKinds(
            patients,
            np.array([sample.image.magnification for sample in self.samples]),
            np.array([sample.is_original for sample in self.samples]),
            log_odds,
            looks_like,
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
            decisions = self._decide(trunk, classifier, held_out)
            write_whole(checkpoint, json.dumps(decisions.tolist()).encode())
        return np.array(json.loads(checkpoint.read_text("utf-8")))

    def final(self, on_step: Callable[[], None]) -> tuple[Trunk, FieldClassifier]:
        """Fit on all patients."""
        folder = self.folder / FITS / "all"
        if (folder / CLASSIFIER).exists():
            self._skip(on_step)
            return open_fold(folder)
        return self._fit(self.used(), self.recipe.seed, folder, on_step)

    def _fit(
        self, training: np.ndarray, seed: int, folder: Path, on_step: Callable[[], None]
    ) -> tuple[Trunk, FieldClassifier]:
        recipe, pictures = replace(self.recipe, seed=seed), self.pictures
        patients = {s.image.patient for s in compress(self.samples, training)}
        groups = {key: group for key, group in pictures.groups.items() if key[0] in patients}
        trunk = fine_tune(pictures.crops, groups, self.start, recipe, on_step)
        # Features are computed with the weights as they are served, in half precision.
        write_whole(folder / WEIGHTS, save(half(trunk)))
        trunk.resnet.load_state_dict(load_file(folder / WEIGHTS))
        own = [i for i, row in enumerate(pictures.rows) if row[0] in patients]
        vectors = last_features(trunk, pictures.fields.maps[own])
        classifier = fit_svm(vectors, [pictures.rows[i] for i in own])
        write_whole(folder / CLASSIFIER, pickle.dumps(classifier))
        return trunk, classifier

    def _decide(self, trunk: Trunk, classifier: FieldClassifier, chosen: np.ndarray) -> np.ndarray:
        """Decide some samples, of those that are used; shape (number chosen,)."""
        decisions = np.empty(len(self.samples))
        for magnification, (places, fields) in self.pictures.judged.items():
            own = chosen[places]
            if own.any():
                vectors = last_features(trunk, fields.maps[own])
                decisions[places[own]] = classifier.decision_function(vectors, magnification)
        return decisions[chosen]

    def _skip(self, on_step: Callable[[], None]) -> None:
        for _ in range(self.recipe.steps * self.recipe.soup):
            on_step()

    def _fingerprint(self) -> dict[str, Any]:
        pixels, weights = hashlib.sha256(), hashlib.sha256()
        for sample in self.samples:
            pixels.update(sample.image.path.name.encode())
            pixels.update(sample.pixels.tobytes() + sample.as_sent.tobytes())
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
