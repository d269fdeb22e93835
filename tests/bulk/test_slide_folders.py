"""A folder of slides, here and on a Ray cluster."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from breakhis import app
from bulk.errors import OutputUnusable, SlideUnusable
from bulk.slides.options import SlideOptions
from bulk.slides.run import judge_slides
from bulk.slides.summary import EXPLORATORY
from handler import RESEARCH_ONLY
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
STORE = ROOT / "model_store"
SIZE = 2100, 1380
GIVEN = SlideOptions(um_per_pixel=0.49)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slides that can be judged if a scale is given, and others that can't."""
    folder = tmp_path / "in"
    (folder / "more" / "deeper").mkdir(parents=True)
    drawn = {(0, 0): draw_field(1), (700, 460): draw_field(4)}
    write_slide(folder / "stated.tiff", SIZE, drawn)
    write_slide(folder / "more" / "silent.tiff", SIZE, {(700, 0): draw_field(1)}, scale=None)
    write_slide(folder / "more" / "deeper" / "empty.tif", SIZE, {})
    (folder / "=broken [red].svs").write_text("no slide")
    (folder / "notes.txt").write_text("no slide, and none by its name")
    (folder / ".hidden.tiff").write_text("hidden")
    return folder


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "slides.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def written(out: Path) -> dict[str, int]:
    return {
        str(summary.parent.relative_to(out)): summary.stat().st_mtime_ns
        for summary in out.rglob("summary.json")
    }


def test_slides_are_judged_one_after_the_other_and_not_twice(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert judge_slides(STORE, folder, out) == 3
    said = capsys.readouterr()
    assert "4 slides, 0 of them judged already" in said.err
    assert "stated.tiff: 2 fields: " in said.err
    assert "=broken [red].svs: " in said.err
    assert "1 slides were judged, 3 could not be." in said.out
    assert EXPLORATORY in said.out
    assert RESEARCH_ONLY in said.out
    first = written(out)
    assert first.keys() == {"stated.tiff"}
    assert {file.name for file in out.iterdir()} == {"slides.csv", "stated.tiff"}
    rows = rows_of(out)
    assert rows.keys() == {
        "stated.tiff",
        "more/silent.tiff",
        "more/deeper/empty.tif",
        "'=broken [red].svs",
    }
    assert "does not say how many" in rows["more/silent.tiff"]["message"]
    assert "No tissue" in rows["more/deeper/empty.tif"]["message"]
    assert "no slide" in rows["'=broken [red].svs"]["message"]
    facts = json.loads((out / "stated.tiff" / "summary.json").read_text())
    row = rows["stated.tiff"]
    assert (row["fields"], row["message"]) == ("2", "")
    assert row["malignant"] == str(facts["verdicts"]["malignant"])
    assert float(row["mean_decision"]) == facts["mean_decision"]
    assert (row["micrometres_per_pixel"], row["scale_from"]) == ("0.49 0.49", "slide")
    assert row["model_sha256"] == facts["model"]["sha256"]

    # What was judged stays, if the same would come of it.
    assert judge_slides(STORE, folder, out) == 3
    assert "4 slides, 1 of them judged already" in capsys.readouterr().err
    assert written(out) == first
    assert rows_of(out) == rows

    # With a scale there is one more; the options are others, so both are judged.
    assert judge_slides(STORE, folder, out, GIVEN) == 3
    second = written(out)
    assert second.keys() == {"stated.tiff", "more/silent.tiff"}
    assert second["stated.tiff"] > first["stated.tiff"]
    scales = {name: row["scale_from"] for name, row in rows_of(out).items() if row["fields"]}
    assert scales == {"stated.tiff": "slide", "more/silent.tiff": "um-per-pixel"}

    # A slide that has changed, and results of another model.
    write_slide(folder / "stated.tiff", SIZE, {(0, 0): draw_field(1)})
    old = out / "more" / "silent.tiff" / "summary.json"
    facts = json.loads(old.read_text())
    facts["model"]["sha256"] = "another"
    old.write_text(json.dumps(facts))
    third = written(out)
    assert judge_slides(STORE, folder, out, GIVEN) == 3
    assert rows_of(out)["stated.tiff"]["fields"] == "1"
    assert all(written(out)[name] > third[name] for name in third)


@pytest.mark.ray
@pytest.mark.xdist_group("test_scoring")  # with the same cluster
def test_on_a_cluster_comes_the_same(folder, cluster, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    assert judge_slides(STORE, folder, here, GIVEN) == 3
    assert judge_slides(STORE, folder, there, GIVEN, ray=cluster) == 3
    assert rows_of(there) == rows_of(here)
    for name in ("stated.tiff", "more/silent.tiff"):
        table = (here / name / "fields.csv").read_bytes()
        assert (there / name / "fields.csv").read_bytes() == table
    # What goes wrong there is said as here.
    with pytest.raises(OutputUnusable, match="notes") as caught:
        judge_slides(STORE, folder / "stated.tiff", folder / "notes.txt", ray="local")
    assert "Traceback" not in str(caught.value)


def test_a_folder_without_slides_and_results_that_can_t_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(SlideUnusable, match="no slide in"):
        judge_slides(STORE, Path())
    with pytest.raises(OutputUnusable, match="--out"):
        judge_slides(STORE, folder, folder / "notes.txt")


def test_a_region_is_that_of_one_slide(folder, tmp_path):
    done = CliRunner().invoke(app, ["slide", str(folder), "--region", str(tmp_path / "r.geojson")])
    assert done.exit_code == 2
    assert "name the slide" in done.stderr
