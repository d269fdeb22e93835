"""A run over many fields, a patient's or a slide's: progress, cancel, and no upload left behind."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import gradio as gr
from gradio.components import Component

from bulk.errors import SlideUnusable
from gradio_ui import verdict
from gradio_ui.errors import ModelChanged, UnreadableUpload
from gradio_ui.retention import delete
from gradio_ui.uploads import UploadedFile
from serve.errors import ServeError

# Seconds between two looks at the results: often enough to see them come.
REFRESH = 0.5


class Run(Protocol):
    """What is known of a patient or a slide: of `total` fields, those that are `scored` so far."""

    total: int
    scored: list[Any]

    def view(self) -> Any:
        """Return the value of what shows the fields."""

    def conclude(self) -> tuple[str, str]:
        """Return what is said of all together, and links to files, as HTML.

        Raises
        ------
        ModelChanged, ServeError
        """

    def gallery(self) -> str:
        """Return pictures of fields as HTML."""


Judge = Callable[..., Generator[Run | None, None, None]]
"""Takes the uploads and what else the tab asks for; yields its one run after each field, and None
while it looks for fields."""


def build(
    name: str,
    fields: str,
    inputs: Sequence[Component],
    view: Callable[[], Component],
    *,
    judge: Judge,
    draw: Callable[[Path], list[Path]],
    at_a_time: int,
) -> None:
    """Build the buttons, and what they show.

    Parameters
    ----------
    name, fields : str
        What is judged, such as "slide", and what its fields are called.
    inputs : sequence of Component
        The box for uploads, and what else `judge` takes.
    view : callable
        Builds what shows the fields.
    judge : Judge
    draw : callable
        Draws an example into a folder.
    at_a_time : int
        Runs; the others wait, so that single images still get through.
    """
    off, on = gr.update(interactive=False), gr.update(interactive=True)

    def judge_uploads(sent: list[UploadedFile], *options: Any) -> Iterator[tuple[Any, ...]]:
        yield from steps(judge, name, fields, sent, *options)

    def judge_example() -> Iterator[tuple[Any, ...]]:
        with TemporaryDirectory() as folder:
            drawn = draw(Path(folder))
            yield from judge_uploads([UploadedFile(file, file.name) for file in drawn])

    run = gr.State(time_to_live=3600)
    with gr.Row():
        start = gr.Button(f"Judge the {name}", variant="primary")
        example = gr.Button(f"Try it with a drawn {name}")
        cancel = gr.Button("Cancel", variant="stop", interactive=False)
    progress = verdict.live(f"{name}-progress")
    together = verdict.live(f"{name}-summary")
    shown = view()
    files = gr.HTML(elem_id=f"{name}-files")
    gallery = gr.HTML(elem_id=f"{name}-gallery")

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    buttons, outcome = [start, example, cancel], [together, files, gallery]
    runs: list[dict[str, Any]] = []
    # The run before must not stay in sight beside the next one's progress.
    cleared = off, off, on, None, "", None, "", "", ""
    for button, work, taken in ((start, judge_uploads, inputs), (example, judge_example, None)):
        to_clear = [*buttons, run, progress, shown, *outcome]
        button.click(lambda: cleared, None, to_clear, queue=False, **quiet)
        judged = button.click(
            work,
            taken,
            [run, progress, shown],
            concurrency_id=name,
            concurrency_limit=at_a_time,
            show_progress_on=progress,
            **private,
        )
        runs.append(judged)
        done = judged.then(conclude, run, [run, *outcome], **private)
        if button is start:
            # A run that was cancelled before it began has deleted nothing.
            done = done.then(delete, inputs[0], inputs[0], **quiet)
        # Last, so that what is chosen next stays in the box.
        done.then(lambda: (on, on, off), None, buttons, **quiet)
    # A run that is cancelled is followed by its conclusion all the same.
    cancel.click(
        lambda run: verdict.box("waiting", "Cancelled", [_before(run, fields)]),
        run,
        progress,
        cancels=runs,
        **private,
    )


def steps(
    judge: Judge, name: str, fields: str, sent: list[UploadedFile], *options: Any
) -> Iterator[tuple[Run | None, str, Any]]:
    """Judge uploads, and delete them at the end, however it comes.

    Yields
    ------
    run : Run or None
    progress : str
        HTML.
    view : object
        An update of what shows the fields.
    """
    if not sent:
        yield None, verdict.box("waiting", "Nothing to judge", ["Choose a file first."]), gr.skip()
        return
    run: Run | None = None
    looked = 0.0
    try:
        try:
            with closing(judge(sent, *options)) as runs:
                for run in runs:
                    if run is None:
                        yield None, verdict.box("waiting", f"Reading the {name}", []), gr.skip()
                    elif not run.scored or time.monotonic() - looked > REFRESH:
                        yield run, _progress(run, fields), run.view()
                        looked = time.monotonic()
            said = _progress(run, fields) if run else ""
        except (UnreadableUpload, SlideUnusable) as error:
            said = verdict.refusal(str(error))
        except ServeError as error:
            said = verdict.trouble(f"{error} {_before(run, fields)}")
        if run:
            yield run, said, run.view()
        # Of each step Gradio sends what has changed; the last one it sends again as a whole.
        yield run, said, gr.skip()
    finally:
        delete(sent)


def conclude(run: Run | None) -> tuple[None, str, str, str]:
    """Put a run's fields together: nothing of it is kept, and HTML is shown."""
    if run is None or not run.scored:
        return None, "", "", ""
    try:
        together, files = run.conclude()
    except (ModelChanged, ServeError) as error:
        together, files = verdict.trouble(str(error)), ""
    return None, together, files, run.gallery()


def _before(run: Run | None, fields: str) -> str:
    if run is None or not run.scored:
        return "Nothing was judged."
    return f"What follows is of the {fields} that were judged before."


def _progress(run: Run, fields: str) -> str:
    done = len(run.scored)
    return (
        f'<label class="progress" aria-live="off">{done} of {run.total} {fields} '
        f'<progress value="{done}" max="{run.total}"></progress></label>'
    )
