"""For assistants: the tools of the page's MCP server, which take images as text.

A file would have to be named by an address or a path, and this page asks none and reads none.
"""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import api

from gradio_ui.endpoints import judged_together
from gradio_ui.errors import UnreadableUpload
from gradio_ui.patient_tab import PATIENTS
from gradio_ui.uploads import MAX_IMAGES, Upload
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ServeError


def build(client: Client, model: RunningModel) -> None:
    """Build the tools; assistants read their docstrings, which are in the form Gradio parses."""

    def classify_field(image: str) -> dict[str, Any]:
        """Judge one photograph of an H&E-stained breast biopsy taken at 40x.

        Research only: it is no diagnosis and must not be used as one. Answers with the verdict
        (benign, malignant, uncertain, or rejected if the picture is no such photograph), the
        calibrated probability of malignancy, and warnings, which say what is wrong with the
        picture.

        Args:
            image: The image file itself (PNG, JPEG, TIFF, BMP or WebP) as base64; no address.
        """
        return _answered(lambda: client.predict(_decoded(image)).to_json())

    def judge_patient(images: list[str]) -> dict[str, Any]:
        """Judge several 40x photographs of one patient together.

        Research only: it is no diagnosis and must not be used as one. Answers with `patient`, the
        verdict on all of them (null if none can be used); with `formed`, how that is made and how
        good it was; and with `images`, an answer for each as classify_field gives it.

        Args:
            images: The image files themselves, each as base64; no addresses.
        """
        if len(images) > MAX_IMAGES:
            raise gr.Error(f"Send at most {MAX_IMAGES} images.", print_exception=False)
        uploads = [
            Upload(f"image {number}", partial(_decoded, image))
            for number, image in enumerate(images, start=1)
        ]
        return _answered(lambda: judged_together(client, model, uploads))

    def describe_model() -> dict[str, Any]:
        """Describe the model that runs: what it is for, how good it is, and its limits.

        Read this before you explain a verdict to anybody. Answers with its identity, its model
        card (Markdown), and how often patients whom it had never seen got a right verdict, none or
        a wrong one.
        """
        description = _answered(model.describe)
        return {
            "model": vars(description.model),
            "card": description.card,
            "unseen_patients": description.evaluation["magnifications"]["40X"]["patient"],
        }

    api(classify_field, api_name="classify_field")
    api(judge_patient, api_name="judge_patient", concurrency_id=PATIENTS)
    api(describe_model, api_name="describe_model")


def _answered(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (ServeError, UnreadableUpload) as error:
        raise gr.Error(str(error), print_exception=False) from None


def _decoded(image: str) -> bytes:
    try:
        return base64.b64decode(image, validate=True)
    except ValueError:
        raise UnreadableUpload(
            "Send the image file itself as base64: this page asks no address and reads no path."
        ) from None
