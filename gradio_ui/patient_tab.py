"""A patient: many images in, a table, a gallery, one score and two files out."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from gradio_ui import patient_result as result
from gradio_ui import verdict
from gradio_ui.description import RunningModel
from gradio_ui.errors import UnreadableUpload
from gradio_ui.scoring import Scored, score_images, score_patient
from gradio_ui.uploads import Received, delete, find_uploads, received
from serve.client import Client
from serve.errors import ServeError

INTRODUCTION = (
    "Upload several 40x fields of one patient, as files or as a zip. Each is judged by itself, "
    "and then all together. Nothing is kept: the uploads are deleted as soon as they are judged."
)
# Seconds between two looks at the progress: often enough to see it move.
REFRESH = 0.3
# Patients at a time; the others wait, so that single images still get through.
PATIENTS, RUNS = "patients", 2


def build(client: Client, model: RunningModel) -> None:
    """Build the tab's content.

    Parameters
    ----------
    client : Client
    model : RunningModel
    """

    def judge(sent: list[Received]) -> Iterator[tuple[list[Scored], str, list[list]]]:
        scored: list[Scored] = []
        if not sent:
            yield scored, verdict.box("waiting", "No images yet", ["Choose some images first."]), []
            return
        try:
            uploads = find_uploads(sent)
            yield scored, result.progress_bar(0, len(uploads)), []
            shown = time.monotonic()
            for each in score_images(client, uploads):
                scored.append(each)
                if time.monotonic() - shown > REFRESH:
                    yield (
                        scored,
                        result.progress_bar(len(scored), len(uploads)),
                        result.rows(scored),
                    )
                    shown = time.monotonic()
            yield scored, result.progress_bar(len(scored), len(uploads)), result.rows(scored)
        except (UnreadableUpload, ServeError) as error:
            yield scored, verdict.trouble(str(error)), result.rows(scored)
        finally:
            delete(sent)

    def conclude(scored: list[Scored]) -> tuple:
        if not scored:
            return None, "", "", "", ""
        try:
            description = model.describe()
        except ServeError as error:
            return (
                None,
                verdict.trouble(str(error)),
                "",
                result.failures(scored),
                result.gallery(scored),
            )
        patient = score_patient(scored, description.rule)
        formed = result.how_formed(description)
        return (
            None,
            result.summary(patient, scored, formed),
            result.downloads(scored, patient, formed),
            result.failures(scored),
            result.gallery(scored),
        )

    def stop(scored: list[Scored], sent: list[Received]) -> tuple:
        delete(sent)
        return f"Stopped after {len(scored)} images.", *conclude(scored)

    def lock() -> tuple:
        return gr.update(interactive=False), gr.update(interactive=True)

    def unlock() -> tuple:
        return gr.update(interactive=True), gr.update(interactive=False), None

    gr.Markdown(INTRODUCTION)
    results = gr.State(time_to_live=3600)
    files = gr.File(
        label="Images of one patient, or a zip of them",
        file_count="multiple",
        height=200,
        elem_id="files",
    )
    files.preprocess = received  # type: ignore
    with gr.Row():
        start = gr.Button("Judge the patient", variant="primary")
        cancel = gr.Button("Cancel", variant="stop", interactive=False)
    progress = gr.HTML(elem_id="progress")
    together = gr.HTML(elem_id="patient")
    downloads = gr.HTML(elem_id="downloads")
    table = gr.Dataframe(
        label="Images",
        headers=result.COLUMNS,
        datatype=["str", "str", "number", "str"],
        interactive=False,
        wrap=True,
        column_widths=["40%", "16%", "16%", "28%"],
        max_height=420,
        elem_id="images",
    )
    failed = gr.HTML(elem_id="failed")
    gallery = gr.HTML(elem_id="gallery")

    private: dict[str, Any] = {"api_visibility": "private"}
    buttons = [start, cancel]
    outcome = [results, together, downloads, failed, gallery]
    start.click(lock, None, buttons, queue=False, show_progress="hidden", **private)
    run = start.click(
        judge,
        files,
        [results, progress, table],
        concurrency_id=PATIENTS,
        concurrency_limit=RUNS,
        show_progress_on=progress,
        **private,
    )
    done = run.then(conclude, results, outcome, **private)
    done.then(unlock, None, [*buttons, files], show_progress="hidden", **private)
    stopped = cancel.click(stop, [results, files], [progress, *outcome], cancels=[run], **private)
    stopped.then(unlock, None, [*buttons, files], show_progress="hidden", **private)
