"""A picture with its heat map, drawn in the browser from numbers: for a field and for a slide.

The component's value is what the functions below return.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from gradio_ui.picture import data_url
from handler.heatmap import BENIGN_RGB, MALIGNANT_RGB, MAX_OPACITY
from handler.prediction import Attribution, Prediction

_COLOURS = {
    "MALIGNANT_RGB": str(MALIGNANT_RGB.astype(int).tolist()),
    "BENIGN_RGB": str(BENIGN_RGB.astype(int).tolist()),
    "MAX_OPACITY": str(MAX_OPACITY),
}
ROWS, COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")
# Keys that do what buttons and touches do.
KEYS = "Keys: H for picture or heat map, S for side by side, + and - to zoom."
FIELD_KEYS = f"Click or touch the picture to show or hide the heat map. {KEYS}"
SLIDE_KEYS = (
    f"Click or touch a field to see it. {KEYS[:-1]}, N and P for the next and the previous field."
)


def build(elem_id: str) -> gr.HTML:
    """Build the component, which shows nothing yet."""
    script, template = (
        Path(__file__).with_suffix(kind).read_text("utf-8") for kind in (".js", ".html")
    )
    for name, value in _COLOURS.items():
        script = script.replace(name, value)
    return gr.HTML({}, html_template=template, js_on_load=script, elem_id=elem_id)


def words(said: str) -> dict[str, Any]:
    """Show HTML alone, without a picture."""
    return {"said": said}


def field(answer: Prediction, said: str, name: str) -> dict[str, Any]:
    """Show a field beside what is said of it, with what moved its decision.

    Parameters
    ----------
    answer : Prediction
        With ``field``; no heat map is shown without ``attribution`` or where it is rejected.
    said : str
        HTML.
    name : str
        The file's, in plain text.
    """
    image = data_url(answer.field or b"")
    value: dict[str, Any] = {"said": said, "image": image, "alt": f"The field {name}"}
    if answer.attribution is not None and answer.verdict != "rejected":
        value |= _explanation(answer.attribution, answer.decision)
    return value


def slide(
    overview: str, alt: str, ratio: float, fields: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Show the fields of a slide so far over its overview.

    Parameters
    ----------
    overview, alt : str
        A URL, and what it shows, in plain text.
    ratio : float
        Width over height.
    fields : sequence of dict
        ``x``, ``y``, ``width`` and ``height`` as shares of the slide's, ``strength`` from -1
        (benign) to 1 (malignant), ``verdict``, ``caption`` and ``picture`` (a URL).
    """
    return {
        "image": overview,
        "alt": alt,
        "ratio": ratio,
        "fields": list(fields),
        "label": f"Heat map of {len(fields)} fields: the probability of malignancy of each",
        "ticks": ["0% benign", "50%", "malignant 100%"],
        "lines": [
            "The colour is the probability of malignancy of each field. A line across: uncertain. "
            "A cross: rejected.",
            SLIDE_KEYS,
        ],
    }


def _explanation(attribution: Attribution, decision: float) -> dict[str, Any]:
    places, scale = attribution.places, attribution.scale
    towards_malignant = float(np.maximum(places, 0).mean())
    towards_benign = float(np.minimum(places, 0).mean())
    where = describe(places)
    return {
        "rows": (places / scale).round(3).tolist(),
        "label": f"Heat map. {where}",
        "ticks": [
            f"{-scale:+.1f} benign",
            *(f"{share * scale:+.1f}" if share else "0" for share in (-0.5, 0, 0.5)),
            f"malignant {scale:+.1f}",
        ],
        "lines": [
            f"An average field has a decision of {attribution.base:+.2f}. In this one, orange "
            f"places add {towards_malignant:+.2f} on average and blue ones "
            f"{towards_benign:+.2f}, which makes {decision:+.2f}. {where}",
            f"The scale is the same for every field. {FIELD_KEYS}",
        ],
    }


def describe(places: np.ndarray) -> str:
    """Say in words where the strongest evidence for each side lies.

    Parameters
    ----------
    places : ndarray, shape (rows, columns)
        See `handler.prediction.Attribution`.
    """
    said = []
    for side, signed in (("malignant", places), ("benign", -places)):
        row, column = np.unravel_index(int(signed.argmax()), signed.shape)
        if signed[row, column] > 0:
            down = ROWS[3 * int(row) // signed.shape[0]]
            across = COLUMNS[3 * int(column) // signed.shape[1]]
            where = "centre" if (down, across) == ("middle", "centre") else f"{down} {across}"
            said.append(f"the strongest evidence for {side} lies in the {where}")
    text = ", ".join(said) or "no place moved the decision"
    return f"{text[0].upper()}{text[1:]}."
