"""One run: a slide or a folder of slides in, a folder of results out."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bulk.errors import BulkError, ModelUnusable
from bulk.names import printable
from bulk.slides.folder import find_slides, write_table
from bulk.slides.judge import Job, Outcome, SlideJudge
from bulk.slides.options import SlideOptions
from bulk.slides.scale import Scale
from bulk.slides.summary import EXPLORATORY, Summary
from handler import RESEARCH_ONLY
from handler.errors import BadModel, UnknownEngine

Engine = Callable[[Iterable[Job]], Iterator[tuple[Job, Outcome]]]


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
        Address of the Ray cluster to work on; see `bulk.images.on_ray.connected`.

    Returns
    -------
    int
        The command's exit code: 3 if a slide of a folder could not be judged.

    Raises
    ------
    BulkError
    """
    console = Console(stderr=True)
    try:
        judge = SlideJudge(model_store, options)
        engine = _on_ray(model_store, options, ray) if ray else _here(judge, console)
        if path.is_dir():
            out = out or Path(f"{path.resolve().name}-results")
            return _judge_folder(judge, engine, path, out, console)
        return _judge_one(engine, Job(path, out or Path(path.stem)))
    except (BadModel, UnknownEngine) as error:
        raise ModelUnusable(str(error)) from None


def _judge_one(engine: AbstractContextManager[Engine], job: Job) -> int:
    with engine as judge_all:
        ((_, outcome),) = judge_all([job])
    if isinstance(outcome, BulkError):
        raise outcome
    across, down = outcome["micrometres_per_pixel"]
    scale = Scale(across, down, outcome["scale_from"])
    print(*Summary.from_json(outcome).lines(), f"Scale: {scale}.", sep="\n")
    print(f"Heat map, GeoJSON for QuPath and table are in {job.folder}.")
    print(EXPLORATORY, RESEARCH_ONLY, sep="\n")
    return 0


def _judge_folder(
    judge: SlideJudge,
    engine: AbstractContextManager[Engine],
    folder: Path,
    out: Path,
    console: Console,
) -> int:
    jobs = [Job(path, out / path.relative_to(folder)) for path in find_slides(folder)]
    outcomes: dict[Job, Outcome] = {
        job: summary for job in jobs if (summary := judge.finished(job)) is not None
    }
    pending = [job for job in jobs if job not in outcomes]
    console.print(f"{len(jobs):,} slides, {len(outcomes):,} of them judged already")

    def write() -> Path:
        return write_table(out, {str(j.folder.relative_to(out)): o for j, o in outcomes.items()})

    with engine if pending else nullcontext() as judge_all:
        for job, outcome in judge_all(pending) if judge_all else ():
            outcomes[job] = outcome
            write()  # what is there already can be looked at, and outlasts a stop
            said = outcome if isinstance(outcome, BulkError) else Summary.from_json(outcome).counts
            console.print(Text(f"{printable(str(job.path))}: {said}"), soft_wrap=True)
    failed = sum(isinstance(outcome, BulkError) for outcome in outcomes.values())
    print(f"{len(jobs) - failed:,} slides were judged, {failed:,} could not be.")
    print(f"Slides  {write()}", EXPLORATORY, RESEARCH_ONLY, sep="\n")
    return 3 if failed else 0


@contextmanager
def _here(judge: SlideJudge, console: Console) -> Iterator[Engine]:
    def judge_all(jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            yield job, judge.outcome(job, console)

    yield judge_all


@contextmanager
def _on_ray(model_store: Path, options: SlideOptions, address: str) -> Iterator[Engine]:
    from bulk.images.on_ray import connected  # noqa: PLC0415 # an optional extra
    from bulk.slides import on_ray  # noqa: PLC0415 # as above

    with connected(address):
        yield partial(on_ray.judge, model_store, options)
