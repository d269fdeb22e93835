"""The patients of a table, a row each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path

from bulk.images.table import Row
from bulk.patient import PatientScore, score_patient
from bulk.tables import ENCODING, CsvTable
from handler.decision import DecisionRule
from handler.prediction import Prediction
from handler.whole_file import whole_file

COLUMNS = (
    *("patient", "images", "refused", "rejected", "mean_decision", "mean_probability"),
    "verdict",
)


@dataclass(frozen=True)
class Patient:
    """One patient.

    Attributes
    ----------
    name : str
    images, refused, rejected : int
        All files, those that could not be judged, and those unlike every training field.
    score : PatientScore or None
        None where no image can be used.
    """

    name: str
    images: int
    refused: int
    rejected: int
    score: PatientScore | None


def summarise(rows: Iterable[list[Row]], rule: DecisionRule) -> Iterator[Patient]:
    """Form the score of each patient.

    Parameters
    ----------
    rows : iterable of list of Row
        Sorted by patient. None but one list is held in memory.
    rule : DecisionRule
        The model's.

    Yields
    ------
    Patient
    """
    for name, of_patient in groupby(chain.from_iterable(rows), attrgetter("image.patient")):
        seen: Counter[str] = Counter()
        score = score_patient(_judged(of_patient, seen), rule)
        yield Patient(name, seen.total(), seen["refused"], seen["rejected"], score)


def _judged(rows: Iterable[Row], seen: Counter[str]) -> Iterator[Prediction]:
    for row in rows:
        answer = row.answer
        if isinstance(answer, Prediction):
            seen[answer.verdict] += 1
            yield answer
        else:
            seen["refused"] += 1


def write(path: Path, patients: Iterable[Patient]) -> Iterator[Patient]:
    """Write patients into a CSV file, which appears when it is complete, and hand them on.

    Parameters
    ----------
    path : Path
    patients : iterable of Patient

    Yields
    ------
    Patient
    """
    with (
        whole_file(path) as unfinished,
        unfinished.open("w", encoding=ENCODING, newline="") as file,
    ):
        table = CsvTable(file, COLUMNS)
        for each in patients:
            score = each.score
            together = (
                (score.decision, score.probability, score.verdict)
                if score
                else (None, None, "no verdict")
            )
            row = (each.name, each.images, each.refused, each.rejected, *together)
            table.add(dict(zip(COLUMNS, row, strict=True)))
            yield each
