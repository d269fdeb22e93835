"""A whole slide: its overview, a heat map that grows on it, and its highest-scoring fields."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np

from bulk.errors import SlideUnusable
from bulk.slides.heat_map import HeatMap
from bulk.slides.options import SlideOptions
from bulk.slides.scoring import Judge, ScoredField, score
from bulk.slides.slide import Slide, SlideFacts, Tile
from bulk.slides.tiles import find_tiles
from gradio_ui import heat_map_view, verdict
from gradio_ui import slide_result as result
from gradio_ui.batch_result import progress_bar
from gradio_ui.errors import UnreadableUpload
from gradio_ui.example_fields import drawn_slide
from gradio_ui.retention import delete
from gradio_ui.uploads import DELETED, MAX_UPLOAD, UploadedFile
from handler.manifest import TrainingField
from handler.prediction import Prediction
from serve.client import Client
from serve.description import RunningModel
from serve.errors import ImageRefused, ServeError

# A visitor waits for about a minute, and others get through meanwhile.
MAX_FIELDS = 1000
# Pixels read for the overview. A slide without small levels has more, and would take minutes.
MAX_OVERVIEW_COST = 400_000_000
# Seconds between two looks at the picture.
REFRESH = 1.0
# Slides at a time; the others wait.
SLIDES, RUNS = "slides", 1

INTRODUCTION = (
    "Upload one slide of an H&E-stained breast biopsy, scanned at 20x or 40x: a pyramidal TIFF, "
    f"SVS or NDPI, one file of at most {MAX_UPLOAD}. The page judges at most {MAX_FIELDS:,} fields "
    "with tissue, spread over the slide; the command `breakhis slide` judges all. The page deletes "
    "the slide as soon as it is judged."
)
MODEL_CHANGED = (
    "The service's model was changed while the fields were judged. Send the slide again."
)


@dataclass
class SlideRun:
    """What is known of a slide so far.

    Attributes
    ----------
    slide : SlideFacts
    heat_map : HeatMap
    found : int
        Fields with tissue, of which not all may be judged.
    scored : list of ScoredField
    shown : list of dict
        The same fields as the page shows them.
    """

    slide: SlideFacts
    heat_map: HeatMap
    found: int
    scored: list[ScoredField] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def add(self, scored: ScoredField, slide: Slide) -> None:
        """Take one more field."""
        self.scored.append(scored)
        self.heat_map.add(scored)
        self.shown.append(result.shown(scored, slide))


# What a run yields: see `judge`.
Step = tuple[SlideRun | None, str, dict[str, Any]]


def build(client: Client, model: RunningModel) -> None:
    """Build the tab's content.

    Parameters
    ----------
    client : Client
    model : RunningModel
    """

    def stop() -> str:
        message = "What follows is of the fields that were judged before."
        return verdict.box("waiting", "Cancelled", [message])

    def clear() -> tuple[Any, ...]:
        # The slide before must not stay in sight beside the next one's progress.
        off, on = gr.update(interactive=False), gr.update(interactive=True)
        return off, off, on, None, "", heat_map_view.words(""), "", "", ""

    def unlock() -> tuple[Any, ...]:
        on = gr.update(interactive=True)
        return on, on, gr.update(interactive=False)

    gr.Markdown(INTRODUCTION)
    run = gr.State(time_to_live=3600)
    file = gr.File(label="A whole slide", height=140, elem_id="slide-file")
    with gr.Accordion("Scale, for a slide that states none", open=False), gr.Row():
        # Gradio makes an empty number 0.
        um_per_pixel = gr.Number(0, label="Micrometres a pixel, such as 0.25; 0: not known")
        objective = gr.Number(0, label="Or the objective, such as 40; 0: not known")
        force_scale = gr.Checkbox(label="It counts even if the slide states another")
    with gr.Row():
        start = gr.Button("Judge the slide", variant="primary")
        example = gr.Button("Try it with a drawn slide", elem_id="slide-example")
        cancel = gr.Button("Cancel the slide", variant="stop", interactive=False)
    progress = verdict.live("slide-progress")
    together = verdict.live("slide-summary")
    downloads = gr.HTML(elem_id="slide-downloads")
    picture = heat_map_view.build("slide-picture")
    gallery = gr.HTML(elem_id="slide-gallery")

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    buttons = [start, example, cancel]
    outcome = [together, downloads, gallery]
    runs: list[dict[str, Any]] = []
    for button, task, inputs in (
        (start, partial(judge, client, model), [file, um_per_pixel, objective, force_scale]),
        (example, partial(judge_example, client, model), None),
    ):
        cleared = [*buttons, run, progress, picture, *outcome]
        button.click(clear, None, cleared, queue=False, **quiet)
        judged = button.click(
            task,
            inputs,
            [run, progress, picture],
            concurrency_id=SLIDES,
            concurrency_limit=RUNS,
            show_progress_on=progress,
            **private,
        )
        runs.append(judged)
        done = judged.then(conclude, run, [run, *outcome], **private)
        if button is start:
            # A run that was cancelled before it began has deleted nothing.
            done = done.then(delete, file, file, **quiet)
        # Last, so that what is chosen next stays in the box.
        done.then(unlock, None, buttons, **quiet)
    # A run that is cancelled is followed by its conclusion all the same.
    cancel.click(stop, None, progress, cancels=runs, **private)


def judge_example(client: Client, model: RunningModel) -> Iterator[Step]:
    """Judge a slide that is drawn for it; see `judge`."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "drawn.tiff")
        drawn_slide(file)
        yield from judge(client, model, [UploadedFile(file, file.name)], 0, 0, False)


def judge(
    client: Client, model: RunningModel, sent: list[UploadedFile], *scale: float
) -> Iterator[Step]:
    """Judge a slide, and delete the upload at the end, however it comes.

    Parameters
    ----------
    client : Client
    model : RunningModel
    sent : list of UploadedFile
        At most one.
    *scale : 2 float and bool
        Micrometres a pixel and the objective, each 0 if it is not known, and whether they count
        in any case; see `SlideOptions`.

    Yields
    ------
    run : SlideRun or None
        None until the tissue is found.
    progress : str
        HTML.
    picture : dict
        An update of the heat map view; the overview is sent once.
    """
    run = None
    unchanged = gr.skip()
    if not sent:
        yield None, verdict.box("waiting", "No slide yet", ["Choose a slide first."]), unchanged
        return
    try:
        description = model.describe()
        um_per_pixel, objective, force_scale = scale
        options = SlideOptions(um_per_pixel or None, objective or None, bool(force_scale))
        with _open(sent[0], description.training_field, options) as slide:
            yield None, verdict.box("waiting", "Looking for tissue", []), unchanged
            overview = slide.overview()
            tiles = find_tiles(slide, overview, description.min_tissue)
            run = SlideRun(slide.facts, HeatMap(slide, overview), len(tiles))
            chosen = _spread(tiles)
            ratio = overview.shape[1] / overview.shape[0]

            def step(below: bytes | None = None) -> Step:
                bar = progress_bar(len(run.scored), len(chosen), "fields")
                return run, bar, heat_map_view.slide(run.shown, ratio, below, slide.name)

            yield step(result.encoded(overview, ".jpg"))
            shown = time.monotonic()
            with closing(score(slide, chosen, _over(client))) as scored:
                for each in scored:
                    run.add(each, slide)
                    if time.monotonic() - shown > REFRESH:
                        yield step()
                        shown = time.monotonic()
            yield step()
    except (SlideUnusable, UnreadableUpload) as error:
        yield run, verdict.box("refused", "Slide refused", [str(error)]), unchanged
    except ServeError as error:
        yield run, verdict.trouble(str(error)), unchanged
    finally:
        delete(sent)


def conclude(run: SlideRun | None) -> tuple[None, str, str, str]:
    """Put a slide's fields together.

    Returns
    -------
    run : None
        Nothing of it is kept.
    together, downloads, gallery : str
        HTML.
    """
    if run is None or not run.scored:
        return None, "", "", ""
    if len({each.answer.model.sha256 for each in run.scored}) > 1:
        return None, verdict.trouble(MODEL_CHANGED), "", ""
    together = result.summary(run.scored, run.found, run.slide)
    downloads = result.downloads(run.scored, run.heat_map, run.slide)
    return None, together, downloads, result.gallery(run.shown)


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


def _spread(tiles: Sequence[Tile]) -> list[Tile]:
    """Choose at most `MAX_FIELDS` of the places, evenly."""
    chosen = np.linspace(0, len(tiles) - 1, min(MAX_FIELDS, len(tiles))).round().astype(int)
    return [tiles[index] for index in chosen]


def _over(client: Client) -> Judge:
    """Judge over the service; what is sent is lossless."""

    def judge_fields(fields: Sequence[np.ndarray]) -> list[Prediction]:
        answers = client.predict_many([result.encoded(pixels, ".png") for pixels in fields])
        predictions = []
        for answer in answers:
            if isinstance(answer, ImageRefused):
                raise answer
            predictions.append(answer)
        return predictions

    return judge_fields
