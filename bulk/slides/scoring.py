"""Judges the fields of a slide, reading ahead while the model works."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import joblib
import numpy as np

from bulk.slides.slide import Slide, Tile
from handler.prediction import Prediction

# Fields that are judged together, and those that are read meanwhile: some 50 MB in all.
BATCH = 16
AHEAD = 2 * BATCH


Judge = Callable[[Sequence[np.ndarray]], Sequence[Prediction]]
"""From RGB fields, uint8 of shape (height, width, 3), to a prediction of each."""


class ScoredField(NamedTuple):
    """A field of the slide and what the model says of it."""

    tile: Tile
    answer: Prediction


def score(
    slide: Slide, tiles: Sequence[Tile], judge: Judge, threads: int | None = None
) -> Generator[ScoredField, None, None]:
    """Judge fields, a batch at a time.

    Closing the generator ends the work; close it before the slide, which its threads read.

    Parameters
    ----------
    slide : Slide
    tiles : sequence of Tile
    judge : Judge
    threads : int, optional
        That read; by default one for each core.

    Yields
    ------
    ScoredField
        In the order of `tiles`.

    Raises
    ------
    SlideUnusable
        The slide is damaged.
    """
    pool = ThreadPoolExecutor(threads or joblib.cpu_count())
    reading: deque[tuple[Tile, Future[np.ndarray]]] = deque()
    remaining = iter(tiles)

    def read_on(fields: int) -> None:
        for tile in islice(remaining, fields):
            reading.append((tile, pool.submit(slide.field, tile)))

    try:
        read_on(AHEAD)
        while reading:
            batch = [reading.popleft() for _ in range(min(BATCH, len(reading)))]
            read_on(len(batch))
            answers = judge([field.result() for _, field in batch])
            for (tile, _), answer in zip(batch, answers, strict=True):
                yield ScoredField(tile, answer)
    finally:
        pool.shutdown(cancel_futures=True)
