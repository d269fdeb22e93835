"""A prediction, or why there is none, as HTML."""

from html import escape

from serve.client import Prediction

RESEARCH_ONLY = (
    "Research software, not a medical device. It must not be used for diagnosis or treatment."
)

# What each verdict means to a reader, in a sentence.
MEANINGS = {
    "benign": "The model places this field on the benign side.",
    "malignant": "The model places this field on the malignant side.",
    "uncertain": "The model is not sure enough to say. Use another field of the same slide.",
    "rejected": "This does not look like the tissue the model knows, so it gives no verdict.",
}

# Colours that colour-blind people can tell apart (Okabe and Ito), dark enough to
# carry white text; the word is always beside the colour.
CSS = """
.verdict { border-radius: 12px; padding: 16px 20px; color: #fff; }
.verdict, .verdict * { color: #fff; }
.verdict h2 { margin: 0 0 4px; font-size: 1.9rem; text-transform: capitalize; }
.verdict p { margin: 4px 0; }
.verdict.benign { background: #00598c; }
.verdict.malignant { background: #a84700; }
.verdict.uncertain, .verdict.rejected, .verdict.waiting { background: #4a5057; }
.verdict.refused, .verdict.down { background: #7a2048; }
.verdict .scale { position: relative; height: 14px; margin: 10px 0 2px; border-radius: 7px;
  background: rgba(255, 255, 255, .3); overflow: hidden; }
.verdict .scale div { height: 100%; background: #fff; }
.verdict .ends { display: flex; justify-content: space-between; font-size: .85rem; }
.research-only { font-weight: 600; }
"""


def waiting() -> str:
    """Return what stands there before the first image."""
    return _box("waiting", "No image yet", ["Choose a 40x field of an H&E-stained breast biopsy."])


def prediction(answer: Prediction) -> str:
    """Return the verdict with its probability and warnings."""
    percent = f"{answer.probability:.0%}"
    scale = (
        f'<div class="scale" role="img" aria-label="Probability of malignancy {percent}">'
        f'<div style="width: {answer.probability:.1%}"></div></div>'
        '<div class="ends"><span>benign</span><span>malignant</span></div>'
    )
    lines = [MEANINGS[answer.verdict], *(warning["message"] for warning in answer.warnings)]
    if answer.verdict != "rejected":
        lines.insert(1, f"Calibrated probability of malignancy: {percent}")
    else:
        scale = ""
    model = answer.model
    footer = f"Model {model['name']} {model['version']}. {RESEARCH_ONLY}"
    return _box(answer.verdict, answer.verdict, lines, scale, footer)


def refusal(message: str) -> str:
    """Return the service's own message about an image that can't be used."""
    return _box("refused", "Image refused", [message])


def trouble(message: str) -> str:
    """Return a message about the service itself."""
    return _box("down", "No answer from the service", [message])


def _box(kind: str, title: str, lines: list[str], scale: str = "", footer: str = "") -> str:
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in lines)
    small = f"<p><small>{escape(footer)}</small></p>" if footer else ""
    return (
        f'<div class="verdict {kind}" role="status"><h2>{escape(title)}</h2>'
        f"{paragraphs}{scale}{small}</div>"
    )
