"""For programs: the page's own endpoints, and how to call them."""

from typing import Any

import gradio as gr

from bulk.patient import score_patient
from gradio_ui.errors import UnreadableUpload
from gradio_ui.patient_result import how_formed
from gradio_ui.patient_tab import PATIENTS
from gradio_ui.retention import delete
from gradio_ui.scoring import score_images
from gradio_ui.uploads import UploadedFile, find_uploads, read_upload
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ServeError

INTRODUCTION = """
Two endpoints, no key: `/classify` takes one image and answers with its verdict and heat map (base64
PNG), `/patient` takes several, or a zip of them, and answers with each verdict and all together.
`field.png` stands for your image. Who runs the service on a machine of their own finds its faster
HTTP API in the project's README.
"""
# The address by which this visitor reached the page, behind whatever proxy.
ADDRESS = "() => location.origin + location.pathname.replace(/[/]$/, '')"
CURL = """\
URL={url}
FILE=$(curl -s -F files=@field.png $URL/gradio_api/upload | cut -d'"' -f2)
EVENT=$(curl -s $URL/gradio_api/call/classify -H "Content-Type: application/json" \\
  -d '{{"data": [{{"path": "'"$FILE"'", "meta": {{"_type": "gradio.FileData"}}}}]}}' |
  cut -d'"' -f4)
curl -s $URL/gradio_api/call/classify/$EVENT
"""
REQUESTS = """\
import json

import requests

url = "{url}/gradio_api"
with open("field.png", "rb") as image:
    (path,) = requests.post(f"{{url}}/upload", files={{"files": image}}).json()
data = [{{"path": path, "meta": {{"_type": "gradio.FileData"}}}}]
event = requests.post(f"{{url}}/call/classify", json={{"data": data}}).json()["event_id"]
for line in requests.get(f"{{url}}/call/classify/{{event}}").text.splitlines():
    if line.startswith("data: "):
        (answer,) = json.loads(line.removeprefix("data: "))
        print(answer["verdict"], answer["probability"])
"""
GRADIO_CLIENT = """\
from gradio_client import Client, handle_file

client = Client("{url}")
answer = client.predict(handle_file("field.png"), api_name="/classify")
print(answer["verdict"], answer["probability"])

files = [handle_file("field.png"), handle_file("field.png")]
answer = client.predict(files, api_name="/patient")
print(answer["patient"])
"""
SNIPPETS = (
    ("curl", "shell", CURL),
    ("Python, requests", "python", REQUESTS),
    ("Python, gradio_client", "python", GRADIO_CLIENT),
)


def build(page: gr.Blocks, client: Client, model: RunningModel) -> None:
    """Build the tab's content, and the endpoints.

    Parameters
    ----------
    page : gradio.Blocks
        Tells its address whenever it is opened.
    client : Client
    model : RunningModel
    """

    def classify(files: list[UploadedFile]) -> dict[str, Any]:
        try:
            if len(files) != 1:
                raise UnreadableUpload("Send one image; for several there is /patient.")
            return client.predict(read_upload(files[0].path), heatmap=True).to_json()
        except (ServeError, UnreadableUpload) as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            delete(files)

    def patient(files: list[UploadedFile]) -> dict[str, Any]:
        try:
            scored = list(score_images(client, find_uploads(files)))
            description = model.describe()
        except (ServeError, UnreadableUpload) as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            delete(files)
        score = score_patient((each.answer for each in scored if each.answer), description.rule)
        return {
            "patient": vars(score) if score else None,
            "formed": how_formed(description),
            "images": [
                {"file": s.name, **(s.answer.to_json() if s.answer else {"error": s.reason})}
                for s in scored
            ],
        }

    gr.Markdown(INTRODUCTION)
    snippets = [
        gr.Code(label=label, language=language, interactive=False, wrap_lines=True)  # type: ignore
        for label, language, _ in SNIPPETS
    ]
    page.load(
        lambda url: [text.format(url=url) for _, _, text in SNIPPETS],
        gr.Textbox(visible=False),
        snippets,
        js=ADDRESS,
        show_progress="hidden",
        api_visibility="private",
    )

    image = gr.File(label="image", visible=False)
    images = gr.File(label="images", file_count="multiple", visible=False)
    answer = gr.JSON(label="answer", visible=False)
    gr.Button(visible=False).click(classify, image, answer, api_name="classify")
    gr.Button(visible=False).click(
        patient, images, answer, api_name="patient", concurrency_id=PATIENTS
    )
