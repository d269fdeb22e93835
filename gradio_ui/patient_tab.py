"""A patient: many images in, a table, a gallery, one score and two files out."""

from collections.abc import Generator
from functools import partial

import gradio as gr

from gradio_ui import run
from gradio_ui.example_fields import drawn_patient
from gradio_ui.patient_result import COLUMNS, PatientRun
from gradio_ui.scoring import score_images
from gradio_ui.uploads import UploadedFile, find_uploads
from serve.client import Client
from serve.description import RunningModel

INTRODUCTION = (
    "Upload several 40x fields of one patient, as files or as a zip. The model judges each by "
    "itself, then all together. The page keeps nothing: it deletes uploads once they are judged."
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
# At a time, of visitors and programs together.
PATIENT, PATIENTS = "patient", 2


def build(client: Client, model: RunningModel) -> None:
    """Build the tab's content."""

    def judge(sent: list[UploadedFile]) -> Generator[PatientRun, None, None]:
        uploads = find_uploads(sent)
        known = PatientRun(model, len(uploads))
        yield known
        for each in score_images(client, uploads):
            known.scored.append(each)
            yield known

    gr.Markdown(INTRODUCTION)
    files = gr.File(
        label="Images of one patient, or a zip of them",
        file_count="multiple",
        height=200,
        elem_id="patient-upload",
    )
    table = partial(
        gr.Dataframe,
        label="Images",
        headers=COLUMNS,
        datatype=["str", "str", "number", "str"],
        type="array",
        interactive=False,
        wrap=True,
        column_widths=["170px", "110px", "130px", "800px"],
        max_height=420,
        show_search="search",
        pinned_columns=1,
        elem_id="images",
    )
    run.build(
        PATIENT, "images", [files], table, judge=judge, draw=drawn_patient, at_a_time=PATIENTS
    )
