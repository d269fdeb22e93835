"""A verdict, or why there is none, as HTML."""

from collections.abc import Sequence
from html import escape

import gradio as gr

from handler.prediction import Prediction
from serve.description import Description

# What each verdict means to a reader, and what to do.
MEANINGS = {
    "benign": "The model finds this field benign.",
    "malignant": "The model finds this field malignant.",
    "uncertain": (
        "The model is not sure enough to say. "
        "Try another field of the same slide, or several together under “Patient”."
    ),
    "rejected": "The model gives no verdict on this picture, because:",
}


def live(elem_id: str) -> gr.HTML:
    """Build a component whose content screen readers announce when it changes."""
    return gr.HTML(html_template='<div role="status">${value}</div>', elem_id=elem_id, value="")


def prediction(answer: Prediction, model: Description | None, seconds: float) -> str:
    """Return the verdict with its probability, warnings and origin, and the model's figures.

    Parameters
    ----------
    answer : Prediction
    model : Description or None
        The model that answered; None where it is not known.
    seconds : float
        From sending the image to its answer.
    """
    lines, scale = [MEANINGS[answer.verdict]], ""
    if answer.verdict != "rejected":
        lines.append(f"Probability of malignancy: {answer.probability:.0%}")
        scale = _scale(answer.probability, model)
        if model and answer.verdict == "uncertain":
            low, high = map(model.rule.probability, model.rule.abstain)
            lines.insert(
                1,
                f"Between {low:.0%} and {high:.0%} it would be wrong in more than "
                f"{model.tolerated_risk:.0%} of cases.",
            )
    name, version = answer.model.name, answer.model.version
    footer = f"Model {name} {version}, answered in {seconds:.2f} s."
    warnings = [warning.message for warning in answer.warnings]
    said = box(
        answer.verdict, answer.verdict, lines, graphic=scale, warnings=warnings, footer=footer
    )
    return said + (figures(model) if model else "")


def figures(model: Description) -> str:
    """Return how good the model was on patients whom it had never seen, in three figures."""
    measured = model.evaluation["magnifications"]["40X"]["patient"]
    none, wrong = measured["abstained"]["value"], measured["wrong_verdicts"]["value"]
    shares = (("right verdict", 1 - none - wrong), ("no verdict", none), ("wrong verdict", wrong))
    tiles = "".join(f"<li><strong>{share:.0%}</strong> {name}</li>" for name, share in shares)
    patients = measured["benign"] + measured["malignant"]
    return (
        f'<div class="figures"><p>Of {patients} patients it had never seen, this model gave</p>'
        f'<ul>{tiles}</ul><p><button type="button" class="link" data-tab="Model">'
        "How this was measured</button></p></div>"
    )


def refusal(message: str) -> str:
    """Return the service's own message about an image that can't be used."""
    return box("refused", "Image refused", [message])


def trouble(message: str) -> str:
    """Return a message about the service itself."""
    return box("down", "No answer from the service", [message])


def box(
    kind: str,
    title: str,
    lines: Sequence[str],
    *,
    graphic: str = "",
    warnings: Sequence[str] = (),
    footer: str = "",
) -> str:
    """Return a box with a verdict or a message.

    Parameters
    ----------
    kind : str
        Class in ``style.css``.
    title : str
    lines, warnings : sequence of str
        Plain text.
    graphic : str
        HTML between lines and warnings.
    footer : str
        Plain text.
    """
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in lines)
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    listed = f'<ul class="warnings">{items}</ul>' if items else ""
    small = f"<p><small>{escape(footer)}</small></p>" if footer else ""
    return (
        f'<div class="verdict {kind}"><h2>{escape(title)}</h2>'
        f"{paragraphs}{graphic}{listed}{small}</div>"
    )


def bar(label: str, marks: str, probability: float) -> str:
    """Draw a probability over marks, which are HTML; the label says it to those who can't see."""
    return (
        f'<div class="scale" role="img" aria-label="{label}">'
        f'{marks}<div class="marker" style="left: {probability:.1%}"></div></div>'
        '<div class="ends"><span>0 benign</span><span>malignant 1</span></div>'
    )


def _scale(probability: float, model: Description | None) -> str:
    """Draw the probability on a bar with the threshold and the abstention band."""
    label = f"Probability of malignancy {probability:.0%}."
    if model is None:
        return bar(label, "", probability)
    rule = model.rule
    threshold = rule.probability(rule.threshold)
    low, high = map(rule.probability, rule.abstain)
    label += f" Uncertain from {low:.0%} to {high:.0%}, threshold at {threshold:.0%}."
    limits = (
        f'<div class="band" style="left: {low:.1%}; width: {high - low:.1%}"></div>'
        f'<div class="threshold" style="left: {threshold:.1%}"></div>'
    )
    legend = (
        f'<p class="legend"><span class="band"></span>uncertain, {low:.0%} to {high:.0%} '
        f'<span class="threshold"></span>threshold, {threshold:.0%}</p>'
    )
    return bar(label, limits, probability) + legend
