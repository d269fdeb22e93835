"""The table of verdicts: a row for each file, in a Parquet file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bulk.breakhis_names import patient_of
from bulk.errors import TableUnusable
from bulk.images.listing import ImageFile, to_path
from handler import RESEARCH_ONLY
from handler.identity import ModelId
from handler.whole_file import whole_file

if TYPE_CHECKING:  # the program that starts the workers needs no model
    from handler.model import Prediction

# In the order of `Row`.
SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("patient", pa.string(), nullable=False),
        pa.field("bytes", pa.int64()),
        pa.field("modified", pa.timestamp("ns", "UTC")),
        pa.field("label", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("verdict", pa.string()),
        pa.field("decision", pa.float64()),
        pa.field("warnings", pa.list_(pa.string()), nullable=False),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("model_sha256", pa.string(), nullable=False),
    ],
    {"note": RESEARCH_ONLY},
)


class Row(NamedTuple):
    """What is known of one file.

    Attributes
    ----------
    file : str
        Absolute path; see `bulk.images.listing.to_text`.
    patient : str
    bytes, modified : int or None
        As the file was listed; nanoseconds since 1970.
    label, probability, verdict, decision
        See the inference contract; None where the file was refused.
    warnings : list of str
        Their codes.
    error, message : str or None
        Why it was refused: the class of the error, and what to do.
    model_version, model_sha256 : str
    """

    file: str
    patient: str
    bytes: int | None
    modified: int | None
    label: str | None
    probability: float | None
    verdict: str | None
    decision: float | None
    warnings: list[str]
    error: str | None
    message: str | None
    model_version: str
    model_sha256: str

    @classmethod
    def judged(cls, image: ImageFile, answer: "Prediction") -> "Row":
        """Return the row of an image that was judged."""
        return cls(
            image.file,
            patient_of(to_path(image.file)),
            image.bytes,
            image.modified,
            answer.label,
            answer.probability,
            answer.verdict,
            answer.decision,
            [warning.code for warning in answer.warnings],
            None,
            None,
            answer.model.version,
            answer.model.sha256,
        )

    @classmethod
    def refused(cls, image: ImageFile, error: Exception, model: ModelId) -> "Row":
        """Return the row of a file that can't be judged."""
        return cls(
            image.file,
            patient_of(to_path(image.file)),
            image.bytes,
            image.modified,
            *(None, None, None, None),
            [],
            type(error).__name__,
            str(error),
            model.version,
            model.sha256,
        )


Engine = Callable[[Iterator[Sequence[ImageFile]]], Iterator[list[Row]]]
"""Scores chunks of images on some machines; see `bulk.images.workers.score`."""


def to_arrow(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table of `SCHEMA`."""
    columns = zip(*rows, strict=True) if rows else [[]] * len(SCHEMA)
    return pa.table([list(column) for column in columns], schema=SCHEMA)


def from_arrow(table: pa.Table | pa.RecordBatch) -> list[Row]:
    """Return the rows of a table of `SCHEMA`."""
    modified = table.column("modified").cast(pa.int64())
    table = table.set_column(SCHEMA.get_field_index("modified"), "modified", modified)
    return [Row(*values) for values in zip(*(c.to_pylist() for c in table.columns), strict=True)]


def write(path: Path, batches: Iterator[list[Row]]) -> None:
    """Write a file, which appears when it is complete.

    Parameters
    ----------
    path : Path
    batches : iterator of list of Row
        Each becomes a row group, of which one is in memory at a time.
    """
    with (
        whole_file(path) as unfinished,
        pq.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer,
    ):
        for rows in batches:
            writer.write_table(to_arrow(rows))


def read(path: Path) -> Iterator[list[Row]]:
    """Read a file that `write` has written.

    Raises
    ------
    TableUnusable
        It was written by something else.
    """
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise pa.ArrowInvalid("other columns")
            yield from map(from_arrow, file.iter_batches())
    except pa.ArrowInvalid as error:
        raise TableUnusable(
            f"{path} is no table of this program ({error}). Choose another --out."
        ) from None
