"""The page: one field in, its verdict and heat map out."""

import io

import gradio as gr
from PIL import Image

from gradio_ui import verdict
from serve.client import Client
from serve.errors import ImageRefused, ServeError

TITLE = "Breast histopathology: benign or malignant?"
INTRODUCTION = """
Upload, drop or paste a photograph of an H&E-stained breast biopsy taken at 40x, as in the
BreakHis data set (700 x 460 pixels, one microscope field).
"""
DOWN = (
    "The model service does not answer at the moment. "
    "This page looks for it every few seconds and goes on by itself when it is back."
)
HEATMAP_LEGEND = (
    "Compared with an average field, orange tissue moved the decision towards malignant, "
    "blue towards benign; grey tissue moved it little."
)

# Uploads are kept only for as long as the page may show them.
CHECK_SECONDS, KEEP_SECONDS = 60, 300
HEALTH_SECONDS = 5

# System fonts: the page loads nothing from other hosts.
SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "monospace"]
CSS = verdict.CSS
THEME = gr.themes.Soft(font=SANS, font_mono=MONO)


def build_page(client: Client) -> gr.Blocks:
    """Build the page.

    Parameters
    ----------
    client : Client
        Of the service that answers.
    """

    def classify(path: str | None) -> tuple[str, Image.Image | None]:
        if path is None:
            return verdict.waiting(), None
        try:
            answer = client.predict(path, heatmap=True)
        except ImageRefused as error:
            return verdict.refusal(str(error)), None
        except ServeError as error:
            return verdict.trouble(str(error)), None
        return verdict.prediction(answer), Image.open(io.BytesIO(answer.heatmap or b""))

    def health() -> dict:
        return gr.update(visible=not client.is_healthy())

    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(CHECK_SECONDS, KEEP_SECONDS)
    ) as page:
        gr.Markdown(f"# {TITLE}\n{INTRODUCTION}")
        gr.Markdown(verdict.RESEARCH_ONLY, elem_classes="research-only")
        down = gr.HTML(verdict.trouble(DOWN), visible=not client.is_healthy())
        with gr.Row():
            with gr.Column():
                field = gr.Image(
                    label="Biopsy field",
                    elem_id="field",
                    type="filepath",
                    sources=["upload", "clipboard", "webcam"],
                    height=360,
                )
                # Gradio would open the file first, and fail on a damaged one before the
                # service could say what is wrong with it.
                field.preprocess = lambda upload: upload and upload.path  # type: ignore
            with gr.Column():
                answer = gr.HTML(verdict.waiting())
                heatmap = gr.Image(
                    label="Where the model looked",
                    elem_id="heatmap",
                    interactive=False,
                    format="png",
                    height=360,
                    buttons=["download", "fullscreen"],
                )
                gr.Markdown(HEATMAP_LEGEND)
        field.change(classify, field, [answer, heatmap], api_name="classify")
        gr.Timer(HEALTH_SECONDS).tick(
            health, None, down, show_progress="hidden", api_visibility="private"
        )
    return page.queue(max_size=64, default_concurrency_limit=8)
