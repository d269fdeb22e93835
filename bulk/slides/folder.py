"""A folder of slides: which there are, and the table of what came of them."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from openslide import PROPERTY_NAME_QUICKHASH1 as QUICKHASH
from openslide import OpenSlide, OpenSlideError

from bulk import tables
from bulk.errors import BulkError, SlideUnusable
from bulk.output import writing
from bulk.slides.judge import Job, Outcome
from bulk.tables import MODEL
from handler.prediction import VERDICTS
from handler.whole_file import write_whole

# Of the formats that OpenSlide reads. What a file is, its content tells when it is opened.
DICOM = ".dcm"
SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif"),
    *(".czi", DICOM),
)
TABLE = "slides.csv"
COUNTS = ("fields", *VERDICTS, "mean_decision", "mean_probability", "labelled_malignant")
COLUMNS = ("file", *COUNTS, "micrometres_per_pixel", "scale_from", *MODEL, "message")


def find_slides(folder: Path) -> list[Path]:
    """List the slides in a folder, at any depth, by name; what is hidden is left out.

    Raises
    ------
    SlideUnusable
        There is none.
    """
    slides: dict[str | Path, Path] = {}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            # Each file of a DICOM slide opens all of it.
            slides.setdefault(_identity(path) if path.suffix.lower() == DICOM else path, path)
    if not slides:
        raise SlideUnusable(f"There is no slide in {folder}. Name a slide, or a folder of some.")
    return [*slides.values()]


def write_table(out: Path, outcomes: Mapping[Job, Outcome]) -> Path:
    """Write a row for each slide: the counts of its summary, or why it could not be judged.

    Parameters
    ----------
    out : Path
        Folder of the table.
    outcomes : mapping of Job to Outcome
        Of each slide, whose results have a folder in `out`.

    Raises
    ------
    OutputUnusable
    """
    rows = (
        {"file": str(job.folder.relative_to(out)), **_row(outcome)}
        for job, outcome in sorted(outcomes.items(), key=itemgetter(0))
    )
    path = out / TABLE
    with writing(path):
        write_whole(path, tables.to_csv(COLUMNS, rows))
    return path


def _row(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, BulkError):
        return {"message": str(outcome)}
    values = {**outcome, **outcome["verdicts"]}
    model = outcome["model"]
    return {
        **{name: values[name] for name in (*COUNTS, "scale_from")},
        "micrometres_per_pixel": [f"{pixel:.4g}" for pixel in outcome["micrometres_per_pixel"]],
        **dict(zip(MODEL, (model["version"], model["sha256"]), strict=True)),
    }


def _identity(path: Path) -> str | Path:
    try:
        with OpenSlide(path) as slide:
            return slide.properties.get(QUICKHASH, path)
    except OpenSlideError:
        return path  # that it can't be opened is said when it is its turn
