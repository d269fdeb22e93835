"""Cross-validation by patient, one checkpoint a fold, so that a stopped run goes on."""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from handler.resnet import Trunk
from scripts.learning.breakhis import patient_folds
from scripts.learning.field_svm import FieldClassifier, decide, fit_svm
from scripts.learning.finetune import MAGNIFICATIONS, MEAN, STD, Recipe, Sample, fine_tune

SETTINGS = "settings.json"
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
    n_folds : int
    folder : Path
        A run with the same samples, weights and settings resumes here; any other
        starts anew.
    """

    samples: list[Sample]
    start: dict[str, Tensor]
    recipe: Recipe
    n_folds: int
    folder: Path

    def prepare(self) -> None:
        """Make the folder ready, deleting the checkpoints of another run."""
        settings = self.folder / SETTINGS
        wanted = json.dumps(self._fingerprint(), indent=2)
        if settings.exists() and settings.read_text("utf-8") == wanted:
            return
        for fold in self.folder.glob("fold*"):
            for file in fold.iterdir():
                file.unlink()
            fold.rmdir()
        write(settings, wanted.encode())

    def out_of_fold(self, on_step: Callable[[], None]) -> list[dict[str, Any]]:
        """Decide every image with a model that never saw its patient.

        Returns
        -------
        list of dict
            ``name``, ``patient``, ``tumour_type``, ``magnification``, ``malignant``,
            ``fold``, ``decision``.
        """
        folds = patient_folds([s.image for s in self.samples], self.n_folds, self.recipe.seed)
        rows = []
        for k in range(self.n_folds):
            checkpoint = self.folder / f"fold{k}" / DECISIONS
            if checkpoint.exists():
                for _ in range(self.recipe.steps):
                    on_step()
            else:
                training = [s for s in self.samples if folds[s.image.patient] != k]
                held_out = [s for s in self.samples if folds[s.image.patient] == k]
                trunk, classifier = self._fit(training, checkpoint.parent, on_step)
                decisions = decide(trunk, classifier, held_out, self.recipe)
                decided = [
                    {
                        "name": s.image.path.name,
                        "patient": s.image.patient,
                        "tumour_type": s.image.tumour_type,
                        "magnification": s.image.magnification,
                        "malignant": s.image.malignant,
                        "fold": k,
                        "decision": float(d),
                    }
                    for s, d in zip(held_out, decisions, strict=True)
                ]
                write(checkpoint, json.dumps(decided, indent=1).encode())
            rows += json.loads(checkpoint.read_text("utf-8"))
        return rows

    def final(self, on_step: Callable[[], None]) -> tuple[Trunk, FieldClassifier]:
        """Fit on all patients."""
        folder = self.folder / "fold_all"
        if (folder / CLASSIFIER).exists():
            for _ in range(self.recipe.steps):
                on_step()
            return open_fold(folder)
        return self._fit(self.samples, folder, on_step)

    def _fit(
        self, samples: list[Sample], folder: Path, on_step: Callable[[], None]
    ) -> tuple[Trunk, FieldClassifier]:
        trunk = fine_tune(samples, self.start, self.recipe, on_step)
        # Features are computed with the weights as they are served, in half precision.
        write(folder / WEIGHTS, save(half(trunk)))
        trunk.resnet.load_state_dict(load_file(folder / WEIGHTS))
        classifier = fit_svm(trunk, samples, self.recipe)
        write(folder / CLASSIFIER, pickle.dumps(classifier))
        return trunk, classifier

    def _fingerprint(self) -> dict[str, Any]:
        pixels, weights = hashlib.sha256(), hashlib.sha256()
        for sample in self.samples:
            pixels.update(sample.image.path.name.encode() + sample.pixels.tobytes())
        for name in sorted(self.start):
            weights.update(name.encode() + self.start[name].numpy().tobytes())
        return {
            "recipe": self.recipe.to_json(),
            "folds": self.n_folds,
            "magnifications": MAGNIFICATIONS,
            "samples": pixels.hexdigest(),
            "start": weights.hexdigest(),
        }


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


def write(path: Path, content: bytes) -> None:
    """Write a file as a whole: under a temporary name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
