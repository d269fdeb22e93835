"""The table of verdicts: a row for each file, in a Parquet file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from bulk.errors import OutputUnusable
from bulk.images.listing import ImageFile
from bulk.tables import cells
from handler import RESEARCH_ONLY
from handler.prediction import ModelId, Prediction
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


class Row(NamedTuple):
    """What is known of one file, as it stands in `SCHEMA`; of a refused one, no verdict.

    Attributes
    ----------
    file, patient, bytes, modified
        Of the `ImageFile`, as it was listed.
    label, probability, verdict, decision, warnings
        Of the `Prediction`; of warnings, the codes.
    error, message : str or None
        Class of the error, and what to do.
    model_version, model_sha256 : str
        The model that judged it, or would have.
    """

    file: str
    patient: str
    bytes: int | None
    modified: int | None
    label: Any = None
    probability: Any = None
    verdict: Any = None
    decision: Any = None
    warnings: Any = ()
    error: str | None = None
    message: str | None = None
    model_version: str = ""
    model_sha256: str = ""

    @classmethod
    def of(cls, image: ImageFile, answer: Prediction | Exception, model: ModelId) -> Self:
        """Form the row of an image that the model has judged, or refused."""
        if isinstance(answer, Prediction):
            return cls(*image, **cells(answer))
        return cls(
            *image,
            warnings=[],
            error=type(answer).__name__,
            message=str(answer),
            model_version=model.version,
            model_sha256=model.sha256,
        )


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
            writer.write_table(pa.Table.from_pylist([row._asdict() for row in rows], SCHEMA))


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
            for batch in file.iter_batches():
                modified = batch.column("modified").cast(pa.int64())
                place = SCHEMA.get_field_index("modified")
                columns = batch.set_column(place, "modified", modified).to_pylist()
                yield [Row(**each) for each in columns]
    except pa.ArrowInvalid as error:
        raise OutputUnusable(
            f"{path} is no table of this program ({error}). Choose another --out."
        ) from None
