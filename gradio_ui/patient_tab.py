"""A patient: many images in, a table, a gallery, one score and two files out."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from bulk.patient import score_patient
from gradio_ui import patient_result as result
from gradio_ui import verdict
from gradio_ui.batch_result import progress_bar
from gradio_ui.errors import UnreadableUpload
from gradio_ui.example_fields import drawn_patient
from gradio_ui.retention import delete
from gradio_ui.scoring import JudgedImage, score_images
from gradio_ui.uploads import UploadedFile, find_uploads
from serve.client import Client
from serve.description import Description, RunningModel
from serve.errors import ServeError

MODEL_CHANGED = (
    "The service's model was changed while the images were judged, so there is no score of all "
    "together. Send the images again."
)
INTRODUCTION = (
    "Upload several 40x fields of one patient, as files or as a zip. Each is judged by itself, "
    "and then all together. Nothing is kept: the uploads are deleted as soon as they are judged."
)
# What Gradio's table lacks: a name of its search box, and a key that opens a column's menu.
TABLE_FOR_ALL = """() => {
    const complete = () => {
        const table = document.querySelector("#images");
        const search = table.querySelector(".search-input");
        if (!search) return setTimeout(complete, 50);
        search.setAttribute("aria-label", "Search the images");
        table.onkeydown = event => {
            const menu = event.target.closest("th")?.querySelector(".cell-menu-button");
            if (event.key !== "Enter" || !menu) return;
            menu.click();
            const enter = () => {
                const item = document.querySelector("[role=menuitem]");
                item ? item.focus() : setTimeout(enter, 20);
            };
            enter();
        };
    };
    complete();
}"""
# Seconds between two looks at the progress: often enough to see it move.
REFRESH = 0.3
# Patients at a time; the others wait, so that single images still get through.
PATIENTS, RUNS = "patients", 2

# What a run yields: see `judge`.
Step = tuple[list[JudgedImage], str, list[list[Any]]]


def build(client: Client, model: RunningModel) -> None:
    """Build the tab's content.

    Parameters
    ----------
    client : Client
    model : RunningModel
    """

    def stop() -> str:
        message = "What follows is of the images that were judged before."
        return verdict.box("waiting", "Cancelled", [message])

    def clear() -> tuple[Any, ...]:
        # The patient before must not stay in sight beside the next one's progress.
        off, on = gr.update(interactive=False), gr.update(interactive=True)
        return off, off, on, "", [], None, "", "", "", ""

    def unlock() -> tuple[Any, ...]:
        on = gr.update(interactive=True)
        return on, on, gr.update(interactive=False)

    gr.Markdown(INTRODUCTION)
    results = gr.State(time_to_live=3600)
    files = gr.File(
        label="Images of one patient, or a zip of them",
        file_count="multiple",
        height=200,
        elem_id="files",
    )
    with gr.Row():
        start = gr.Button("Judge the patient", variant="primary")
        example = gr.Button("Try it with drawn fields", elem_id="patient-example")
        cancel = gr.Button("Cancel", variant="stop", interactive=False)
    progress = verdict.live("progress")
    together = verdict.live("patient")
    downloads = gr.HTML(elem_id="downloads")
    table = gr.Dataframe(
        label="Images",
        headers=result.COLUMNS,
        datatype=["str", "str", "number", "str"],
        type="array",
        interactive=False,
        wrap=True,
        column_widths=["170px", "110px", "130px", "680px"],
        max_height=420,
        show_search="search",
        pinned_columns=1,
        elem_id="images",
    )
    failed = gr.HTML(elem_id="failed")
    gallery = gr.HTML(elem_id="gallery")

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    buttons = [start, example, cancel]
    outcome = [results, together, downloads, failed, gallery]
    runs: list[dict[str, Any]] = []
    for button, task, inputs in (
        (start, partial(judge, client), [files]),
        (example, partial(judge_example, client), None),
    ):
        button.click(clear, None, [*buttons, progress, table, *outcome], queue=False, **quiet)
        judged = button.click(
            task,
            inputs,
            [results, progress, table],
            concurrency_id=PATIENTS,
            concurrency_limit=RUNS,
            show_progress_on=progress,
            **private,
        )
        runs.append(judged)
        done = judged.then(partial(conclude, model), results, outcome, **private)
        if button is start:
            # A run that was cancelled before it began has deleted nothing.
            done = done.then(delete, files, files, **quiet)
        # Last, so that what is chosen next stays in the box.
        done.then(unlock, None, buttons, **quiet)
    # A run that is cancelled is followed by its conclusion all the same.
    cancel.click(stop, None, progress, cancels=runs, **private)


def judge_example(client: Client) -> Iterator[Step]:
    """Judge a patient whose fields are drawn for it; see `judge`."""
    with TemporaryDirectory() as folder:
        drawn = drawn_patient(Path(folder))
        yield from judge(client, [UploadedFile(file, file.name) for file in drawn])


def judge(client: Client, sent: list[UploadedFile]) -> Iterator[Step]:
    """Judge a patient's images, and delete the uploads at the end, however it comes.

    Yields
    ------
    scored : list of JudgedImage
    progress : str
        HTML.
    table : list of list
    """
    scored: list[JudgedImage] = []
    if not sent:
        yield scored, verdict.box("waiting", "No images yet", ["Choose some images first."]), []
        return
    try:
        uploads = find_uploads(sent)
        yield scored, progress_bar(0, len(uploads), "images"), []
        shown = time.monotonic()
        for each in score_images(client, uploads):
            scored.append(each)
            if time.monotonic() - shown > REFRESH:
                yield scored, progress_bar(len(scored), len(uploads), "images"), result.rows(scored)
                shown = time.monotonic()
        yield scored, progress_bar(len(scored), len(uploads), "images"), result.rows(scored)
    except UnreadableUpload as error:
        yield scored, verdict.refusal(str(error)), []
    except ServeError as error:
        message = f"{error} {len(scored)} images were judged before; what follows is theirs alone."
        yield scored, verdict.trouble(message), result.rows(scored)
    finally:
        delete(sent)


def conclude(
    model: RunningModel, scored: list[JudgedImage] | None
) -> tuple[None, str, str, str, str]:
    """Put a patient's images together.

    Returns
    -------
    results : None
        Nothing of them is kept.
    together, downloads, failed, gallery : str
        HTML.
    """
    if not scored:
        return None, "", "", "", ""
    failed, gallery = result.failures(scored), result.gallery(scored)
    try:
        description = _of_all(model, scored)
    except ServeError as error:
        return None, verdict.trouble(str(error)), "", failed, gallery
    if description is None:
        return None, verdict.trouble(MODEL_CHANGED), "", failed, gallery
    patient = score_patient((each.answer for each in scored if each.answer), description.rule)
    formed = result.how_formed(description)
    together = result.summary(patient, scored, formed)
    return None, together, result.downloads(scored, patient, formed), failed, gallery


def _of_all(model: RunningModel, scored: list[JudgedImage]) -> Description | None:
    """Describe the model that judged every image; None if several did, or it runs no more."""
    judges = {each.answer.model.sha256 for each in scored if each.answer}
    if not judges:
        return model.describe()
    return model.behind(judges.pop()) if len(judges) == 1 else None
