"""A whole slide: its overview, a heat map that grows on it, and its highest-scoring fields."""

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial

import cv2
import gradio as gr
import numpy as np

from bulk.slides.options import SlideOptions
from bulk.slides.scoring import Judge, score
from bulk.slides.slide import Slide
from bulk.slides.tiles import find_tiles
from gradio_ui import heat_map_view, run
from gradio_ui.errors import UnreadableUpload
from gradio_ui.example_fields import drawn_slide
from gradio_ui.slide_result import MAX_FIELDS, SlideRun
from gradio_ui.uploads import DELETED, MAX_UPLOAD, UploadedFile
from handler.manifest import TrainingField
from handler.prediction import Prediction
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ImageRefused

# At a time.
SLIDES = 1
# Pixels read for the overview. A slide without small levels has more, and would take minutes.
MAX_OVERVIEW_COST = 400_000_000

INTRODUCTION = (
    "Upload one slide of an H&E-stained breast biopsy, scanned at 20x or 40x: a pyramidal TIFF, "
    f"SVS or NDPI, one file of at most {MAX_UPLOAD}. The page judges at most {MAX_FIELDS:,} fields "
    "with tissue, spread over the slide; the command `breakhis slide` judges all. The page "
    "deletes the slide once it is judged."
)


def build(client: Client, model: RunningModel) -> None:
    """Build the tab's content."""

    def judge(
        sent: list[UploadedFile], pixel: float = 0, objective: float = 0, force: bool = False
    ) -> Generator[SlideRun | None, None, None]:
        yield None
        description = model.describe()
        options = SlideOptions(pixel or None, objective or None, force)
        with _open(sent[0], description.training_field, options) as slide:
            overview = slide.overview()
            tiles = find_tiles(slide, overview, description.min_tissue)
            known = SlideRun(slide, overview, tiles)
            yield known
            with closing(score(slide, known.chosen, _over(client))) as scored:
                for each in scored:
                    known.add(each)
                    yield known

    gr.Markdown(INTRODUCTION)
    file = gr.File(label="A whole slide", height=140, elem_id="slide-upload")
    with gr.Accordion("Scale, for a slide that states none", open=False), gr.Row():
        # Gradio makes an empty number 0.
        pixel = gr.Number(0, label="Micrometres a pixel, such as 0.25; 0: not known")
        objective = gr.Number(0, label="Or the objective, such as 40; 0: not known")
        force = gr.Checkbox(label="Use it even if the slide states another")
    view = partial(heat_map_view.build, "slide-picture")
    inputs = [file, pixel, objective, force]
    run.build("slide", "fields", inputs, view, judge=judge, draw=drawn_slide, at_a_time=SLIDES)


def _open(sent: UploadedFile, training_field: TrainingField, options: SlideOptions) -> Slide:
    if not sent.path.exists():
        raise UnreadableUpload(DELETED)
    slide = Slide.open(sent.path, training_field, sent.name, options)
    if slide.overview_cost > MAX_OVERVIEW_COST:
        with slide:
            raise UnreadableUpload(
                "The slide has no small levels, so finding its tissue would take minutes. Save it "
                "as a pyramid, or use the command line: breakhis slide."
            )
    return slide


def _over(client: Client) -> Judge:
    """Judge over the service; what is sent is lossless."""

    def judge_fields(fields: Sequence[np.ndarray]) -> list[Prediction]:
        pictures = [cv2.imencode(".png", pixels[..., ::-1])[1].tobytes() for pixels in fields]
        answers: list[Prediction] = []
        for answer in client.predict_many(pictures):
            if isinstance(answer, ImageRefused):
                raise answer
            answers.append(answer)
        return answers

    return judge_fields
