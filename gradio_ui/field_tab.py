"""One image: a field in, its verdict and heat map out."""

import time
from collections.abc import Mapping

import gradio as gr

from gradio_ui import verdict
from gradio_ui.errors import UnreadableUpload
from gradio_ui.picture import over_field, thumbnail
from gradio_ui.retention import delete
from gradio_ui.uploads import UploadedFile, read_upload
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ImageRefused, ServeError

INTRODUCTION = (
    "Upload, drop, paste or photograph an H&E-stained breast biopsy taken at 40x, as in the "
    "BreakHis data set: one whole microscope field. PNG, JPEG, TIFF, BMP or WebP."
)
# On a phone the verdict stands below the fold.
SHOW_VERDICT = "() => document.querySelector('#answer').scrollIntoView({block: 'nearest'})"


def build(client: Client, model: RunningModel, examples: Mapping[str, bytes], origin: str) -> None:
    """Build the tab's content.

    Parameters
    ----------
    client : Client
    model : RunningModel
    examples : mapping of str to bytes
        Images to click: name to content.
    origin : str
        What they are, in a sentence.
    """
    names = list(examples)

    def judge(name: str, content: bytes) -> tuple[str, str]:
        try:
            began = time.perf_counter()
            answer = client.predict(content, heatmap=True, field=True)
            seconds = time.perf_counter() - began
            description = model.behind(answer.model.sha256)
        except ImageRefused as error:
            return verdict.refusal(str(error)), ""
        except ServeError as error:
            return verdict.trouble(str(error)), ""
        shown = verdict.prediction(answer, description, seconds)
        if answer.verdict == "rejected":
            return shown, ""
        return shown, over_field(answer.field or b"", answer.heatmap or b"", name)

    def judge_upload(files: list[UploadedFile]) -> tuple[str, str]:
        if not files:  # it was taken out of the box again
            return verdict.waiting(), ""
        try:
            return judge(files[0].name, read_upload(files[0].path))
        except UnreadableUpload as error:
            return verdict.refusal(str(error)), ""
        finally:
            delete(files)

    def judge_example(index: int) -> tuple[str, str]:
        return judge(names[index], examples[names[index]])

    gr.Markdown(INTRODUCTION)
    with gr.Row():
        with gr.Column():
            field = gr.Image(
                label="Biopsy field",
                elem_id="field",
                sources=["upload", "clipboard", "webcam"],
                height=320,
            )
            # As HTML: in a file that is served, a visitor could name it as an upload of theirs.
            samples = gr.Dataset(
                label="Examples",
                components=[gr.HTML(visible=False)],
                samples=[[thumbnail(content, name)] for name, content in examples.items()],
                type="index",
                elem_id="examples",
            )
            gr.Markdown(origin)
        with gr.Column(elem_id="answer"):
            answer = gr.HTML(verdict.waiting())
            picture = gr.HTML()
    shown = [answer, picture]
    # A drop, a paste and a photograph are uploads, too.
    judged = field.upload(
        judge_upload, field, shown, trigger_mode="always_last", api_visibility="private"
    )
    # The box is empty again for the next field.
    judged.then(lambda: None, None, field, show_progress="hidden", api_visibility="private")
    clicked = samples.click(judge_example, samples, shown, api_visibility="private")
    for done in (judged, clicked):
        done.then(None, js=SHOW_VERDICT)
