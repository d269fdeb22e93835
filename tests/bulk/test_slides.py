"""Whole slides, judged by the real command line."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import cv2
import numpy as np
import pytest

from bulk.errors import OutputUnusable, SlideUnusable
from bulk.slides.exports import to_geojson
from bulk.slides.heat_map import round_length
from bulk.slides.run import judge_slides
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import Slide, Tile
from bulk.slides.summary import EXPLORATORY
from bulk.slides.tiles import find_tiles
from handler import settings
from handler.engines import AUTO
from handler.errors import UnknownEngine
from handler.images import read_field
from handler.model import Model
from scripts.training.breakhis import TRAINING_FIELD as FIELD
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field, encode
from tests.conftest import ROOT, field_that_is
from tests.equal_fields import many

pytestmark = pytest.mark.slow
NOISE = np.random.default_rng(0).integers(0, 255, (460, 700, 3)).astype(np.uint8)
# By row and column of the grid: one of each verdict.
DRAWN = {
    (1, 1): field_that_is("malignant"),
    (1, 2): field_that_is("uncertain"),
    (2, 1): NOISE,
    (2, 3): field_that_is("benign"),
}
SIZE = 4 * 700, 4 * 460
FILES = {"fields.csv", "fields.geojson", "heatmap.png", "summary.json"}


def at(drawn: dict, shrink: int = 1) -> dict:
    """Places of level 0 for fields of the grid."""
    return {(700 * c // shrink, 460 * r // shrink): field for (r, c), field in drawn.items()}


# Starts a command, and reports the most memory that it had, in bytes. Linux counts for a new
# process also what its parent had, so the parent must be a small one.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write(str(peak))
sys.exit(code)
"""


class Done(NamedTuple):
    """A command that has ended, with the most memory that it had, in bytes."""

    returncode: int
    stdout: str
    stderr: str
    peak: int


def measured(*command: object, cwd: Path = ROOT) -> Done:
    with tempfile.NamedTemporaryFile("r") as peak:
        done = subprocess.run(
            [sys.executable, "-c", LAUNCHER, peak.name, sys.executable, *map(str, command)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr, int(peak.read()))


def run(*arguments: object, cwd: Path = ROOT) -> Done:
    return measured("-m", "breakhis", "slide", *arguments, cwd=cwd)


def rows_of(folder: Path) -> dict[tuple[int, int], dict[str, str]]:
    table = (folder / "fields.csv").read_text("utf-8-sig")
    return {(int(r["row"]), int(r["column"])): r for r in csv.DictReader(io.StringIO(table))}


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.open(ROOT / "model_store", engine=AUTO, threads=2)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A small slide with four known fields, and what the command says and writes of it."""
    folder = tmp_path_factory.mktemp("slides")
    write_slide(folder / "biopsy.tiff", SIZE, at(DRAWN))
    done = run("biopsy.tiff", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_each_field_gets_what_the_same_picture_gets(judged, model):
    rows = rows_of(judged[0] / "biopsy")
    assert rows.keys() == DRAWN.keys()
    for (row, column), field in DRAWN.items():
        (answer,) = model.classify([read_field(encode(field))], scale_is_known=True)
        said = rows[row, column]
        assert (int(said["x"]), int(said["y"])) == (column * 700, row * 460)
        assert (int(said["width"]), int(said["height"])) == (700, 460)
        assert float(said["probability"]) == answer.probability
        assert float(said["decision"]) == answer.decision
        assert (said["verdict"], said["label"]) == (answer.verdict, answer.label)
        assert said["warnings"] == " ".join(warning.code for warning in answer.warnings)
        assert said["model_sha256"] == answer.model.sha256


def test_a_person_reads_counts_and_that_it_is_exploratory(judged):
    folder, done = judged
    assert "4 fields: 1 malignant, 1 uncertain, 1 benign, 1 rejected." in done.stdout
    assert "Over the 3 fields that were not rejected" in done.stdout
    assert EXPLORATORY in done.stdout
    facts = json.loads((folder / "biopsy" / "summary.json").read_text())
    assert facts["note"] == EXPLORATORY
    assert (facts["width"], facts["height"]) == SIZE
    assert facts["verdicts"] == {"malignant": 1, "uncertain": 1, "benign": 1, "rejected": 1}
    assert facts["micrometres_per_pixel"] == pytest.approx([0.49, 0.49])
    assert facts["scale_from"] == "slide"
    assert {row["scale_from"] for row in rows_of(folder / "biopsy").values()} == {"slide"}
    assert "Scale: 0.49 x 0.49 micrometres a pixel, as the slide states." in done.stdout


def test_qupath_s_tiles_lie_where_the_fields_are(judged):
    folder, _ = judged
    collection = json.loads((folder / "biopsy" / "fields.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    rows = rows_of(folder / "biopsy").values()
    for feature, row in zip(collection["features"], rows, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Polygon")
        assert ring[0] == ring[-1] == [int(row["x"]), int(row["y"])]
        assert ring[2] == [int(row["x"]) + 700, int(row["y"]) + 460]
        properties = feature["properties"]
        assert properties["objectType"] == "tile"
        assert properties["classification"]["name"] == row["verdict"]
        assert all(0 <= part <= 255 for part in properties["classification"]["color"])
        assert properties["measurements"] == {
            "Probability of malignancy": float(row["probability"]),
            "Decision": float(row["decision"]),
        }
        assert properties["name"] == f"row {row['row']}, column {row['column']}"
        told = properties["metadata"]
        assert told["Warnings"] == (row["warnings"] or "none")
        assert told["Model"] == f"breakhis {row['model_version']}"
        assert told["Scale"] == "0.49 x 0.49 micrometres a pixel, as the slide states"
        assert EXPLORATORY in told["Note"]
        assert all(isinstance(value, str) for value in told.values())
    ids = [UUID(feature["id"]) for feature in collection["features"]]
    assert len(set(ids)) == len(ids)


def test_qupath_s_tiles_lie_where_it_counts_from(tmp_path, model):
    """QuPath shows a sparse TIFF from the corner of what is stored."""
    drawn = {(3, 3): draw_field(1)}
    path = write_slide(tmp_path / "a.tiff", (3500, 3000), at(drawn), levels=(1,), sparse=True)
    whole = write_slide(tmp_path / "b.tiff", (3500, 3000), at(drawn), levels=(1,))
    (answer,) = model.classify([read_field(encode(drawn[3, 3]))])
    corners = []
    for each in (path, whole):
        with Slide.open(each, FIELD) as slide:
            (tile,) = find_tiles(slide, slide.overview(), 0.05)
            assert (tile.x, tile.y) == (2100, 1380)
            written = json.loads(to_geojson([ScoredField(tile, answer)], slide.facts))
            corners.append(written["features"][0]["geometry"]["coordinates"][0][0])
    # Tiles of 512 pixels: those stored begin at the fifth column and the third row.
    assert corners == [[2100 - 4 * 512, 1380 - 2 * 512], [2100, 1380]]


def test_a_field_keeps_its_id_whatever_the_file_is_called(tmp_path, model):
    (answer,) = model.classify([read_field(encode(draw_field(1)))])
    ids = []
    for name, fields in (("a", DRAWN), ("b", DRAWN), ("c", {(0, 0): draw_field(1)})):
        path = write_slide(tmp_path / f"{name}.tiff", SIZE, at(fields))
        with Slide.open(path, FIELD) as slide:
            scored = [
                ScoredField(Tile(0, column, 700 * column, 0, 700, 460), answer)
                for column in range(2)
            ]
            written = json.loads(to_geojson(scored, slide.facts))
        ids.append([feature["id"] for feature in written["features"]])
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])


def test_the_heat_map_is_coloured_where_the_fields_are(judged):
    folder, _ = judged
    picture = cv2.imread(str(folder / "biopsy" / "heatmap.png"))[..., ::-1].astype(int)
    shrink = SIZE[0] / 2000

    def centre(row: int, column: int) -> np.ndarray:
        # Beside the middle, where the lines of uncertain and rejected fields cross.
        y, x = int((row + 0.5) * 460 / shrink), int((column + 0.4) * 700 / shrink)
        return picture[y - 20 : y + 20, x - 20 : x + 20].mean(axis=(0, 1))

    red, _, blue = centre(1, 1)
    assert red > blue + 30  # orange: malignant
    assert np.ptp(centre(2, 1)) < 2  # rejected: no colour
    assert centre(0, 0).min() == 255  # glass
    legend = picture[-150:]
    assert legend.min() == 0
    assert legend.max() == 255


@pytest.mark.parametrize(("scale", "aperio"), [(0.245, False), (0.49, True), (0.5, False)])
def test_other_scales_and_aperio_s_slides(tmp_path, model, scale, aperio):
    """The same tissue, scanned finer or coarser, is found and judged nearly the same."""
    zoom = 0.49 / scale
    drawn = {
        (round(x * zoom), round(y * zoom)): cv2.resize(
            field, (round(700 * zoom), round(460 * zoom)), interpolation=cv2.INTER_CUBIC
        )
        for (x, y), field in at(DRAWN).items()
    }
    size = round(SIZE[0] * zoom), round(SIZE[1] * zoom)
    path = write_slide(tmp_path / "slide.svs", size, drawn, scale=scale, aperio=aperio)
    with Slide.open(path, FIELD) as slide:
        assert slide.facts.scale[:2] == pytest.approx((scale, scale))
        places = find_tiles(slide, slide.overview(), model.tissue_limits.min_tissue)
        found = {(place.row, place.column): slide.field(place) for place in places}
    assert DRAWN.keys() <= found.keys()
    for where in ((1, 1), (2, 3)):
        seen, drawn_there = (
            model.classify([read_field(encode(field))])[0] for field in (found[where], DRAWN[where])
        )
        assert seen.decision == pytest.approx(drawn_there.decision, abs=0.3)
        assert seen.label == drawn_there.label


def test_beyond_the_slide_s_edge_is_glass(tmp_path):
    corner = draw_field(1)[:140, :300]
    path = write_slide(tmp_path / "slide.tiff", (1000, 600), {(700, 460): corner})
    with Slide.open(path, FIELD) as slide:
        field = slide.field(Tile(1, 1, 700, 460, 700, 460))
        assert (field[:140, :300] == corner).all()
        assert field[140:].min() == field[:, 300:].min() == 255


def test_memory_is_that_of_the_command_and_not_of_the_tests():
    """However large this process is."""
    ballast = bytearray(os.urandom(1_000_000)) * 600
    assert measured("-c", "pass").peak < 100_000_000
    assert measured("-c", "bytearray(b'x') * 300_000_000").peak > 300_000_000
    del ballast


def test_a_slide_of_a_hundred_thousand_pixels_a_side_in_little_memory(judged, tmp_path):
    """No more than for a small one: the smallest level alone would be above the bound."""
    drawn = {(40 + r, 60 + c): draw_field(r * 5 + c) for r in range(4) for c in range(6)}
    path = write_slide(tmp_path / "large.tiff", (100_000, 100_000), at(drawn), levels=(1, 16))
    done = run(path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    smallest_level = 4 * (100_000 // 16) ** 2
    assert done.peak - judged[1].peak < 0.8 * smallest_level
    assert drawn.keys() <= rows_of(tmp_path / "out").keys()


def test_a_slide_of_one_level_has_the_same_overview(tmp_path):
    whole = write_slide(tmp_path / "a.tiff", (9000, 5000), at(DRAWN), levels=(1, 2, 4))
    flat = write_slide(tmp_path / "b.tiff", (9000, 5000), at(DRAWN), levels=(1,))
    with Slide.open(whole, FIELD) as first, Slide.open(flat, FIELD) as second:
        left, right = first.overview(), second.overview()
    assert left.shape == right.shape == (1111, 2000, 3)
    assert np.abs(left.astype(int) - right).mean() < 1


def test_the_last_row_and_column_of_tiles_may_reach_beyond_the_slide(tmp_path):
    regions = {(700, 460): draw_field(1)[:140, :300]}
    path = write_slide(tmp_path / "slide.tiff", (1000, 600), regions)
    with Slide.open(path, FIELD) as slide:
        (tile,) = find_tiles(slide, slide.overview(), 0.05)
    assert tile == Tile(1, 1, 700, 460, 700, 460)


def test_what_can_t_be_used_is_said(tmp_path):
    field = tmp_path / "field.png"
    field.write_bytes(encode(draw_field(1)))
    for path in (tmp_path / "absent.svs", tmp_path, field):
        with pytest.raises(SlideUnusable, match=r"Name the file|predict"):
            Slide.open(path, FIELD)
    silent = write_slide(tmp_path / "silent.tiff", SIZE, {}, scale=None)
    with pytest.raises(SlideUnusable, match="does not say"):
        Slide.open(silent, FIELD)
    screen = write_slide(tmp_path / "screen.tiff", SIZE, {}, scale=25_400 / 72)
    with pytest.raises(SlideUnusable, match=r"352\.8 x 352\.8 micrometres"):
        Slide.open(screen, FIELD)
    empty = write_slide(tmp_path / "empty.tiff", SIZE, {})
    with Slide.open(empty, FIELD) as slide, pytest.raises(SlideUnusable, match=r"empty\.tiff"):
        find_tiles(slide, slide.overview(), 0.05)


def test_a_slide_damaged_in_the_middle_leaves_nothing(tmp_path):
    path = write_slide(tmp_path / "damaged.tiff", SIZE, at(DRAWN))
    content = bytearray(path.read_bytes())
    middle = len(content) // 4  # in the tiles of level 0, which the overview does not read
    content[middle : middle + 200_000] = bytes(200_000)
    path.write_bytes(content)
    done = run(path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "damaged.tiff is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_can_t_be_written(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", SIZE, {})
    (tmp_path / "taken").write_text("somebody's")
    with pytest.raises(OutputUnusable, match="Choose another --out"):
        judge_slides(ROOT / "model_store", path, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "somebody's"


def test_the_engine_is_the_one_that_the_service_has(tmp_path, monkeypatch):
    path = write_slide(tmp_path / "slide.tiff", SIZE, at(DRAWN))
    config = settings.CONFIG.read_text().replace("engine: auto", "engine: abacus")
    (tmp_path / "model-config.yaml").write_text(config)
    monkeypatch.setattr(settings, "CONFIG", tmp_path / "model-config.yaml")
    with pytest.raises(UnknownEngine, match="no engine 'abacus'"):
        judge_slides(ROOT / "model_store", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_scale_cuts_fields_of_its_own(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", SIZE, at(DRAWN))
    with Slide.open(path, replace(FIELD, width=350, micrometres_per_pixel=0.98)) as slide:
        assert slide.field_size == pytest.approx((700, 920), rel=1e-3)
        (tile, *_) = find_tiles(slide, slide.overview(), 0.05)
        assert slide.field(tile).shape == (460, 350, 3)
    with pytest.raises(SlideUnusable, match=r"from 0\.05 to 0\.35 can be used"):
        Slide.open(path, replace(FIELD, micrometres_per_pixel=0.245))


def test_an_interrupt_ends_it_and_leaves_nothing(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", (14_000, 4600), many(10, 20))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("somebody's")
    process = subprocess.Popen(
        [sys.executable, "-m", "breakhis", "slide", str(path), "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "FORCE_COLOR": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    seen = b""
    while b"/200" not in seen or b" 0/200" in seen[-300:]:
        read = os.read(process.stderr.fileno(), 10_000)
        assert read, "it ended before it was interrupted"
        seen += read
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.endswith(b"Interrupted.\n")
    assert b"Traceback" not in errors + output
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("most", "length"), [(0.7, 0.5), (3, 2), (999, 500), (1000, 1000)])
def test_a_scale_bar_has_a_round_length(most, length):
    assert round_length(most) == length
