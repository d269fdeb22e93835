"""A patient's results to take away: a table as CSV, a page as PDF."""

import io
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path

import matplotlib
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (
    Flowable,
    Image,
    KeepInFrame,
    Paragraph,
    SimpleDocTemplate,
    Table,
    TableStyle,
)

from bulk import tables
from bulk.patient import PatientScore
from bulk.tables import ANSWER, MODEL, cells
from gradio_ui.picture import LEGEND
from gradio_ui.scoring import JudgedImage
from handler import RESEARCH_ONLY
from handler.prediction import ModelId, Prediction

COLUMNS = ("file", *ANSWER, "message", *MODEL)

MARGIN = 16 * mm
PICTURES, PICTURES_IN_A_ROW = 9, 3
MAX_FAILED = 8
# Long names are cut in the middle, where they differ least.
MAX_NAME = 44
COLOURS = {"benign": "#00598c", "malignant": "#a84700", "uncertain": "#4a5057"}


def to_csv(scored: Sequence[JudgedImage]) -> bytes:
    """Write a row for each image."""
    rows = (
        {"file": each.name, **(cells(each.answer) if each.answer else {"message": each.reason})}
        for each in scored
    )
    return tables.to_csv(COLUMNS, rows)


def to_pdf(
    scored: Sequence[JudgedImage], patient: PatientScore | None, formed: str, model: ModelId
) -> bytes:
    """Write one A4 page with the patient's score and the images that count most.

    Parameters
    ----------
    scored : sequence of JudgedImage
    patient : PatientScore or None
        None where no image could be used.
    formed : str
        How the score is formed, in plain text.
    model : ModelId
        That judged them.
    """
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        title="Breast histopathology, one patient",
        **dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN),
    )
    counted = Counter(each.answer.verdict if each.answer else "not judged" for each in scored)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counted.items()))
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts: list[Flowable] = [
        _text("Breast histopathology: benign or malignant?", 16, bold=True),
        _text(RESEARCH_ONLY, 10, bold=True),
        *_headline(patient, len(scored)),
        _text(formed, 8),
        _text(f"Of {len(scored)} images: {counts}. The CSV file lists each.", 10),
        *_pictures(scored),
        *_failures([each for each in scored if not each.answer]),
        _text(f"Model {model.name} {model.version} (sha256 {model.sha256}). Made {made}.", 8),
    ]
    # Less the frame's own padding of 6 points on each side.
    document.build([KeepInFrame(document.width - 12, document.height - 12, parts, mode="shrink")])
    return file.getvalue()


def means(patient: PatientScore, images: int) -> str:
    """Say what the verdict rests on, of how many images that were sent, in plain text."""
    return (
        f"Mean probability of malignancy {patient.probability:.0%}, mean decision "
        f"{patient.decision:+.2f}, over {patient.images} of {images} images, of which "
        f"{patient.called_malignant} are labelled malignant."
    )


def _headline(patient: PatientScore | None, images: int) -> list[Flowable]:
    if patient is None:
        return [_text("No verdict: no image could be used.", 14, bold=True)]
    verdict = patient.verdict
    return [
        _text(verdict.capitalize(), 22, bold=True, colour=COLOURS[verdict]),
        _text(means(patient, images), 11),
    ]


def _pictures(scored: Sequence[JudgedImage]) -> list[Flowable]:
    """Show the images with the highest probability, heat maps over them."""
    used = [(each.used, each) for each in scored if each.used]
    used.sort(key=lambda pair: pair[0].probability, reverse=True)
    cells: list[list[Flowable] | str] = [_picture(*pair) for pair in used[:PICTURES]]
    if not cells:
        return []
    rows = [cells[i : i + PICTURES_IN_A_ROW] for i in range(0, len(cells), PICTURES_IN_A_ROW)]
    rows[-1] += [""] * (PICTURES_IN_A_ROW - len(rows[-1]))
    style = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return [
        _text("Highest probabilities, with heat maps", 11, bold=True),
        Table(rows, style=style, hAlign="LEFT"),
        _text(LEGEND, 8),
    ]


def _picture(answer: Prediction, each: JudgedImage) -> list[Flowable]:
    width = (A4[0] - 2 * MARGIN) / PICTURES_IN_A_ROW - 6 * mm
    image = Image(io.BytesIO(each.thumbnail), width, 0.66 * width, kind="proportional")
    image.hAlign = "LEFT"
    caption = f"{_short(each.name)}: {answer.verdict}, {answer.probability:.0%}"
    return [image, _text(caption, 7)]


def _failures(failed: list[JudgedImage]) -> list[Flowable]:
    if not failed:
        return []
    lines = [_text(f"{_short(each.name)}: {each.reason}", 8) for each in failed[:MAX_FAILED]]
    if len(failed) > MAX_FAILED:
        lines.append(_text(f"and {len(failed) - MAX_FAILED} more, see the CSV file.", 8))
    return [_text("Not judged", 11, bold=True), *lines]


def _text(text: str, size: float, *, bold: bool = False, colour: str = "#000000") -> Paragraph:
    style = ParagraphStyle(
        "text",
        fontName=_fonts()[bold],
        fontSize=size,
        leading=1.25 * size,
        spaceAfter=0.4 * size,
        textColor=colors.HexColor(colour),
    )
    return Paragraph(escape(text), style)


@cache
def _fonts() -> tuple[str, str]:
    """Register the regular and the bold font.

    The fonts that every PDF reader has know few letters; file names may hold any.
    """
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    names = ("DejaVuSans", "DejaVuSans-Bold")
    for name in names:
        pdfmetrics.registerFont(TTFont(name, folder / f"{name}.ttf"))
    return names


def _short(name: str) -> str:
    if len(name) <= MAX_NAME:
        return name
    half = (MAX_NAME - 3) // 2
    return f"{name[:half]}...{name[-half:]}"
