"""The table of verdicts: a row for each file, in a Parquet file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bulk.errors import OutputUnusable
from bulk.images.listing import ImageFile
from bulk.tables import cells
from handler import MODEL_NAME, RESEARCH_ONLY
from handler.prediction import ModelId, Prediction, Warning
from handler.whole_file import whole_file

# Names as in `bulk.tables`.
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


class Refusal(NamedTuple):
    """Why a file has no verdict.

    Attributes
    ----------
    error : str
        Class of the error.
    message : str
        What to do.
    model : ModelId
        The model that would have judged it.
    """

    error: str
    message: str
    model: ModelId

    @classmethod
    def of(cls, error: Exception, model: ModelId) -> "Refusal":
        """Take the refusal from an error."""
        return cls(type(error).__name__, str(error), model)


class Row(NamedTuple):
    """What is known of one file.

    Attributes
    ----------
    image : ImageFile
        As it was listed.
    answer : Prediction or Refusal
        Without extras; of warnings a table keeps the codes alone.
    """

    image: ImageFile
    answer: Prediction | Refusal

    def to_columns(self) -> dict[str, Any]:
        """Return the row by the names of `SCHEMA`; times are nanoseconds since 1970."""
        answer = self.answer
        if isinstance(answer, Prediction):
            said: dict[str, Any] = cells(answer)
        else:
            said = {
                "warnings": [],
                "error": answer.error,
                "message": answer.message,
                "model_version": answer.model.version,
                "model_sha256": answer.model.sha256,
            }
        known = {**self.image._asdict(), **said}
        return {name: known.get(name) for name in SCHEMA.names}

    @classmethod
    def from_columns(cls, row: Mapping[str, Any]) -> "Row":
        """Read what `to_columns` has written."""
        model = ModelId(MODEL_NAME, row["model_version"], row["model_sha256"])
        image = ImageFile(*(row[name] for name in ImageFile._fields))
        if row["error"]:
            return cls(image, Refusal(row["error"], row["message"], model))
        prediction = Prediction(
            label=row["label"],
            probability=row["probability"],
            verdict=row["verdict"],
            decision=row["decision"],
            warnings=[Warning(code) for code in row["warnings"]],
            model=model,
        )
        return cls(image, prediction)


Engine = Callable[[Iterator[Sequence[ImageFile]]], Iterator[list[Row]]]
"""Scores chunks of images on some machines; see `bulk.images.workers.score`."""


def to_arrow(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table of `SCHEMA`."""
    return pa.Table.from_pylist([row.to_columns() for row in rows], SCHEMA)


def from_arrow(table: pa.Table | pa.RecordBatch) -> list[Row]:
    """Return the rows of a table of `SCHEMA`."""
    modified = table.column("modified").cast(pa.int64())
    table = table.set_column(SCHEMA.get_field_index("modified"), "modified", modified)
    return [Row.from_columns(row) for row in table.to_pylist()]


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
    OutputUnusable
        It was written by something else.
    """
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise pa.ArrowInvalid("other columns")
            yield from map(from_arrow, file.iter_batches())
    except pa.ArrowInvalid as error:
        raise OutputUnusable(
            f"{path} is no table of this program ({error}). Choose another --out."
        ) from None
