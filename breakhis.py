"""Command line of everything: the service, the versions of its model, and work without it.

    breakhis COMMAND

Exit codes: 0 success, 1 it can't be done, 2 no such command or option, 3 an image was refused.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bulk.errors import BulkError
from handler import RESEARCH_ONLY
from handler.errors import BadModel, UnknownEngine
from handler.manifest import read_manifest
from serve import commands, models
from serve.archive import Archive
from serve.errors import ServeError, VersionError
from serve.restart import ServedArchive
from serve.settings import Settings


class Commands(TyperGroup):
    """Commands whose errors are messages on standard error, and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was given."""
        try:
            return super().invoke(ctx)
        except (ServeError, BulkError, BadModel, UnknownEngine) as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
        raise typer.Exit(1)


app = typer.Typer(
    cls=Commands,
    help="Run the BreakHis service, ask it, or score images without it.",
    epilog=RESEARCH_ONLY,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # Their frames would show what is in memory, such as tokens.
    pretty_exceptions_enable=False,
)
without_service = typer.Typer()

Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on the Ray cluster at this address; auto: the one that this machine is "
        "part of; local: one that is started here for the purpose.",
    ),
]


@app.command()
def demo() -> None:
    """Start the service and the web page, until Ctrl-C."""
    with _extra("page"):
        from gradio_ui.launch import main  # noqa: PLC0415
    problem = main()
    if problem is not None:
        print(problem, file=sys.stderr)
        raise typer.Exit(1)


@without_service.command()
def score(
    images: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER_OR_GLOB", help="Such as slides or 'slides/**/*.png'."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.parquet", help="The table.")],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one for each core.")
    ] = None,
    ray: Ray = None,
) -> None:
    """Classify thousands of images into a table, without TorchServe.

    Scores images into a Parquet file, and their patients into a CSV file beside it. A run that
    was stopped goes on where it was, and what the table holds already is scored again only
    where the file has changed.
    """
    # Its libraries take a second to import.
    from bulk.images import run  # noqa: PLC0415

    raise typer.Exit(run.score(_model_store(), images, out, workers, ray))


@without_service.command()
def slide(
    slide: Annotated[
        Path, typer.Argument(metavar="SLIDE_OR_FOLDER", help="TIFF, SVS, NDPI, DICOM or such.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For the results; else named like the slide."),
    ] = None,
    *,
    um_per_pixel: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Scale of slides that state none, such as 0.25."),
    ] = None,
    objective: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Instead of --um-per-pixel, such as 40 for 40x."),
    ] = None,
    force_scale: Annotated[
        bool, typer.Option("--force-scale", help="The scale given counts even if a slide has one.")
    ] = False,
    overlap: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share by which fields overlap, such as 0.5.")
    ] = 0,
    min_tissue: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of a field that must be tissue; else the model's."),
    ] = None,
    region: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.geojson",
            resolve_path=True,
            help="Judge only inside its polygons, as QuPath exports them.",
        ),
    ] = None,
    ray: Ray = None,
) -> None:
    """Judge the tissue of whole slides, without the service.

    Of a folder, all slides are judged, one after the other, into a folder each and a table of
    all. What an earlier run has finished with the same options is left out, so a run that was
    stopped goes on where it was.
    """
    if region and slide.is_dir():
        raise typer.BadParameter("A region is that of one slide; name the slide.")
    # The model and its libraries take seconds to import.
    with _extra("slides"):
        from bulk.slides import run  # noqa: PLC0415
        from bulk.slides.options import SlideOptions  # noqa: PLC0415
    options = SlideOptions(um_per_pixel, objective, force_scale, overlap, min_tissue, region)
    raise typer.Exit(run.judge_slides(_model_store(), slide, out, options, ray))


# In the order of the help.
for part in (commands.app, without_service, models.app):
    app.add_typer(part)


def _model_store() -> Path:
    """Return the folder of the model, and say so if the service is another one's."""
    settings = Settings.from_environment()
    store = settings.model_store
    try:
        model, _ = read_manifest(store)
        served = Archive.open(store, ServedArchive.read(settings).archive)
    except (BadModel, VersionError):  # there is no service to differ from, or nothing to judge by
        return store
    if served.manifest_sha256 != model.sha256:
        print(
            f"Judged by version {model.version} of the model, which lies in {store}. The service "
            f"has another, version {served.version} of {served.file}: verdicts may differ.",
            file=sys.stderr,
        )
    return store


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Import what an extra brings, or say how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        print(
            f"{error.name} is not installed. Install it with: pip install -e '.[{name}]'",
            file=sys.stderr,
        )
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app(prog_name="breakhis")
