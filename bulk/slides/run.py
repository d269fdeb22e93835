"""One run: a slide or a folder of slides in, a folder of results out."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bulk.errors import BulkError, WorkerEnded
from bulk.names import printable
from bulk.slides.folder import find_slides, write_table
from bulk.slides.judge import Job, Outcome, SlideJudge
from bulk.slides.options import SlideOptions
from bulk.slides.results import finished
from bulk.slides.scale import Scale
from bulk.slides.summary import EXPLORATORY, Summary
from bulk.work import work_through
from handler import RESEARCH_ONLY
from handler.manifest import read_manifest


def judge_slides(
    model_store: Path,
    path: Path,
    out: Path | None = None,
    options: SlideOptions = SlideOptions(),
    ray: str | None = None,
) -> int:
    """Judge a slide, or those of a folder, and write what came of it into folders.

    Parameters
    ----------
    model_store : Path
        Folder of the model.
    path : Path
        The slide, or a folder of slides: those that an earlier run has judged are left out.
    out : Path, optional
        For the results; by default a folder with the name of the slide, or of the folder with
        ``-results`` after it.
    options : SlideOptions, optional
    ray : str, optional
        Address of the Ray cluster to work on; see `bulk.on_ray.cluster`.

    Returns
    -------
    int
        The command's exit code: 3 if a slide of a folder could not be judged.

    Raises
    ------
    BulkError
    UnknownEngine, BadModel
        See `Model.open`.
    """
    model, _ = read_manifest(model_store)
    # Paths are absolute, as other machines of a cluster see them.
    if not path.is_dir():
        job = Job(path.absolute(), (out or Path(path.stem)).absolute())
        ((_, came),) = _judged([job], model_store, options, ray)
        return _print_one(job, came)
    path, out = path.absolute(), (out or Path(f"{path.resolve().name}-results")).absolute()
    console = Console(stderr=True)
    jobs = [Job(each, out / each.relative_to(path)) for each in find_slides(path)]
    known = {job: finished(*job, options, model.sha256) for job in jobs}
    outcomes: dict[Job, Outcome] = {job: found for job, found in known.items() if found}
    console.print(f"{len(jobs):,} slides, {len(outcomes):,} of them judged already")
    pending = [job for job in jobs if job not in outcomes]
    for job, outcome in _judged(pending, model_store, options, ray):
        outcomes[job] = outcome
        # What is there already can be looked at, and outlasts a stop.
        write_table(out, outcomes)
        said = outcome if isinstance(outcome, BulkError) else Summary.from_json(outcome).counts
        console.print(Text(f"{printable(str(job.path))}: {said}"), soft_wrap=True)
    failed = sum(isinstance(outcome, BulkError) for outcome in outcomes.values())
    print(f"{len(jobs) - failed:,} slides were judged, {failed:,} could not be.")
    print(f"Slides  {write_table(out, outcomes)}", EXPLORATORY, RESEARCH_ONLY, sep="\n")
    return 3 if failed else 0


def _judged(
    jobs: Sequence[Job], model_store: Path, options: SlideOptions, ray: str | None
) -> Iterator[tuple[Job, Outcome]]:
    """Judge slides, and tell what came of each as it is done."""
    if not jobs:
        return
    left = [*jobs]
    judge = SlideJudge(model_store.absolute(), options)
    if ray:  # a slide on each core
        judge = replace(judge, threads=1, quiet=True)

    def pending(_: int) -> Iterator[Sequence[Job]]:
        return ([job] for job in [*left])

    with closing(work_through(pending, 1, judge, here=partial(map, judge), ray=ray)) as work:
        for ((job, outcome),) in work:
            left.remove(job)
            yield job, outcome
    yield from ((job, WorkerEnded()) for job in left)


def _print_one(job: Job, outcome: Outcome) -> int:
    if isinstance(outcome, BulkError):
        raise outcome
    across, down = outcome["micrometres_per_pixel"]
    scale = Scale(across, down, outcome["scale_from"])
    print(*Summary.from_json(outcome).lines(), f"Scale: {scale}.", sep="\n")
    print(f"Heat map, GeoJSON for QuPath and table are in {job.folder}.")
    print(EXPLORATORY, RESEARCH_ONLY, sep="\n")
    return 0
