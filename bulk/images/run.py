"""One run: from what is given to the table, the patients and the terminal."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path

import joblib
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bulk.errors import ModelUnusable, NothingToScore, WorkerEnded
from bulk.images import summary, table, workers
from bulk.images.listing import find_images
from bulk.images.state import ScoringState, writing
from bulk.images.summary import Patient
from bulk.images.table import Engine, Refusal, Row
from bulk.names import printable
from bulk.progress import Progress
from handler import RESEARCH_ONLY
from handler.decision import DecisionRule
from handler.errors import BadModel, UnknownEngine
from handler.manifest import read_manifest
from handler.prediction import ModelId

# Images that a worker is given at a time: less than a second's work, which is all that a stop
# can lose, and long beside the handing over. One at a time after a worker has ended, and
# once more, because that need not have been the image's doing.
CHUNKS = (16, 1, 1)
# Patients, and refused files, that are listed on the terminal.
LISTED = 20


def score(
    model_store: Path,
    images: Sequence[str],
    out: Path,
    processes: int | None = None,
    ray: str | None = None,
) -> int:
    """Score images into a table, from where an earlier run has stopped.

    Parameters
    ----------
    model_store : Path
        Folder of the model.
    images : sequence of str
        See `bulk.images.listing.find_images`.
    out : Path
        The table; that of the patients is written beside it.
    processes : int, optional
        Workers; by default one for each core.
    ray : str, optional
        Address of the Ray cluster to work on; see `bulk.images.on_ray.cluster`.

    Returns
    -------
    int
        The command's exit code: 1 if it was stopped, 3 if an image was refused.

    Raises
    ------
    BulkError
    """
    console = Console(stderr=True)
    try:
        model, manifest = read_manifest(model_store)
        with writing(out), closing(ScoringState(out, model)) as state:
            with console.status("Looking for images"):
                state.note(find_images(images))
            _announce(state, console)
            try:
                _score_pending(state, model, _engine(model_store, processes, ray), console)
            except KeyboardInterrupt:
                console.print("Stopped. The same command goes on from here.")
                return 1
            table.write(out, state.rows("file"))
            patients = summary.summarise(
                state.rows("patient, file"), DecisionRule(**manifest["decision_rule"])
            )
            of_patients = out.with_suffix(".patients.csv")
            _print_patients(summary.write(of_patients, patients))
            refused = _print_refused(state)
            print(f"Files     {out}\nPatients  {of_patients}\n{RESEARCH_ONLY}")
            state.clear()
    except (BadModel, UnknownEngine) as error:
        raise ModelUnusable(str(error)) from None
    return 3 if refused else 0


def _announce(state: ScoringState, console: Console) -> None:
    listed, pending, others = state.count()
    if not listed:
        raise NothingToScore("There is no image there. Name a folder that holds some.")
    console.print(f"{listed:,} files, {listed - pending:,} of them scored already", highlight=False)
    if others:
        console.print(f"The table keeps {others:,} files that are not among them", highlight=False)


def _engine(
    model_store: Path, processes: int | None, ray: str | None
) -> AbstractContextManager[Engine]:
    if ray is None:
        number = processes or joblib.cpu_count()
        return nullcontext(partial(workers.score, model_store, number))
    from bulk.images import on_ray  # noqa: PLC0415 # an optional extra

    return on_ray.cluster(model_store, ray, processes)


def _score_pending(
    state: ScoringState, model: ModelId, engine: AbstractContextManager[Engine], console: Console
) -> None:
    _, pending, _ = state.count()
    if not pending:
        return
    with engine as score_chunks, Progress(pending, "files", console) as progress:
        for size in CHUNKS:
            for rows in score_chunks(state.pending(size)):
                state.add(rows)
                progress.advance(len(rows))
    for images in state.pending(CHUNKS[0]):
        error = WorkerEnded("Every worker that read this file ended. Look at it with care.")
        state.add([Row(image, Refusal.of(error, model)) for image in images])


def _print_patients(patients: Iterator[Patient]) -> None:
    columns = ("Images", "Refused", "Rejected", "Decision", "P(malignant)")
    shown = Table(
        Column("Patient", overflow="fold"),
        *(Column(c, justify="right") for c in columns),
        "Verdict",
    )
    for each in islice(patients, LISTED):
        counts = (str(count) for count in (each.images, each.refused, each.rejected))
        score = each.score
        judged = (
            (f"{score.decision:+.3f}", f"{score.probability:.3f}", score.verdict)
            if score
            else ("", "", "no verdict")
        )
        shown.add_row(Text(each.name), *counts, *judged)
    more = sum(1 for _ in patients)
    console = Console()
    console.print(shown)
    if more:
        console.print(f"and {more:,} more patients", highlight=False)


def _print_refused(state: ScoringState) -> int:
    number, first = state.refused(LISTED)
    console = Console(stderr=True)
    for file, message in first:
        console.print(Text(f"{printable(file)}: {printable(message)}"), soft_wrap=True)
    if number > len(first):
        console.print(f"and {number - len(first):,} more refused files", highlight=False)
    return number
