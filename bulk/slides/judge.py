"""Judges one slide after another with one model, and writes what came of each."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class SlideJudge:
    """Judges slides. The model is opened when it is first needed.

    Attributes
    ----------
    model_store : Path
        Folder of the model.
    options : SlideOptions
    threads : int or None
        Images that are worked on at a time; None for as many as the service does.
    quiet : bool
        Whether to show no progress.
    """

    model_store: Path
    options: SlideOptions
    threads: int | None = None
    quiet: bool = False

    @cached_property
    def _model(self) -> Model:
        settings = HandlerSettings.read()
        settings = replace(settings, threads=self.threads or settings.threads)
        return settings.open_model(self.model_store, gpu=0)

    def __call__(self, jobs: Sequence[Job]) -> list[tuple[Job, Outcome]]:
        """Judge slides, and write the results of each.

        Raises
        ------
        OutputUnusable, RegionUnusable
        UnknownEngine, BadModel
            See `Model.open`.
        """
        outcomes: list[Outcome] = []
        for job in jobs:
            try:
                outcomes.append(self._judge(job))
            except SlideUnusable as error:
                outcomes.append(error)
        return list(zip(jobs, outcomes, strict=True))

    def _judge(self, job: Job) -> dict[str, Any]:
        options = self.options
        console = Console(stderr=True, quiet=self.quiet)
        _, manifest = read_manifest(self.model_store)
        region = Region.read(options.region) if options.region else None
        with (
            Slide.open(job.path, TrainingField(**manifest["field"]), options=options) as slide,
            results.room_for_results(job.folder),
        ):
            origin = results.made_from(job.path, options)
            model = self._model
            with console.status("Looking for tissue"):
                overview = slide.overview()
                tiles = find_tiles(slide, overview, model.tissue_limits.min_tissue, options, region)
            heat_map = HeatMap(slide, overview, options.overlap)
            scored: list[ScoredField] = []
            with (
                Progress(len(tiles), "fields", console) as progress,
                closing(score(slide, tiles, self._classify, self.threads)) as fields,
            ):
                for each in fields:
                    scored.append(each)
                    heat_map.add(each)
                    progress.count(1)
            return results.write(job.folder, slide.facts, scored, heat_map, origin)

    def _classify(self, fields: Sequence[np.ndarray]) -> list[Prediction]:
        return self._model.classify([Field(pixels) for pixels in fields], scale_is_known=True)
