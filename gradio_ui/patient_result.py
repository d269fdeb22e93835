"""What is shown of a patient: table, verdict, files, and pictures."""

from dataclasses import dataclass, field
from html import escape

from bulk.patient import PatientScore, score_patient
from gradio_ui import picture, report, verdict
from gradio_ui.errors import ModelChanged
from gradio_ui.scoring import JudgedImage
from handler.prediction import ModelId
from serve.description import Description, RunningModel

COLUMNS = ["File", "Verdict", "Probability", "Warnings"]


@dataclass
class PatientRun:
    """A patient's images so far; see `gradio_ui.run.Run`."""

    model: RunningModel
    total: int
    scored: list[JudgedImage] = field(default_factory=list)

    def view(self) -> list[list[str | float | None]]:
        """Return the table: a row for each image, in the order of `COLUMNS`."""
        return [
            [
                each.name,
                each.answer.verdict,
                round(each.used.probability, 3) if each.used else None,
                " ".join(warning.message for warning in each.answer.warnings),
            ]
            if each.answer
            else [each.name, "not judged", None, each.reason]
            for each in self.scored
        ]

    def conclude(self) -> tuple[str, str]:
        """Return the verdict on all images, and links that hold CSV and PDF, as HTML."""
        answers = [each.answer for each in self.scored if each.answer]
        judges = {answer.model.sha256 for answer in answers}
        if len(judges) > 1:
            raise ModelChanged
        description = self.model.behind(judges.pop()) if judges else self.model.describe()
        if description is None:
            raise ModelChanged
        patient, formed = score_patient(answers, description.rule), how_formed(description)
        pdf = report.to_pdf(self.scored, patient, formed, description.model)
        links = (
            ("patient.csv", "text/csv", report.to_csv(self.scored), "Table as CSV"),
            ("patient.pdf", "application/pdf", pdf, "Report as PDF"),
        )
        return self._summary(patient, formed, description.model), picture.download_links(links)

    def _summary(self, patient: PatientScore | None, formed: str, model: ModelId) -> str:
        if patient is None:
            why = "No image could be used. The table and the list say why."
            return verdict.box("rejected", "No verdict", [why])
        lines = [report.means(patient, len(self.scored))]
        if patient.verdict == "uncertain":
            lines.append("The model is not sure enough to say. Add fields of the same patient.")
        dots = "".join(
            f'<div class="dot" style="left: {each.used.probability:.1%}"></div>'
            for each in self.scored
            if each.used
        )
        label = f"Probabilities of the images; their mean is {patient.probability:.0%}."
        bar = verdict.bar(label, dots, patient.probability)
        return verdict.box(
            patient.verdict,
            patient.verdict,
            lines,
            graphic=f"{bar}<p><small>{escape(formed)}</small></p>",
            footer=f"Model {model.name} {model.version}.",
        )

    def gallery(self) -> str:
        """Return what could not be judged and why, and the heat maps of what is not rejected."""
        failed = "".join(
            f"<li><strong>{escape(each.name)}</strong>: {escape(each.reason)}</li>"
            for each in self.scored
            if not each.answer
        )
        figures = (
            picture.figure(
                picture.data_url(each.thumbnail),
                f"{each.name}: {each.used.verdict}, {each.used.probability:.0%}",
            )
            for each in self.scored
            if each.used
        )
        listed = f'<h3>Not judged</h3><ul class="failed">{failed}</ul>' if failed else ""
        return listed + picture.gallery("Heat maps", picture.LEGEND, figures)


def how_formed(description: Description) -> str:
    """Say how a patient's score is formed and how good it was, in plain text."""
    measured = description.evaluation["magnifications"]["40X"]["patient"]
    auc = measured["auc"]
    low, high = auc["interval"]
    rule = description.rule
    return (
        "The verdict comes from the mean of the images' decisions (the sum rule of Kittler et al., "
        "IEEE TPAMI 1998, doi:10.1109/34.667881): uncertain from "
        f"{rule.abstain[0]:.2f} to {rule.abstain[1]:.2f}, else malignant from "
        f"{rule.threshold:.2f} up. Rejected images do not count. On {measured['benign']} benign "
        f"and {measured['malignant']} malignant patients whom the model had never seen, it reached "
        f"an area under the ROC curve of {auc['value']:.2f} (95% interval {low:.2f} to "
        f"{high:.2f}), was uncertain about {measured['abstained']['value']:.0%} of them and wrong "
        f"about {measured['wrong_verdicts']['value']:.0%}."
    )
