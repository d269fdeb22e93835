"""Judges one slide after another with one model, and writes what came of each."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from bulk.errors import BulkError, SlideUnusable
from bulk.progress import Progress
from bulk.slides import results
from bulk.slides.heat_map import HeatMap
from bulk.slides.options import SlideOptions
from bulk.slides.region import Region
from bulk.slides.scoring import ScoredField, score
from bulk.slides.slide import Slide
from bulk.slides.tiles import find_tiles
from handler.images import Field
from handler.manifest import TrainingField, read_manifest
from handler.model import Model
from handler.prediction import Prediction
from handler.settings import HandlerSettings


class Job(NamedTuple):
    """A slide, and the folder for its results."""

    path: Path
    folder: Path


Outcome = dict[str, Any] | BulkError
"""Of a slide: the summary as it was written, or why there is none."""


class SlideJudge:
    """Judges slides; opens the model when it is first needed.

    Parameters
    ----------
    model_store : Path
        Folder of the model.
    options : SlideOptions
    threads : int, optional
        Images that are worked on at a time; by default as the service does.

    Raises
    ------
    BadModel
        There is no model.
    RegionUnusable
    """

    def __init__(
        self, model_store: Path, options: SlideOptions, threads: int | None = None
    ) -> None:
        self._store = model_store
        self._options = options
        self._threads = threads
        self._region = Region.read(options.region) if options.region else None
        self.identity, manifest = read_manifest(model_store)
        self._training_field = TrainingField(**manifest["field"])

    @cached_property
    def _model(self) -> Model:
        settings = HandlerSettings.read()
        settings = replace(settings, threads=self._threads or settings.threads)
        return settings.open_model(self._store, gpu=0)

    def finished(self, job: Job) -> dict[str, Any] | None:
        """Return the summary that an earlier run has left, if this one would write the same."""
        origin = results.made_from(job.path, self._options)
        return results.finished(job.folder, origin, self.identity.sha256)

    def outcome(self, job: Job, console: Console) -> Outcome:
        """Judge a slide, and write its results.

        Parameters
        ----------
        job : Job
        console : Console
            For the progress.

        Raises
        ------
        OutputUnusable
        UnknownEngine, BadModel
            See `Model.open`.
        """
        try:
            return self._judge(job, console)
        except SlideUnusable as error:
            return error

    def _judge(self, job: Job, console: Console) -> dict[str, Any]:
        options = self._options
        with (
            Slide.open(job.path, self._training_field, options=options) as slide,
            results.room_for_results(job.folder),
        ):
            origin = results.made_from(job.path, options)
            model = self._model
            with console.status("Looking for tissue"):
                overview = slide.overview()
                least = model.tissue_limits.min_tissue
                tiles = find_tiles(slide, overview, least, options, self._region)
            heat_map = HeatMap(slide, overview, options.overlap)
            scored: list[ScoredField] = []
            with (
                Progress(len(tiles), "fields", console) as progress,
                closing(score(slide, tiles, self._classify, self._threads)) as fields,
            ):
                for each in fields:
                    scored.append(each)
                    heat_map.add(each)
                    progress.advance(1)
            return results.write(job.folder, slide.facts, scored, heat_map, origin)

    def _classify(self, fields: Sequence[np.ndarray]) -> list[Prediction]:
        return self._model.classify([Field(pixels) for pixels in fields], scale_is_known=True)
