"""What is shown of a patient: score, table, gallery and links, as HTML."""

from collections.abc import Sequence
from html import escape
from typing import Any

from bulk.patient import PatientScore
from gradio_ui import report, verdict
from gradio_ui.batch_result import download_links
from gradio_ui.picture import LEGEND, data_url
from gradio_ui.scoring import JudgedImage
from handler.prediction import Prediction
from serve.description import Description

COLUMNS = ["File", "Verdict", "Probability", "Warnings"]


def how_formed(description: Description) -> str:
    """Say how a patient's score is formed and how good it was, in plain text."""
    measured = description.evaluation["magnifications"]["40X"]["patient"]
    auc = measured["auc"]
    low, high = auc["interval"]
    rule = description.rule
    return (
        "The verdict is read from the mean of the images' decisions, as an image's is from its "
        "own (the sum rule of Kittler et al., IEEE TPAMI 1998, doi:10.1109/34.667881): malignant "
        f"from {rule.threshold:.2f} up, uncertain from {rule.abstain[0]:.2f} to "
        f"{rule.abstain[1]:.2f}. Rejected images are left out. On {measured['benign']} benign and "
        f"{measured['malignant']} malignant patients whom the model had never seen, this gave an "
        f"area under the ROC curve of {auc['value']:.2f} (95 % interval {low:.2f} to {high:.2f}); "
        f"{measured['abstained']['value']:.0%} were uncertain and "
        f"{measured['wrong_verdicts']['value']:.0%} got a wrong verdict."
    )


def summary(patient: PatientScore | None, scored: Sequence[JudgedImage], formed: str) -> str:
    """Return the patient's verdict as HTML.

    Parameters
    ----------
    patient : PatientScore or None
        None where no image could be used.
    scored : sequence of JudgedImage
    formed : str
        From `how_formed`.
    """
    if patient is None:
        return verdict.box(
            "rejected", "No verdict", ["No image could be used. The table and the list say why."]
        )
    lines = [
        f"Mean probability of malignancy {patient.probability:.0%}, mean decision "
        f"{patient.decision:+.2f}, over {patient.images} of {len(scored)} images, of which "
        f"{patient.called_malignant} are labelled malignant.",
    ]
    if patient.verdict == "uncertain":
        lines.append("The model is not sure enough to say. Add fields of the same patient.")
    models = {f"{m.name} {m.version}" for m in (s.answer.model for s in scored if s.answer)}
    footer = f"Model {', '.join(sorted(models))}."
    return verdict.box(
        patient.verdict,
        patient.verdict,
        lines,
        graphic=f"{_dots(patient, scored)}<p><small>{escape(formed)}</small></p>",
        footer=footer,
    )


def _dots(patient: PatientScore, scored: Sequence[JudgedImage]) -> str:
    dots = "".join(
        f'<div class="dot" style="left: {each.used.probability:.1%}"></div>'
        for each in scored
        if each.used
    )
    label = f"Probabilities of the images; their mean is {patient.probability:.0%}."
    return verdict.bar(label, dots, patient.probability)


def rows(scored: Sequence[JudgedImage]) -> list[list[Any]]:
    """Return the table: a row for each image, in the order of `COLUMNS`."""
    return [
        [each.name, each.answer.verdict, _probability(each.answer), _warnings(each.answer)]
        if each.answer
        else [each.name, "not judged", None, each.reason]
        for each in scored
    ]


def _probability(answer: Prediction) -> float | None:
    return None if answer.verdict == "rejected" else round(answer.probability, 3)


def _warnings(answer: Prediction) -> str:
    return " ".join(warning.message for warning in answer.warnings)


def downloads(scored: Sequence[JudgedImage], patient: PatientScore | None, formed: str) -> str:
    """Return links that hold CSV and PDF themselves."""
    links = (
        ("patient.csv", "text/csv", report.to_csv(scored), "Table as CSV"),
        ("patient.pdf", "application/pdf", report.to_pdf(scored, patient, formed), "Report as PDF"),
    )
    return download_links(links)


def failures(scored: Sequence[JudgedImage]) -> str:
    """List the images that could not be judged, and why."""
    items = "".join(
        f"<li><strong>{escape(each.name)}</strong>: {escape(each.reason)}</li>"
        for each in scored
        if not each.answer
    )
    return f"<h3>Not judged</h3><ul>{items}</ul>" if items else ""


def gallery(scored: Sequence[JudgedImage]) -> str:
    """Show the heat map of each image that is not rejected."""
    figures = "".join(
        f'<figure><img loading="lazy" decoding="async" alt="Heat map of {escape(each.name)}" '
        f'src="{data_url(each.thumbnail, "image/jpeg")}"><figcaption>{escape(each.name)}: '
        f"{each.used.verdict}, {each.used.probability:.0%}</figcaption></figure>"
        for each in scored
        if each.used
    )
    if not figures:
        return ""
    return f'<h3>Heat maps</h3><p>{LEGEND}</p><div class="heatmaps">{figures}</div>'
