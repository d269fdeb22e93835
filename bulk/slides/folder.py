"""A folder of slides: which there are, and the table of what came of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from openslide import PROPERTY_NAME_QUICKHASH1 as QUICKHASH
from openslide import OpenSlide, OpenSlideError

from bulk import tables
from bulk.errors import BulkError, SlideUnusable
from bulk.slides.judge import Outcome
from bulk.slides.results import unusable
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
    slides = list(_slides(folder))
    if not slides:
        raise SlideUnusable(f"There is no slide in {folder}. Name a slide, or a folder of some.")
    return slides


def write_table(out: Path, outcomes: Mapping[str, Outcome]) -> Path:
    """Write a row for each slide: the counts of its summary, or why it could not be judged.

    Parameters
    ----------
    out : Path
        Folder of the table.
    outcomes : mapping of str to Outcome
        Of each slide, by its path in the folder.

    Raises
    ------
    OutputUnusable
    """
    rows = (
        {"file": name, **({"message": str(o)} if isinstance(o, BulkError) else _row(o))}
        for name, o in sorted(outcomes.items())
    )
    path = out / TABLE
    try:
        write_whole(path, tables.to_csv(COLUMNS, rows))
    except OSError as error:
        raise unusable(out, error) from None
    return path


def _row(summary: dict[str, Any]) -> dict[str, Any]:
    values = {**summary, **summary["verdicts"]}
    model = summary["model"]
    return {
        **{name: values[name] for name in (*COUNTS, "scale_from")},
        "micrometres_per_pixel": [f"{pixel:.4g}" for pixel in summary["micrometres_per_pixel"]],
        **dict(zip(MODEL, (model["version"], model["sha256"]), strict=True)),
    }


def _slides(folder: Path) -> Iterator[Path]:
    seen = set()
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if path.suffix.lower() == DICOM:
            # Each file of a slide opens all of it.
            identity = _identity(path)
            if identity in seen:
                continue
            seen.add(identity)
        yield path


def _identity(path: Path) -> str | Path:
    try:
        with OpenSlide(path) as slide:
            return slide.properties.get(QUICKHASH, path)
    except OpenSlideError:
        return path  # that it can't be opened is said when it is its turn
