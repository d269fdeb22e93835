"""The patients of a table, a row each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from bulk.images.table import Row
from bulk.patient import score_patient
from bulk.tables import ENCODING, CsvTable
from handler.decision import DecisionRule
from handler.prediction import Verdict
from handler.whole_file import whole_file


class Patient(NamedTuple):
    """One patient, as it stands in the table of patients.

    Attributes
    ----------
    patient : str
        The name.
    images, refused, rejected : int
        All files, those that could not be judged, and those unlike every training field.
    mean_decision, mean_probability : float or None
        None where no image can be used.
    verdict : str
    """

    patient: str
    images: int
    refused: int
    rejected: int
    mean_decision: float | None = None
    mean_probability: float | None = None
    verdict: Verdict | Literal["no verdict"] = "no verdict"


def write(path: Path, rows: Iterable[list[Row]], rule: DecisionRule) -> Iterator[Patient]:
    """Score each patient into a CSV file, which appears when it is complete, and hand them on.

    Parameters
    ----------
    path : Path
    rows : iterable of list of Row
        Sorted by patient. None but one list is held in memory.
    rule : DecisionRule
        The model's.

    Yields
    ------
    Patient
    """
    with (
        whole_file(path) as unfinished,
        unfinished.open("w", encoding=ENCODING, newline="") as file,
    ):
        table = CsvTable(file, Patient._fields)
        for name, of_patient in groupby(chain.from_iterable(rows), attrgetter("patient")):
            seen: Counter[Verdict | None] = Counter()
            score = score_patient(_judged(of_patient, seen), rule)
            means = (score.decision, score.probability, score.verdict) if score else ()
            patient = Patient(name, seen.total(), seen[None], seen["rejected"], *means)
            table.add(patient._asdict())
            yield patient


def _judged(rows: Iterable[Row], seen: Counter[Verdict | None]) -> Iterator[Row]:
    for row in rows:
        seen[row.verdict] += 1
        if row.verdict:
            yield row
