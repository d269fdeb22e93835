"""The folder of a slide's results: made, written whole, and known again by a later run."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bulk.output import writing
from bulk.slides.exports import to_csv, to_geojson
from bulk.slides.heat_map import HeatMap
from bulk.slides.options import SlideOptions
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import SlideFacts
from bulk.slides.summary import Summary
from handler.whole_file import whole_file

SUMMARY = "summary.json"


def made_from(path: Path, options: SlideOptions) -> dict[str, Any]:
    """Return what results depend on besides the model, to tell whether they are still those."""
    file = path.stat()
    stated = {**asdict(options), "region": options.region and str(options.region)}
    return {"bytes": file.st_size, "modified": file.st_mtime_ns, "options": stated}


def finished(
    slide: Path, folder: Path, options: SlideOptions, model_sha256: str
) -> dict[str, Any] | None:
    """Return the summary in a folder, if it is that of the same slide, options and model."""
    try:
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_bytes())
        same = summary["made_from"] == made_from(slide, options)
        return summary if same and summary["model"]["sha256"] == model_sha256 else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write(
    folder: Path,
    slide: SlideFacts,
    scored: Sequence[ScoredField],
    heat_map: HeatMap,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Write all files of a slide, which get their names when all are complete.

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    OutputUnusable
    """
    summary = {
        "slide": slide.name,
        "width": slide.width,
        "height": slide.height,
        "micrometres_per_pixel": slide.scale[:2],
        "scale_from": slide.scale.source,
        **Summary.of(scored).to_json(),
        "made_from": origin,
    }
    # The names are given from the last to the first, so that a summary stands for all.
    files = {
        SUMMARY: json.dumps(summary, indent=2).encode("utf-8"),
        "heatmap.png": heat_map.to_png(),
        "fields.geojson": to_geojson(scored, slide),
        "fields.csv": to_csv(scored, slide),
    }
    with writing(folder), ExitStack() as complete:
        for name, content in files.items():
            complete.enter_context(whole_file(folder / name)).write_bytes(content)
    return summary


@contextmanager
def room_for_results(folder: Path) -> Iterator[None]:
    """Make the folder of the results, which is gone again if there are none."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # That it can't be written is said now, and not after minutes of work.
        tempfile.TemporaryFile(dir=folder).close()
    try:
        yield
    finally:
        for each in made:
            with suppress(OSError):  # it holds results
                each.rmdir()
