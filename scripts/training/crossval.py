"""Cross-validation by patient, one checkpoint a fold, so that a stopped run goes on."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track
from safetensors.numpy import save as save_arrays
from safetensors.torch import load_file, save
from torch import Tensor

from handler.resnet import Trunk
from handler.whole_file import write_whole
from scripts.training.breakhis import FieldImage, Sample, patient_folds, read
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


class CrossValidationPlan(NamedTuple):
    """How the figures are measured.

    Attributes
    ----------
    folds : int
        How many each cross-validation has.
    repetitions : int
        How often it is done, each time with other folds and another seed: with few
        patients the folds move the figures more than most changes of the recipe do.
    """

    folds: int
    repetitions: int


@dataclass(frozen=True)
class Run:
    """One training run: what it learns from, and where its checkpoints lie; see `begin`.

    Attributes
    ----------
    samples : list of Sample
        Of all magnifications.
    start : dict of str to Tensor
        Starting weights.
    recipe : Recipe
    folder : Path
    """

    samples: list[Sample]
    start: dict[str, Tensor]
    recipe: Recipe
    folder: Path

    @classmethod
    def begin(
        cls, images: Sequence[FieldImage], start: dict[str, Tensor], recipe: Recipe, folder: Path
    ) -> "Run":
        """Read the images, and make the folder ready.

        Parameters
        ----------
        images : sequence of FieldImage
        start : dict of str to Tensor
        recipe : Recipe
            It gets more steps for more images.
        folder : Path
            A run with the same images, weights and recipe is gone on with; the checkpoints of
            any other are deleted.
        """
        samples = [read(i, recipe.width, recipe.height) for i in track(images, "Reading    ")]
        n_used = sum(image.magnification in MAGNIFICATIONS for image in images)
        run = cls(samples, start, recipe.for_images(n_used), folder)
        settings, wanted = folder / SETTINGS, run._fingerprint()
        if not settings.exists() or settings.read_text("utf-8") != wanted:
            shutil.rmtree(folder / FITS, ignore_errors=True)
            write_whole(settings, wanted.encode())
        return run

    @cached_property
    def pictures(self) -> Pictures:
        """All pictures, through the frozen layers."""
        return prepare(self.samples, self.start, self.recipe)

    @cached_property
    def used(self) -> np.ndarray:
        """Which samples the SVM learns from and judges, bool of shape (n,)."""
        return np.array([s.image.magnification in MAGNIFICATIONS for s in self.samples])

    def folds(self, plan: CrossValidationPlan) -> np.ndarray:
        """Return the fold that holds each sample's patient out, int of (repetitions, n).

        Patients without a sample that is used are dealt to the first.
        """
        images = [sample.image for sample in self.samples]
        dealt = [
            patient_folds(list(compress(images, self.used)), plan.folds, self.recipe.seed + r)
            for r in range(plan.repetitions)
        ]
        return np.array([[fold_of.get(i.patient, 0) for i in images] for fold_of in dealt])

    def cross_validate(self, plan: CrossValidationPlan) -> OutOfFoldPredictions:
        """Judge every image, once a repetition, with a model that never saw its patient.

        Each repetition deals the patients into other folds and trains with another seed.
        """
        used, folds = self.used, self.folds(plan)
        decisions = np.empty(folds.shape)
        for r, k in track(list(np.ndindex(plan.repetitions, plan.folds)), "Training   "):
            held_out = used & (folds[r] == k)
            name, seed = fold_name(r, k, plan.folds), self.recipe.seed + r
            decisions[r, held_out] = self.judge(name, used & ~held_out, held_out, seed)
        rows = (
            (i.path.name, i.patient, i.tumour_type, i.magnification, i.malignant)
            for i in (sample.image for sample in compress(self.samples, used))
        )
        columns = map(np.array, zip(*rows, strict=True))
        return OutOfFoldPredictions(*[*columns, folds[:, used], decisions[:, used]])

    def tell_magnifications(self, plan: CrossValidationPlan) -> OutOfFoldKinds:
        """Ask of every image, sent as it is, whether it is a 40X field.

        Asked are classifiers that never saw its patient, of the folds of `cross_validate`;
        those of the first repetition are kept as checkpoints.
        """
        seen, as_sent, folds = self.pictures.seen, self.pictures.as_sent, self.folds(plan)
        log_odds, looks_like = np.empty(folds.shape), np.empty(folds.shape, int)
        patients = np.array([sample.image.patient for sample in self.samples])
        for r, k in track(list(np.ndindex(plan.repetitions, plan.folds)), "Magnification"):
            held_out = folds[r] == k
            classifier = fit_magnification(seen.only(~np.isin(seen.patients, patients[held_out])))
            log_odds[r, held_out] = classifier.log_odds(as_sent[held_out])
            looks_like[r, held_out] = classifier.looks_like(as_sent[held_out])
            if r == 0:
                folder = self.folder / FITS / fold_name(r, k, plan.folds)
                write_whole(folder / MAGNIFICATION, save_arrays(classifier.arrays()))
        return OutOfFoldKinds(
            patients,
            np.array([sample.image.magnification for sample in self.samples]),
            np.array([sample.is_original for sample in self.samples]),
            log_odds,
            looks_like,
        )

    def judge(self, name: str, training: np.ndarray, held_out: np.ndarray, seed: int) -> np.ndarray:
        """Fit on some samples, and decide others, if a checkpoint does not tell already.

        Parameters
        ----------
        name : str
            The split's; the checkpoint's folder.
        training, held_out : ndarray of bool, shape (n,)
        seed : int

        Returns
        -------
        ndarray, shape (number held out,)
        """
        checkpoint = self.folder / FITS / name / DECISIONS
        if not checkpoint.exists():
            trunk, classifier = self._fit(training, seed, checkpoint.parent)
            decisions = self._decide(trunk, classifier, held_out)
            write_whole(checkpoint, json.dumps(decisions.tolist()).encode())
        return np.array(json.loads(checkpoint.read_text("utf-8")))

    def final(self) -> tuple[Trunk, FieldClassifier]:
        """Fit on all patients."""
        folder = self.folder / FITS / "all"
        if (folder / CLASSIFIER).exists():
            return open_fold(folder)
        return self._fit(self.used, self.recipe.seed, folder)

    def _fit(self, training: np.ndarray, seed: int, folder: Path) -> tuple[Trunk, FieldClassifier]:
        pictures = self.pictures
        patients = {s.image.patient for s in compress(self.samples, training)}
        trunk = fine_tune(pictures, patients, self.start, replace(self.recipe, seed=seed))
        # Features are computed with the weights as they are served, in half precision.
        write_whole(folder / WEIGHTS, save(half(trunk)))
        trunk.resnet.load_state_dict(load_file(folder / WEIGHTS))
        own = [i for i, row in enumerate(pictures.rows) if row.patient in patients]
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

    def _fingerprint(self) -> str:
        pixels, weights = hashlib.sha256(), hashlib.sha256()
        for sample in self.samples:
            pixels.update(sample.image.path.name.encode())
            pixels.update(sample.pixels.tobytes() + sample.as_sent.tobytes())
        for name in sorted(self.start):
            weights.update(name.encode() + self.start[name].numpy().tobytes())
        settings = {
            "recipe": asdict(self.recipe),
            "magnifications": MAGNIFICATIONS,
            "samples": pixels.hexdigest(),
            "start": weights.hexdigest(),
        }
        return json.dumps(settings, indent=2)


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
