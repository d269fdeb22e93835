"""One image: a field in, its verdict and heat map out."""

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from gradio_ui import heat_map_view, verdict
from gradio_ui.errors import UnreadableUpload
from gradio_ui.picture import data_url, figure, shrink
from gradio_ui.retention import delete
from gradio_ui.uploads import UploadedFile, read_upload
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ImageRefused, ServeError

INTRODUCTION = (
    "Choose one whole field of an H&E-stained breast biopsy, photographed at 40x as in the "
    "BreakHis data set: a PNG, JPEG, TIFF, BMP or WebP file."
)
NONE_YET = "No image yet: choose a picture, or click an example."
# Upload and examples may lie far below the answer, on a phone above all.
SHOW_VERDICT = """() => {
    const answer = document.querySelector("#answer");
    if (answer.getBoundingClientRect().top < 0) answer.scrollIntoView();
}"""


def build(
    page: gr.Blocks,
    client: Client,
    model: RunningModel,
    examples: Mapping[str, bytes],
    origin: str,
) -> None:
    """Build the tab's content; see `gradio_ui.page.build_page`."""
    names = list(examples)

    def wait() -> dict[str, Any]:
        try:
            figures = verdict.figures(model.describe())
        except ServeError:
            figures = ""  # the page says above that the service is down
        return heat_map_view.words(f"<p>{NONE_YET}</p>{figures}")

    def judge(name: str, content: bytes) -> dict[str, Any]:
        try:
            began = time.perf_counter()
            answer = client.predict(content, field=True, attribution=True)
            seconds = time.perf_counter() - began
            description = model.behind(answer.model.sha256)
        except ImageRefused as error:
            return heat_map_view.words(verdict.refusal(str(error)))
        except ServeError as error:
            return heat_map_view.words(verdict.trouble(str(error)))
        return heat_map_view.field(answer, verdict.prediction(answer, description, seconds), name)

    def judge_upload(files: list[UploadedFile]) -> dict[str, Any]:
        if not files:  # it was taken out of the box again
            return wait()
        try:
            return judge(files[0].name, read_upload(files[0].path))
        except UnreadableUpload as error:
            return heat_map_view.words(verdict.refusal(str(error)))
        finally:
            delete(files)

    def judge_example(index: int) -> dict[str, Any]:
        return judge(names[index], examples[names[index]])

    with gr.Column(elem_id="one-image"):
        answer = heat_map_view.build("answer")
        with gr.Row(elem_id="choice"):
            with gr.Column():
                gr.Markdown(INTRODUCTION)
                field = gr.Image(
                    label="Picture",
                    elem_id="field",
                    sources=["upload", "clipboard", "webcam"],
                    height=230,
                )
            with gr.Column():
                # As HTML: in a file that is served, a visitor could name it as an upload of theirs.
                samples = gr.Dataset(
                    label="Examples",
                    components=[gr.HTML(visible=False)],
                    samples=[[figure(data_url(shrink(examples[name])), name)] for name in names],
                    type="index",
                    elem_id="examples",
                )
                gr.Markdown(origin)
    page.load(wait, None, answer, show_progress="hidden", api_visibility="private")
    # A drop, a paste and a photograph are uploads, too.
    judged = field.upload(
        judge_upload, field, answer, trigger_mode="always_last", api_visibility="private"
    )
    # The box is empty again for the next field.
    judged.then(lambda: None, None, field, show_progress="hidden", api_visibility="private")
    clicked = samples.click(judge_example, samples, answer, api_visibility="private")
    for done in (judged, clicked):
        done.then(None, js=SHOW_VERDICT)
