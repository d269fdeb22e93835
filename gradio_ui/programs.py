"""For programs and assistants: the page's endpoints, which its footer lists.

Programs send files. An assistant could name a file by an address or a path only, and this page
asks none and reads none; so the tools of its MCP server take images as text.
"""

import base64
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import api

from bulk.patient import score_patient
from gradio_ui.errors import UnreadableUpload
from gradio_ui.patient_result import how_formed
from gradio_ui.patient_tab import PATIENT
from gradio_ui.retention import delete
from gradio_ui.scoring import score_images
from gradio_ui.uploads import MAX_IMAGES, Upload, UploadedFile, find_uploads, read_upload
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ServeError

# What `gradio_client.handle_file` makes of a file. Gradio's own example is an address, and the page
# asks none.
EXAMPLE = {"path": "field.png", "url": "field.png", "meta": {"_type": "gradio.FileData"}}
OF_FILES = ("classify", "patient")


def build(client: Client, model: RunningModel) -> None:
    """Build the endpoints; docstrings are shown, and are in the form that Gradio parses."""

    def classify(image: list[UploadedFile]) -> dict[str, Any]:
        """Judge one image file: its verdict, and its heat map as base64 PNG."""

        def judge() -> dict[str, Any]:
            if len(image) != 1:
                raise UnreadableUpload("Send one image; for several there is /patient.")
            return client.predict(read_upload(image[0].path), heatmap=True).to_json()

        return _answered(judge, image)

    def patient(images: list[UploadedFile]) -> dict[str, Any]:
        """Judge a patient by image files, or a zip of them: each verdict, and all together."""
        return _answered(lambda: together(find_uploads(images)), images)

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
        return _answered(lambda: together(uploads))

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

    def together(uploads: Sequence[Upload]) -> dict[str, Any]:
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

    one = gr.File(label="image", visible=False)
    one.example_payload = lambda: EXAMPLE  # type: ignore[method-assign]
    several = gr.File(label="images", file_count="multiple", visible=False)
    several.example_payload = lambda: [EXAMPLE]  # type: ignore[method-assign]
    answer = gr.JSON(label="answer", visible=False)
    for name, fn, taken in zip(OF_FILES, (classify, patient), (one, several), strict=True):
        queue = PATIENT if fn is patient else None
        gr.Button(visible=False).click(fn, taken, answer, api_name=name, concurrency_id=queue)
    api(classify_field, api_name="classify_field")
    api(judge_patient, api_name="judge_patient", concurrency_id=PATIENT)
    api(describe_model, api_name="describe_model")


def take_endpoints_of_files_from_assistants(page: gr.Blocks) -> None:
    """Leave the MCP server of a page that is launched those tools that take text."""
    assert page.mcp_server_obj
    tools = page.mcp_server_obj.tool_to_endpoint
    for tool in [tool for tool, endpoint in tools.items() if endpoint.strip("/") in OF_FILES]:
        del tools[tool]


def _answered(ask: Callable[[], Any], sent: Sequence[UploadedFile] = ()) -> Any:
    try:
        return ask()
    except (ServeError, UnreadableUpload) as error:
        raise gr.Error(str(error), print_exception=False) from None
    finally:
        delete(sent)


def _decoded(image: str) -> bytes:
    try:
        return base64.b64decode(image, validate=True)
    except ValueError:
        raise UnreadableUpload(
            "Send the image file itself as base64: this page asks no address and reads no path."
        ) from None
