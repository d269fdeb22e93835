"""One run: from what is given to the table, the patients and the terminal."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import joblib
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bulk.errors import NothingToScore, WorkerEnded
from bulk.images import summary, table, workers
from bulk.images.listing import find_images
from bulk.images.scorer import Scorer
from bulk.images.state import ScoringState
from bulk.images.summary import Patient
from bulk.images.table import Row
from bulk.names import printable
from bulk.output import writing
from bulk.progress import Progress
from bulk.work import work_through
from handler import RESEARCH_ONLY
from handler.decision import DecisionRule
from handler.manifest import read_manifest

# Images that a worker is given at a time: less than a second's work, which is all that a stop
# can lose, and long beside the handing over.
CHUNK = 16
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
        Address of the Ray cluster to work on; see `bulk.on_ray.cluster`.

    Returns
    -------
    int
        The command's exit code: 1 if it was stopped, 3 if an image was refused.

    Raises
    ------
    BulkError
    UnknownEngine, BadModel
        See `Model.open`.
    """
    console = Console(stderr=True)
    model, manifest = read_manifest(model_store)
    scorer = Scorer(model_store.absolute())
    if ray is None:
        workers.prepare()
    with writing(out), closing(ScoringState(out, model)) as state:
        with console.status("Looking for images"):
            state.note(find_images(images))
        pending = _announce(state, console)
        here = partial(workers.work, scorer, processes or joblib.cpu_count())
        work = work_through(
            state.pending, CHUNK, scorer, here=here, ray=ray if pending else None, number=processes
        )
        try:
            with closing(work), Progress(pending, "files", console) as progress:
                for judged in work:
                    state.add(Row.of(*each, model) for each in judged)
                    progress.count(len(judged))
        except KeyboardInterrupt:
            console.print("Stopped. The same command goes on from here.")
            return 1
        for left in state.pending(CHUNK):
            state.add(Row.of(image, WorkerEnded(), model) for image in left)
        table.write(out, state.rows("file"))
        of_patients = out.with_suffix(".patients.csv")
        rule = DecisionRule(**manifest["decision_rule"])
        _print_patients(summary.write(of_patients, state.rows("patient, file"), rule))
        refused = _print_refused(state)
        print(f"Files     {out}\nPatients  {of_patients}\n{RESEARCH_ONLY}")
        state.clear()
    return 3 if refused else 0


def _announce(state: ScoringState, console: Console) -> int:
    """Say what there is, and return how many images are to score."""
    listed, pending, others = state.count()
    if not listed:
        raise NothingToScore("There is no image there. Name a folder that holds some.")
    console.print(f"{listed:,} files, {listed - pending:,} of them scored already", highlight=False)
    if others:
        console.print(f"The table keeps {others:,} files that are not among them", highlight=False)
    return pending


def _print_patients(patients: Iterator[Patient]) -> None:
    columns = ("Images", "Refused", "Rejected", "Decision", "P(malignant)")
    shown = Table(
        Column("Patient", overflow="fold"),
        *(Column(c, justify="right") for c in columns),
        "Verdict",
    )
    for name, *counts, decision, probability, verdict in islice(patients, LISTED):
        means = ("", "") if decision is None else (f"{decision:+.3f}", f"{probability:.3f}")
        shown.add_row(Text(name), *map(str, counts), *means, verdict)
    more = sum(1 for _ in patients)
    console = Console()
    console.print(shown)
    if more:
        console.print(f"and {more:,} more patients", highlight=False)


def _print_refused(state: ScoringState) -> int:
    console = Console(stderr=True)
    number = 0
    for number, (file, message) in enumerate(state.refused(), 1):
        if number <= LISTED:
            console.print(Text(f"{printable(file)}: {printable(message)}"), soft_wrap=True)
    if number > LISTED:
        console.print(f"and {number - LISTED:,} more refused files", highlight=False)
    return number
