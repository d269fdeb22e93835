"""For programs: the page's own endpoints, which its footer's "Use via API" shows."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from bulk.patient import score_patient
from gradio_ui.errors import UnreadableUpload
from gradio_ui.patient_result import how_formed
from gradio_ui.patient_tab import PATIENTS
from gradio_ui.retention import delete
from gradio_ui.scoring import score_images
from gradio_ui.uploads import Upload, UploadedFile, find_uploads, read_upload
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ServeError

# What `gradio_client.handle_file` makes of a file. Gradio's own example is an address, and the page
# asks none.
EXAMPLE = {"path": "field.png", "url": "field.png", "meta": {"_type": "gradio.FileData"}}


def build(client: Client, model: RunningModel) -> None:
    """Build the endpoints; Gradio shows their docstrings."""

    def classify(image: list[UploadedFile]) -> dict[str, Any]:
        """Judge one image: its verdict, and its heat map as base64 PNG."""
        try:
            if len(image) != 1:
                raise UnreadableUpload("Send one image; for several there is /patient.")
            return client.predict(read_upload(image[0].path), heatmap=True).to_json()
        except (ServeError, UnreadableUpload) as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            delete(image)

    def patient(images: list[UploadedFile]) -> dict[str, Any]:
        """Judge a patient by images, or a zip of them: each verdict, and all together."""
        try:
            return judged_together(client, model, find_uploads(images))
        except (ServeError, UnreadableUpload) as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            delete(images)

    one = gr.File(label="image", visible=False)
    one.example_payload = lambda: EXAMPLE  # type: ignore[method-assign]
    several = gr.File(label="images", file_count="multiple", visible=False)
    several.example_payload = lambda: [EXAMPLE]  # type: ignore[method-assign]
    answer = gr.JSON(label="answer", visible=False)
    gr.Button(visible=False).click(classify, one, answer, api_name="classify")
    gr.Button(visible=False).click(
        patient, several, answer, api_name="patient", concurrency_id=PATIENTS
    )
    # They take files, which an assistant can only name by an address; see gradio_ui.tools.
    for endpoint in (classify, patient):
        endpoint._mcp_type = "no tool"  # type: ignore[union-attr]


def judged_together(
    client: Client, model: RunningModel, uploads: Sequence[Upload]
) -> dict[str, Any]:
    """Judge a patient, and return what programs get.

    Raises
    ------
    ServeError
        The service does not answer.
    """
    scored = list(score_images(client, uploads))
    description = model.describe()
    score = score_patient((each.answer for each in scored if each.answer), description.rule)
    return {
        "patient": vars(score) if score else None,
        "formed": how_formed(description),
        "images": [
            {"file": s.name, **(s.answer.to_json() if s.answer else {"error": s.reason})}
            for s in scored
        ],
    }
