"""The patients of a table, a row each."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import cast

from bulk.images.table import Row
from bulk.names import as_text
from bulk.patient import Answer, PatientScore, score_patient
from handler import RESEARCH_ONLY
from handler.decision import DecisionRule
from handler.whole_file import whole_file

COLUMNS = (
    *("patient", "images", "refused", "rejected", "mean_decision", "mean_probability"),
    *("verdict", "note"),
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
    for name, of_patient in groupby(chain.from_iterable(rows), attrgetter("patient")):
        seen: Counter[str] = Counter()
        score = score_patient(_judged(of_patient, seen), rule)
        yield Patient(name, seen.total(), seen["refused"], seen["rejected"], score)


def _judged(rows: Iterable[Row], seen: Counter[str]) -> Iterator[Answer]:
    for row in rows:
        seen[row.verdict or "refused"] += 1
        if row.verdict:
            yield cast(Answer, row)


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
        # With the mark by which spreadsheets know UTF-8.
        unfinished.open("w", encoding="utf-8-sig", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for each in patients:
            counts = [as_text(each.name), each.images, each.refused, each.rejected]
            score = each.score
            writer.writerow(
                [*counts, score.decision, score.probability, score.verdict, RESEARCH_ONLY]
                if score
                else [*counts, "", "", "no verdict", RESEARCH_ONLY]
            )
            yield each
