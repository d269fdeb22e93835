"""The versioned model: opens it, and classifies fields with it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load

from handler import CARD, EVALUATION, MANIFEST, PLOTS
from handler.decision import DecisionRule
from handler.engines import REFERENCE, open_engine
from handler.errors import BadModel
from handler.features import Engine
from handler.heatmap import HEATMAP_SCALE, grad_cam, overlay
from handler.images import Field, resize
from handler.light import in_standard_light
from handler.magnification import MagnificationClassifier
from handler.manifest import TrainingField, read_file, read_manifest
from handler.prediction import Attribution, ModelId, Prediction, Verdict
from handler.svm import Svm
from handler.tissue import (
    Likeness,
    TissueCheck,
    TissueLimits,
    TissueMeasures,
    check,
    distances,
    measure,
)
from handler.weights import Weights


class Include(NamedTuple):
    """The extras asked for with one image."""

    features: bool = False
    heatmap: bool = False
    field: bool = False
    attribution: bool = False

    @property
    def picture(self) -> bool:
        """Whether a picture for people is among them."""
        return self.heatmap or self.field


class Prepared(NamedTuple):
    """A field that can be judged.

    Attributes
    ----------
    field : Field
    seen : ndarray of uint8, shape (height, width, 3)
        What the model sees of it: RGB, landscape, of its input size, in the standard light.
    include : Include
        The extras asked for.
    """

    field: Field
    seen: np.ndarray
    include: Include


class Model:
    """Trunk, SVM, reference features and decision rule of one version.

    Use `Model.open`.
    """

    def __init__(
        self,
        identity: ModelId,
        manifest: dict[str, Any],
        engine: Engine,
        svm: Svm,
        reference_features: np.ndarray,
        *,
        magnification: MagnificationClassifier,
        evaluation: dict[str, Any],
        card: str,
        plots: dict[str, str],
        threads: int = 1,
    ) -> None:
        self.identity = identity
        self.manifest = manifest
        self.evaluation = evaluation
        self.card = card
        self.plots = plots
        self.engine = engine
        self._svm = svm
        self.reference_features = reference_features
        self._magnification = magnification
        self._rule = DecisionRule(**manifest["decision_rule"])
        self.tissue_limits = TissueLimits(**manifest["tissue_limits"])
        self.training_field = TrainingField(**manifest["field"])
        preprocessing = manifest["preprocessing"]
        self.size = (preprocessing["width"], preprocessing["height"])
        # Around the engine, which has threads of its own.
        self._pool = ThreadPoolExecutor(threads)

    @classmethod
    def open(
        cls, folder: Path, device: str = "cpu", *, engine: str = REFERENCE, threads: int = 1
    ) -> "Model":
        """Open a model after comparing its files with its manifest.

        Parameters
        ----------
        folder : Path
            Holds the manifest and the files it names.
        device : str
            A torch device.
        engine : str
            See `handler.engines.open_engine`.
        threads : int
            How many images are worked on at a time.

        Raises
        ------
        UnknownEngine
            There is no such engine.
        BadModel
            A file is missing, its sha256 is not the manifest's, or the figures are those
            of another model. Nothing of a changed file is unpickled.
        """
        identity, manifest = read_manifest(folder)
        weights, svm, references, magnification = (
            _verified(folder, manifest["files"][part])
            for part in ("weights", "svm", "references", "magnification")
        )
        evaluation = json.loads(read_file(folder / EVALUATION))
        if evaluation["model"] != {n: entry["sha256"] for n, entry in manifest["files"].items()}:
            raise BadModel(
                f"The figures in {EVALUATION} are those of another model. Run scripts.evaluate."
            )
        preprocessing = manifest["preprocessing"]
        return cls(
            identity,
            manifest,
            open_engine(
                engine,
                Weights.read(weights, preprocessing["mean"], preprocessing["std"]),
                size=(preprocessing["width"], preprocessing["height"]),
                maxima=manifest["activation_maxima"],
                device=device,
                threads=threads,
            ),
            Svm.from_pickle(svm),
            load(references)["vectors"].astype(np.float64),
            magnification=MagnificationClassifier.read(magnification),
            evaluation=evaluation,
            card=read_file(folder / CARD).decode("utf-8"),
            plots={
                svg.name: svg.read_text("utf-8") for svg in sorted((folder / PLOTS).glob("*.svg"))
            },
            threads=threads,
        )

    def describe(self) -> dict[str, Any]:
        """Return what is known of the model: identity, engine, manifest, figures, card, plots."""
        return {
            "model": vars(self.identity),
            "engine": self.engine.name,
            "manifest": self.manifest,
            "evaluation": self.evaluation,
            "card": self.card,
            "plots": self.plots,
        }

    def prepare(self, field: Field, include: Include = Include()) -> Prepared:
        """Do what each field needs by itself before it can be judged.

        Parameters
        ----------
        field : Field
        include : Include
            The extras asked for.
        """
        seen = in_standard_light(resize(_landscape(field.pixels), *self.size))
        return Prepared(field, seen, include)

    def classify(
        self,
        fields: Sequence[Field],
        include: Sequence[Include] | None = None,
        *,
        scale_is_known: bool = False,
    ) -> list[Prediction]:
        """Prepare and judge many fields; see `prepare` and `judge`."""
        include = include or [Include()] * len(fields)
        prepared = self._pool.map(self.prepare, fields, include)
        return self.judge(prepared, scale_is_known=scale_is_known)

    def judge(
        self, prepared: Iterable[Prepared], *, scale_is_known: bool = False
    ) -> list[Prediction]:
        """Classify many fields in one pass, which begins while later ones are being prepared.

        Parameters
        ----------
        prepared : iterable of Prepared
        scale_is_known : bool
            The fields are at the scale of 40x, as those of a slide are: their magnification
            is not guessed.

        Returns
        -------
        list of Prediction
            In the order of `prepared`.
        """
        taken: list[Prepared] = []
        measures: list[Future[TissueMeasures]] = []

        def inputs() -> Iterator[np.ndarray]:
            for each in prepared:
                taken.append(each)
                measures.append(self._pool.submit(measure, each.seen))
                yield each.seen

        coming = inputs()
        first = next(coming, None)
        if first is None:
            return []
        vectors, maps, textures = self.engine.extract(chain([first], coming))
        decisions = self._svm.decision_function(vectors)
        checks = [
            check(
                measured.result(),
                likeness,
                _aspect_ratio(each.field),
                self.tissue_limits,
                self.training_field,
            )
            for measured, likeness, each in zip(
                measures, self.likenesses(vectors, textures, scale_is_known), taken, strict=True
            )
        ]
        asked = any(any(each.include) for each in taken)
        extras = (self._pool.map if asked else map)(self._extras, taken, vectors, maps)
        return [
            Prediction(
                label=self._rule.label(decision),
                probability=self._rule.probability(decision),
                verdict=self._verdict(decision, tissue),
                decision=decision,
                warnings=each.field.warnings + tissue.warnings,
                model=self.identity,
                **extra,
            )
            for each, tissue, decision, extra in zip(
                taken, checks, decisions.tolist(), extras, strict=True
            )
        ]

    def likenesses(
        self, vectors: np.ndarray, textures: np.ndarray, scale_is_known: bool = False
    ) -> list[Likeness]:
        """Compare fields with those learnt from, by their features; see `Features`."""
        columns = (
            distances(vectors, self.reference_features),
            self._magnification.log_odds(textures, scale_is_known=scale_is_known),
            self._magnification.looks_like(textures, scale_is_known=scale_is_known),
        )
        return [Likeness(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]

    def _extras(
        self, prepared: Prepared, vector: np.ndarray, feature_map: np.ndarray
    ) -> dict[str, Any]:
        field, _, include = prepared
        extras: dict[str, Any] = {}
        if include.features:
            extras["features"] = vector
        if include.field:
            extras["field"] = field.to_jpeg()
        if include.heatmap or include.attribution:
            places = self._attribution(field, vector, feature_map)
            scale = self.manifest[HEATMAP_SCALE]
            if include.heatmap:
                extras["heatmap"] = overlay(field.picture, places, scale)
            if include.attribution:
                extras["attribution"] = Attribution(places, self._svm.base, scale)
        return extras

    def attribute(self, field: Field) -> tuple[np.ndarray, float]:
        """Tell what each place of a field adds to its decision.

        Returns
        -------
        attribution : ndarray of float32, shape (rows, columns)
            See `handler.heatmap.grad_cam`.
        decision : float
        """
        vectors, maps, _ = self.engine.extract([self.prepare(field).seen])
        decision = float(self._svm.decision_function(vectors)[0])
        return self._attribution(field, vectors[0], maps[0]), decision

    def _attribution(self, field: Field, vector: np.ndarray, feature_map: np.ndarray) -> np.ndarray:
        cam = grad_cam(self._svm.path_gradient(vector), feature_map, self._svm.reference)
        return np.rot90(cam, -1) if _is_portrait(field.pixels) else cam

    def _verdict(self, decision: float, tissue: TissueCheck) -> Verdict:
        if not tissue.in_distribution:
            return "rejected"
        return self._rule.verdict(decision)


def _aspect_ratio(field: Field) -> float:
    sides = field.pixels.shape[:2]
    return max(sides) / min(sides)


def _is_portrait(pixels: np.ndarray) -> bool:
    return pixels.shape[0] > pixels.shape[1]


def _landscape(pixels: np.ndarray) -> np.ndarray:
    """Turn a portrait field, which the resizing would squash; tissue has no up and down."""
    return np.ascontiguousarray(np.rot90(pixels)) if _is_portrait(pixels) else pixels


def _verified(folder: Path, entry: dict[str, str]) -> bytes:
    data = read_file(folder / entry["name"])
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise BadModel(
            f"{entry['name']} is not the file that {MANIFEST} names (sha256 differs). "
            "Restore the model from a trusted copy or train it again."
        )
    return data
