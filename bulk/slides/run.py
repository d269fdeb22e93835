"""One run: a slide in, a folder of results out."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console

from bulk.errors import ModelUnusable, OutputUnusable
from bulk.progress import Progress
from bulk.slides.exports import to_csv, to_geojson
from bulk.slides.heat_map import HeatMap
from bulk.slides.scoring import Judge, ScoredField, score
from bulk.slides.slide import Slide
from bulk.slides.summary import EXPLORATORY, Summary
from bulk.slides.tiles import find_tiles
from handler import RESEARCH_ONLY
from handler.errors import BadModel, UnknownEngine
from handler.images import Field
from handler.manifest import TrainingField, read_manifest
from handler.model import Model
from handler.prediction import Prediction
from handler.settings import HandlerSettings
from handler.whole_file import whole_file


def judge_slide(model_store: Path, path: Path, folder: Path | None = None) -> int:
    """Judge a whole slide and write what came of it into a folder.

    Parameters
    ----------
    model_store : Path
        Folder of the model.
    path : Path
        The slide.
    folder : Path, optional
        For the results; by default one with the slide's name.

    Returns
    -------
    int
        The command's exit code.

    Raises
    ------
    BulkError
    """
    folder = folder or Path(path.stem)
    console = Console(stderr=True)
    try:
        _, manifest = read_manifest(model_store)
        with (
            Slide.open(path, TrainingField(**manifest["field"])) as slide,
            _room_for_results(folder),
        ):
            model = HandlerSettings.read().open_model(model_store, gpu=0)
            with console.status("Looking for tissue"):
                overview = slide.overview()
                tiles = find_tiles(slide, overview, model.tissue_limits.min_tissue)
            heat_map = HeatMap(slide, overview)
            scored: list[ScoredField] = []
            with (
                Progress(len(tiles), "fields", console) as progress,
                closing(score(slide, tiles, _judge(model))) as fields,
            ):
                for each in fields:
                    scored.append(each)
                    heat_map.add(each)
                    progress.advance(1)
            summary = Summary.of(scored)
            _write(_results(slide, scored, heat_map, summary), folder)
    except (BadModel, UnknownEngine) as error:
        raise ModelUnusable(str(error)) from None
    print(*summary.lines(), sep="\n")
    print(f"Heat map, GeoJSON for QuPath and table are in {folder}.")
    print(EXPLORATORY, RESEARCH_ONLY, sep="\n")
    return 0


def _judge(model: Model) -> Judge:
    def judge(fields: Sequence[np.ndarray]) -> list[Prediction]:
        return model.classify([Field(pixels) for pixels in fields])

    return judge


def _results(
    slide: Slide, scored: Sequence[ScoredField], heat_map: HeatMap, summary: Summary
) -> dict[str, bytes]:
    """Return the content of each file."""
    facts = {
        "slide": slide.name,
        "width": slide.width,
        "height": slide.height,
        "micrometres_per_pixel": slide.scale,
        **summary.to_json(),
    }
    return {
        "heatmap.png": heat_map.to_png(),
        "fields.geojson": to_geojson(scored),
        "fields.csv": to_csv(scored),
        "summary.json": json.dumps(facts, indent=2).encode("utf-8"),
    }


@contextmanager
def _room_for_results(folder: Path) -> Iterator[None]:
    """Make the folder of the results, which is gone again if there are none."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # That it can't be written is said now, and not after minutes of work.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _unusable(folder, error) from None
    try:
        yield
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files, which get their names when all are complete."""
    try:
        with ExitStack() as complete:
            for name, content in files.items():
                complete.enter_context(whole_file(folder / name)).write_bytes(content)
    except OSError as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: OSError) -> OutputUnusable:
    return OutputUnusable(
        f"Results can't be written into {folder} ({error.strerror}). Name another with --out."
    )
