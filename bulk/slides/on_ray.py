"""Judges slides on a Ray cluster, each on one core."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import ray
from rich.console import Console

from bulk.errors import WorkerEnded
from bulk.slides.judge import Job, Outcome, SlideJudge
from bulk.slides.options import SlideOptions


def judge(
    model_store: Path, options: SlideOptions, jobs: Iterable[Job]
) -> Iterator[tuple[Job, Outcome]]:
    """Judge slides on the cluster that this process is connected to.

    Parameters
    ----------
    model_store : Path
        As the cluster's machines see it, as are all paths.
    options : SlideOptions
    jobs : iterable of Job

    Yields
    ------
    Job
        In the order in which they end.
    Outcome

    Raises
    ------
    OutputUnusable, UnknownEngine, BadModel
        See `SlideJudge.outcome`.
    """
    task = ray.remote(num_cpus=1, max_retries=1)(_judge)
    running = {task.remote(model_store.absolute(), options, _absolute(job)): job for job in jobs}
    while running:
        (done,), _ = ray.wait([*running])
        job = running.pop(done)
        try:
            yield job, ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError:
            yield job, WorkerEnded("Every worker that read this slide ended. Look at it with care.")


def _absolute(job: Job) -> Job:
    return Job(job.path.absolute(), job.folder.absolute())


@cache
def _slide_judge(model_store: Path, options: SlideOptions) -> SlideJudge:
    return SlideJudge(model_store, options, threads=1)


def _judge(model_store: Path, options: SlideOptions, job: Job) -> Outcome:
    return _slide_judge(model_store, options).outcome(job, Console(quiet=True))
