"""What a person may say of a slide: its scale, and which fields of it are judged."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import tifffile

from bulk.errors import RegionUnusable, SlideUnusable
from bulk.slides.heat_map import HeatMap
from bulk.slides.options import SlideOptions
from bulk.slides.region import Region
from bulk.slides.scoring import ScoredField
from bulk.slides.slide import Slide
from bulk.slides.tiles import find_tiles
from handler.prediction import ModelId, Prediction
from scripts.training.breakhis import TRAINING_FIELD as FIELD
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field
from tests.equal_fields import many

SIZE = 2100, 1380  # three fields by three
SQUARE = [[0, 0], [1400, 0], [1400, 920], [0, 920], [0, 0]]
HOLE = [[800, 100], [1300, 100], [1300, 400], [800, 400], [800, 100]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}
# The field in row 2, column 2.
CORNER = {
    "type": "MultiPolygon",
    "coordinates": [[[[1500, 1000, 0], [2000, 1000, 0], [2000, 1300, 0], [1500, 1300, 0]]]],
}
POINT = {"type": "Point", "coordinates": [1, 2]}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide that is all tissue."""
    return write_slide(tmp_path_factory.mktemp("slides") / "full.tiff", SIZE, many(3, 3))


def scale_of(path: Path, **options: object) -> tuple[float, float, str]:
    with Slide.open(path, FIELD, options=SlideOptions(**options)) as slide:
        return slide.facts.scale


def test_a_scale_that_the_slide_does_not_state_can_be_given(tmp_path):
    silent = write_slide(tmp_path / "silent.tiff", SIZE, {}, scale=None)
    with pytest.raises(SlideUnusable, match=r"--um-per-pixel 0\.25 or --objective 40 with"):
        scale_of(silent)
    assert scale_of(silent, um_per_pixel=0.5) == (0.5, 0.5, "um-per-pixel")
    assert scale_of(silent, objective=40.0) == (0.25, 0.25, "objective")
    with Slide.open(silent, FIELD, options=SlideOptions(objective=40.0)) as slide:
        assert slide.field_size == pytest.approx((1372, 901.6))
    with pytest.raises(SlideUnusable, match=r"A pixel is 5 x 5 micrometres, reckoned from the obj"):
        scale_of(silent, objective=2.0)


def test_what_the_slide_states_wins_unless_it_is_overruled(full, tmp_path):
    *stated, origin = scale_of(full, um_per_pixel=0.3)
    assert stated == pytest.approx([0.49, 0.49])
    assert origin == "slide"
    forced = scale_of(full, um_per_pixel=0.3, force_scale=True)
    assert forced == (0.3, 0.3, "um-per-pixel")
    screen = write_slide(tmp_path / "screen.tiff", SIZE, {}, scale=25_400 / 72)
    with pytest.raises(SlideUnusable, match=r"as the slide states; .*and --force-scale"):
        scale_of(screen, objective=20.0)
    assert scale_of(screen, objective=20.0, force_scale=True) == (0.5, 0.5, "objective")


def test_an_objective_that_the_slide_names_is_told(tmp_path):
    path = write_slide(tmp_path / "aperio.svs", SIZE, {}, aperio=True)
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            description = page.aspage().tags["ImageDescription"]
            description.overwrite(description.value.replace("MPP", "XPP"))
    with pytest.raises(SlideUnusable, match=r"names an objective of 20x\. State it"):
        scale_of(path)


@pytest.mark.parametrize(
    "options",
    [
        {"um_per_pixel": 0.5, "objective": 20.0},
        {"objective": 0.0},
        {"um_per_pixel": float("nan")},
        {"force_scale": True},
    ],
)
def test_a_scale_is_stated_once_and_as_a_number(options):
    with pytest.raises(SlideUnusable, match="State"):
        SlideOptions(**options)


def places(path: Path, region: Region | None = None, **options: object) -> list[tuple[int, int]]:
    chosen = SlideOptions(**options)
    with Slide.open(path, FIELD, options=chosen) as slide:
        tiles = find_tiles(slide, slide.overview(), 0.05, chosen, region)
    return [(tile.row, tile.column) for tile in tiles]


def test_fields_overlap(full):
    assert len(places(full)) == 9
    with Slide.open(full, FIELD) as slide:
        overview = slide.overview()
        tiles = find_tiles(slide, overview, 0.05, SlideOptions(overlap=0.5))
        assert [(t.x, t.y) for t in tiles] == [
            (350 * column, 230 * row) for row in range(5) for column in range(5)
        ]
        assert {(t.width, t.height) for t in tiles} == {(700, 460)}
        assert max(t.x + t.width for t in tiles) == SIZE[0]
        # Each colours its middle, and all together the slide but for its rim.
        heat_map = HeatMap(slide, overview, 0.5)
        model = ModelId("breakhis", "1.4", "")
        areas = []
        for tile in tiles:
            heat_map.add(ScoredField(tile, Prediction("benign", 0.1, "benign", -1.0, [], model)))
            areas.append(int((heat_map.layer[..., 3] > 0).sum()))
    assert min(b - a for a, b in pairwise(areas)) > 0
    height, width = overview.shape[:2]
    assert areas[-1] == pytest.approx(width * 5 / 6 * height * 5 / 6, rel=0.01)


def test_how_much_tissue_a_field_needs(tmp_path):
    drawn = {(0, 0): draw_field(1), (700, 0): draw_field(1)[:92]}
    path = write_slide(tmp_path / "slide.tiff", SIZE, drawn)
    assert places(path) == [(0, 0), (0, 1)]
    assert places(path, min_tissue=0.5) == [(0, 0)]
    assert len(places(path, min_tissue=0.0)) == 9


@pytest.mark.parametrize(
    ("drawn", "inside"),
    [
        (POLYGON, [(0, 0), (1, 0), (1, 1)]),
        (CORNER, [(2, 2)]),
        ([{"type": "Feature", "geometry": CORNER}], [(2, 2)]),
        (
            {
                "type": "FeatureCollection",
                "features": [
                    {"type": "Feature", "geometry": POLYGON, "properties": {"name": "tumour"}},
                    # What lies in two polygons is in the region.
                    {"type": "Feature", "geometry": {**POLYGON, "coordinates": [SQUARE[::-1]]}},
                    {"type": "Feature", "geometry": POINT},
                    {"type": "Feature", "geometry": None},
                ],
            },
            [(0, 0), (0, 1), (1, 0), (1, 1)],
        ),
    ],
)
def test_only_fields_inside_a_region(full, tmp_path, drawn, inside):
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps(drawn))
    assert places(full, Region.read(path)) == inside


def test_a_region_is_counted_as_qupath_counts(tmp_path):
    fields = {(700 * column, 460 * row): draw_field(1) for row in (3, 4) for column in (3, 4)}
    path = write_slide(tmp_path / "sparse.tiff", (4200, 3220), fields, levels=(1,), sparse=True)
    region = tmp_path / "region.geojson"
    # Around the field at 2800, 1840; QuPath counts from 2048, 1024.
    ring = [[752, 816], [1452, 816], [1452, 1276], [752, 1276], [752, 816]]
    region.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    assert places(path, Region.read(region)) == [(4, 4)]


def test_a_region_without_tissue_is_said(full, tmp_path):
    path = tmp_path / "region.geojson"
    path.write_text(
        json.dumps({"type": "Polygon", "coordinates": [[[9000, 0], [9900, 0], [9000, 9]]]})
    )
    with pytest.raises(SlideUnusable, match="in the region"):
        places(full, Region.read(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no GeoJSON"),
        (b"[" * 100_000, "no GeoJSON"),
        (b'{"type": "Polygon"}', "no GeoJSON"),
        (b'{"type": "Polygon", "coordinates": [[[1], [2], [3]]]}', "no GeoJSON"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [2, 2], [NaN, 3]]]}', "no GeoJSON"),
        (b'{"type": "Polygon", "coordinates": [[["a", 2], [2, 2], [3, 3]]]}', "no GeoJSON"),
        (json.dumps(POINT).encode(), "no polygon"),
        (b"[]", "no polygon"),
        (None, "can't be read"),
    ],
)
def test_what_is_no_region_is_said(tmp_path, content, said):
    path = tmp_path / "region.geojson"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RegionUnusable, match=said):
        Region.read(path)
