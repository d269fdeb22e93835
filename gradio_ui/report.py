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
from gradio_ui.scoring import JudgedImage
from handler import RESEARCH_ONLY

COLUMNS = ("file", *ANSWER, "message", *MODEL)

MARGIN = 16 * mm
PICTURES, PICTURES_IN_A_ROW = 9, 3
MAX_FAILED = 8
# Long names are cut in the middle, where they differ least.
MAX_NAME = 44
COLOURS = {"benign": "#00598c", "malignant": "#a84700", "uncertain": "#4a5057"}


def to_csv(scored: Sequence[JudgedImage]) -> bytes:
    """Write a row for each image.

    Returns
    -------
    bytes
        UTF-8 with the mark by which spreadsheets know it.
    """
    rows = (
        {"file": each.name, **(cells(each.answer) if each.answer else {"message": each.reason})}
        for each in scored
    )
    return tables.to_csv(COLUMNS, rows)


def to_pdf(scored: Sequence[JudgedImage], patient: PatientScore | None, formed: str) -> bytes:
    """Write one A4 page with the patient's score and the images that count most.

    Parameters
    ----------
    scored : sequence of JudgedImage
    patient : PatientScore or None
        None where no image could be used.
    formed : str
        How the score is formed, in plain text.

    Returns
    -------
    bytes
    """
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        title="Breast histopathology, one patient",
        **dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN),
    )
    answered = [each for each in scored if each.answer is not None]
    failed = [each for each in scored if each.answer is None]
    parts: list[Flowable] = [
        _text("Breast histopathology: benign or malignant?", 16, bold=True),
        _text(RESEARCH_ONLY, 10, bold=True),
        *_headline(patient),
        _text(formed, 8),
        _text(_counts(answered, failed), 10),
        *_pictures(answered),
        *_failures(failed),
        _text(_origin(answered), 8),
    ]
    # Less the frame's own padding of 6 points on each side.
    document.build([KeepInFrame(document.width - 12, document.height - 12, parts, mode="shrink")])
    return file.getvalue()


def _headline(patient: PatientScore | None) -> list[Flowable]:
    if patient is None:
        return [_text("No verdict: no image could be used.", 14, bold=True)]
    return [
        _text(patient.verdict.capitalize(), 22, bold=True, colour=COLOURS[patient.verdict]),
        _text(
            f"Mean probability of malignancy {patient.probability:.0%}, mean decision "
            f"{patient.decision:+.2f}, over {patient.images} images, of which "
            f"{patient.called_malignant} are labelled malignant.",
            11,
        ),
    ]


def _counts(answered: list[JudgedImage], failed: list[JudgedImage]) -> str:
    counts = Counter(each.answer.verdict for each in answered if each.answer)
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
    return (
        f"{len(answered) + len(failed)} images: {verdicts or 'no verdict'}; {len(failed)} could "
        "not be judged. Each image stands in the CSV file."
    )


def _pictures(answered: list[JudgedImage]) -> list[Flowable]:
    """Show the images with the highest probability, heat maps over them."""
    used = [(each.used.probability, i, each) for i, each in enumerate(answered) if each.used]
    cells: list[list[Flowable] | str] = [
        _picture(each) for _, _, each in sorted(used, reverse=True)[:PICTURES]
    ]
    if not cells:
        return []
    rows = [cells[i : i + PICTURES_IN_A_ROW] for i in range(0, len(cells), PICTURES_IN_A_ROW)]
    rows[-1] += [""] * (PICTURES_IN_A_ROW - len(rows[-1]))
    style = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return [
        _text("Highest probabilities, with heat maps", 11, bold=True),
        Table(rows, style=style, hAlign="LEFT"),
        _text("Orange tissue moved the decision towards malignant, blue towards benign.", 8),
    ]


def _picture(each: JudgedImage) -> list[Flowable]:
    assert each.answer is not None
    width = (A4[0] - 2 * MARGIN) / PICTURES_IN_A_ROW - 6 * mm
    image = Image(io.BytesIO(each.thumbnail))
    scale = min(width / image.imageWidth, 0.66 * width / image.imageHeight)
    image.drawWidth, image.drawHeight = scale * image.imageWidth, scale * image.imageHeight
    image.hAlign = "LEFT"
    caption = f"{_short(each.name)}: {each.answer.verdict}, {each.answer.probability:.0%}"
    return [image, _text(caption, 7)]


def _failures(failed: list[JudgedImage]) -> list[Flowable]:
    if not failed:
        return []
    lines = [_text(f"{_short(each.name)}: {each.reason}", 8) for each in failed[:MAX_FAILED]]
    if len(failed) > MAX_FAILED:
        lines.append(_text(f"and {len(failed) - MAX_FAILED} more, see the CSV file.", 8))
    return [_text("Not judged", 11, bold=True), *lines]


def _origin(answered: list[JudgedImage]) -> str:
    models = {
        f"{each.answer.model.name} {each.answer.model.version} (sha256 {each.answer.model.sha256})"
        for each in answered
        if each.answer
    }
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Model {', '.join(sorted(models)) or 'none'}. Made {made}."


def _text(text: str, size: float, *, bold: bool = False, colour: str = "#000000") -> Paragraph:
    style = ParagraphStyle(
        "text",
        fontName=_fonts()[bold],
        fontSize=size,
        leading=1.25 * size,
        spaceAfter=0.4 * size,
        textColor=colors.HexColor(colour),
        splitLongWords=True,
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
