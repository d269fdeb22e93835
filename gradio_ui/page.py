"""The page: its tabs, and what they share."""

from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from gradio_ui import about_tab, field_tab, patient_tab, programs, slide_tab, verdict
from handler import RESEARCH_ONLY
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ServeError
from serve.management import Management

TITLE = "Breast histopathology: benign or malignant?"
WHAT_IT_IS = (
    "Give it a photograph of a breast biopsy: it says whether a model finds the tissue benign or "
    "malignant, how sure the model is, and which places moved it."
)
DOWN = (
    "The model does not answer at the moment. "
    "This page asks again every few seconds and goes on when the model is back."
)

# Uploads are deleted once they are judged; these are of visitors who left before.
CHECK_SECONDS, KEEP_SECONDS = 60, 3600
HEALTH_SECONDS = 5
# Visitors who wait; the next ones are told to come back later.
QUEUE = 64
AT_A_TIME = 8

# What the footer opens shows the tools for assistants first, unless the page's address says so.
PROGRAMS_FIRST = """() => document.addEventListener("click", event => {
    const here = new URL(location);
    if (!event.target.closest(".show-api") || here.searchParams.has("lang")) return;
    here.searchParams.set("lang", "python");
    history.replaceState(history.state, "", here);
}, true)"""

# System fonts: the page loads nothing from other hosts.
SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "monospace"]
CSS = Path(__file__).with_name("style.css").read_text("utf-8")
# Gradio's own labels, hints and buttons are too pale to be read easily.
THEME = gr.themes.Soft(font=SANS, font_mono=MONO).set(
    block_label_text_color="*neutral_900",
    block_title_text_color="*neutral_900",
    body_text_color_subdued="*neutral_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_secondary_background_fill_hover_dark="*primary_600",
)


def build_page(
    client: Client, management: Management, examples: Mapping[str, bytes], origin: str
) -> gr.Blocks:
    """Build the page.

    Parameters
    ----------
    client : Client
        Asks the service that answers.
    management : Management
        The same service's; it is only asked whether it is ready, and to describe the model.
    examples : mapping of str to bytes
        Images to click: name to content.
    origin : str
        What they are, in a sentence.
    """
    model = RunningModel(management)

    def is_down() -> bool:
        try:
            return not management.is_ready()
        except ServeError:
            return True

    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(CHECK_SECONDS, KEEP_SECONDS)
    ) as page:
        gr.Markdown(f"# {TITLE}\n{WHAT_IT_IS} **{RESEARCH_ONLY}**", elem_id="what")
        down = gr.HTML(verdict.trouble(DOWN), visible=is_down(), elem_id="service-down")
        with gr.Tab("One image"):
            field_tab.build(page, client, model, examples, origin)
        with gr.Tab("Patient") as patient:
            patient_tab.build(client, model)
        patient.select(None, js=patient_tab.TABLE_FOR_ALL)
        with gr.Tab("Slide"):
            slide_tab.build(client, model)
        with gr.Tab("Model"):
            about_tab.build(page, model)
        programs.build(client, model)
        page.load(None, js=PROGRAMS_FIRST)
        gr.Timer(HEALTH_SECONDS).tick(
            lambda: gr.update(visible=is_down()),
            None,
            down,
            show_progress="hidden",
            api_visibility="private",
        )
    return page.queue(max_size=QUEUE, default_concurrency_limit=AT_A_TIME)
