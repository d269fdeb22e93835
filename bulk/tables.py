"""Names of the columns of every table, Parquet or CSV, and how a CSV is written."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from bulk.names import as_text
from handler import RESEARCH_ONLY
from handler.prediction import Prediction

# What the model says of a picture, and of itself.
ANSWER = ("label", "probability", "verdict", "decision", "warnings")
MODEL = ("model_version", "model_sha256")
# Spreadsheets take a file without a mark for something other than UTF-8.
ENCODING = "utf-8-sig"


def cells(answer: Prediction) -> dict[str, Any]:
    """Return what stands in the columns `ANSWER` and `MODEL`; of warnings, the codes."""
    said = (answer.label, answer.probability, answer.verdict, answer.decision)
    codes = [warning.code for warning in answer.warnings]
    model = (answer.model.version, answer.model.sha256)
    return dict(zip(ANSWER + MODEL, (*said, codes, *model), strict=True))


class CsvTable:
    """Writes a CSV, with what its verdicts may not be used for in the last column.

    Parameters
    ----------
    file : text file
    columns : sequence of str
    """

    def __init__(self, file: TextIO, columns: Sequence[str]) -> None:
        self._writer = csv.DictWriter(file, [*columns, "note"])
        self._writer.writeheader()

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row; what it does not name stays empty."""
        values = {column: _cell(value) for column, value in row.items()}
        self._writer.writerow({**values, "note": RESEARCH_ONLY})


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a CSV as the content of a file."""
    text = io.StringIO(newline="")
    table = CsvTable(text, columns)
    for row in rows:
        table.add(row)
    return text.getvalue().encode(ENCODING)


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = " ".join(value)
    return as_text(value) if isinstance(value, str) else value
