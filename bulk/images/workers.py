"""Scores on this machine, in processes of one core each."""

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from bulk.errors import ModelUnusable
from bulk.images.listing import ImageFile
from bulk.images.table import Row

# Workers are copies of one process that has imported what they need, which takes seconds.
FORK_SERVER = get_context("forkserver")
FORK_SERVER.set_forkserver_preload(["bulk.images.scorer"])

if TYPE_CHECKING:  # this process needs no model
    from bulk.images.scorer import Scorer


class Worker:
    """A process that holds the model, and scores a chunk of images at a time.

    A pool of its own, so that its end tells what it was working on, and harms no other.

    Parameters
    ----------
    model_store : Path
    first : sequence of ImageFile
        What it is to score once the model is open.

    Attributes
    ----------
    task : Future
        What it is doing: opening the model, or scoring a chunk.
    """

    def __init__(self, model_store: Path, first: Sequence[ImageFile]) -> None:
        self._model_store = model_store
        self.first: Sequence[ImageFile] | None = first
        self._pool = ProcessPoolExecutor(1, FORK_SERVER, initializer=_watch_parent)
        # Ctrl-C goes to all processes of a terminal, and is this one's to answer. What is
        # blocked here stays so in a process that is started meanwhile.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self.task = self._pool.submit(_score, model_store, [])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])

    def score(self, chunk: Sequence[ImageFile]) -> None:
        """Begin with a chunk."""
        self.first = None
        self.task = self._pool.submit(_score, self._model_store, chunk)

    def end(self) -> None:
        """End the process once it has done what it is doing."""
        self._pool.shutdown()


def score(
    model_store: Path, number: int, chunks: Iterator[Sequence[ImageFile]]
) -> Iterator[list[Row]]:
    """Score images in several processes.

    A worker that ends is replaced, and the chunk that it was working on left out.

    Parameters
    ----------
    model_store : Path
    number : int
        How many workers, at most.
    chunks : iterator of sequence of ImageFile
        One is taken whenever a worker has nothing to do.

    Yields
    ------
    list of Row
        The rows of one chunk.

    Raises
    ------
    BadModel
        See `Scorer`.
    ModelUnusable
        A worker ended while it opened the model.
    """
    busy = [Worker(model_store, chunk) for chunk in islice(chunks, number)]
    try:
        while busy:
            wait([worker.task for worker in busy], return_when=FIRST_COMPLETED)
            for worker in [worker for worker in busy if worker.task.done()]:
                try:
                    rows = worker.task.result()
                except BrokenProcessPool:
                    if worker.first:
                        raise ModelUnusable(
                            "A worker ended while it opened the model, perhaps for want of "
                            "memory. Try again with fewer --workers."
                        ) from None
                    busy.remove(worker)
                    busy += [Worker(model_store, chunk) for chunk in islice(chunks, 1)]
                    continue
                chunk = worker.first or next(chunks, None)
                if chunk:
                    try:
                        worker.score(chunk)
                    except BrokenProcessPool:  # it has ended since its last answer
                        busy.remove(worker)
                        busy.append(Worker(model_store, chunk))
                else:
                    busy.remove(worker)
                    worker.end()
                if rows:  # none, if it has just opened the model
                    yield rows
    finally:
        for worker in busy:
            worker.end()


def _watch_parent() -> None:
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker waits for work through a pipe that it holds both ends of, so it would not notice.
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@cache
def _scorer(model_store: Path) -> "Scorer":
    from bulk.images.scorer import Scorer  # noqa: PLC0415 # only the workers need the model

    return Scorer(model_store)


def _score(model_store: Path, chunk: Sequence[ImageFile]) -> list[Row]:
    return _scorer(model_store).score(chunk)
