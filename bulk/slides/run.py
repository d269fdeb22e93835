"""One run: a slide in, a folder of results out."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from rich.console import Console

from bulk.errors import FolderUnusable, ModelUnusable
from bulk.progress import Progress
from bulk.slides.exports import to_csv, to_geojson
from bulk.slides.heat_map import HeatMap
from bulk.slides.scoring import Judge, ScoredField, score
from bulk.slides.slide import Slide
from bulk.slides.summary import EXPLORATORY, Summary
from bulk.slides.tiles import find_tiles
from handler import RESEARCH_ONLY
from handler.engines import AUTO
from handler.errors import BadModel
from handler.images import Field
from handler.model import Model, Prediction


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
    with Slide.open(path) as slide, _unfinished(folder) as unfinished:
        model = _open_model(model_store)
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
        facts = {
            "slide": slide.name,
            "width": slide.width,
            "height": slide.height,
            "micrometres_per_pixel": slide.scale,
            **summary.to_json(),
        }
        files = {
            "heatmap.png": heat_map.to_png(),
            "fields.geojson": to_geojson(scored),
            "fields.csv": to_csv(scored),
            "summary.json": json.dumps(facts, indent=2).encode("utf-8"),
        }
        _write(files, unfinished, folder)
    print(*summary.lines(), sep="\n")
    print(f"Heat map, GeoJSON for QuPath and table are in {folder}.")
    print(EXPLORATORY, RESEARCH_ONLY, sep="\n")
    return 0


def _open_model(folder: Path) -> Model:
    threads = joblib.cpu_count()
    # Fields are worked on side by side; threads within one would only add to them.
    cv2.setNumThreads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return Model.open(folder, device, engine=AUTO, threads=threads)
    except BadModel as error:
        raise ModelUnusable(str(error)) from None


def _judge(model: Model) -> Judge:
    def judge(fields: Sequence[np.ndarray]) -> list[Prediction]:
        return model.classify([Field(pixels) for pixels in fields])

    return judge


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """Make the folder of the results, and one in it that is gone afterwards."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder)
    except OSError as error:
        raise _unusable(folder, error) from None
    try:
        with unfinished:
            yield Path(unfinished.name)
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _write(files: Mapping[str, bytes], unfinished: Path, folder: Path) -> None:
    """Write the files whole, and only then to their place."""
    try:
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        for name in files:
            (unfinished / name).replace(folder / name)
    except OSError as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: OSError) -> FolderUnusable:
    return FolderUnusable(
        f"Results can't be written into {folder} ({error.strerror}). Name another with --out."
    )
