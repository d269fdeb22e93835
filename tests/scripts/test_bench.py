"""The whole benchmark, with real servers and real load, for too short to mean anything."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from handler.images import read_field
from handler.model import Model
from scripts.benchmarking.bench_report import kind, page, ratios
from scripts.benchmarking.peers.pipeline import Pipeline
from scripts.paths import MODEL_STORE, REPORTS
from tests.conftest import FAST_ENGINE, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Without the data set, so on drawn fields."""
    folder = tmp_path_factory.mktemp("benchmark")
    command = [sys.executable, "-m", "scripts.bench", "--quick", "--out", str(folder)]
    done = subprocess.run(
        [*command, "--data", str(folder / "none")],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def files(results: Path, ending: str) -> list[Path]:
    return sorted((results / "bench").glob(f"*.{ending}"))


def test_everybody_answers_everything(results):
    (measured,) = files(results, "json")
    found = json.loads(measured.read_text())
    assert measured.stem == kind(found["machine"])
    assert set(found["services"]) == {
        *("this service", "TorchServe", "LitServe", "Flask", "TorchServe image_classifier"),
    }
    assert found["less_work"] == ["TorchServe image_classifier"]
    for service in found["services"].values():
        assert set(service["load"]) == {"1", "16"}
        for seen in service["load"].values():
            assert seen["rate"] > 0
            assert seen["errors"] == 0
            assert seen["p50"] <= seen["p95"] <= seen["p99"]
        assert service["start_seconds"] > 0
        assert sum(service["resident_mb"].values()) > 100
    assert found["soak"]["errors"] == 0
    assert found["engine"] == FAST_ENGINE
    assert found["images"] == "drawn fields"
    assert all(ratio > 0 for ratio in ratios(found).values())


def test_the_tables_and_the_plot_show_it(results):
    printed = (results / "printed.txt").read_text()
    for words in ("requests/s", "p99 ms", "memory, MB", "LitServe", FAST_ENGINE):
        assert words in printed
    (drawn,) = files(results, "svg")
    svg = drawn.read_text()
    assert svg.startswith("<?xml")
    assert "limit, in process" in svg


def test_every_table_names_the_machine_and_the_engine(results):
    (measured,), (written,) = files(results, "json"), files(results, "md")
    found = json.loads(measured.read_text())
    tables = re.findall(r"(?<!\|\n)(?:.*\n)\n\|.*\n\|[-:|]+\|\n", written.read_text())
    assert len(tables) == 4
    machine = found["machine"]
    for words in (machine["cpu"], f"{machine['cores']} cores", *machine["instructions"]):
        assert all(words in table for table in tables)
    assert all(f"engine {FAST_ENGINE}" in table for table in tables)


def test_the_committed_pages_are_those_of_the_committed_results():
    committed = files(REPORTS, "json")
    assert committed
    for measured in committed:
        results = json.loads(measured.read_text())
        assert measured.stem == kind(results["machine"])
        assert measured.with_suffix(".md").read_text() == page(results)


def test_the_peers_decide_what_the_model_decides(field_png):
    """They resize with another filter, so nearly."""
    pipeline = Pipeline()
    model = Model.open(MODEL_STORE)
    ours = model.classify([read_field(field_png)])[0]
    (answer,) = pipeline.answer(pipeline.extract(pipeline.read(field_png)[None]))
    assert pipeline.size == model.size
    assert set(answer) == {"label", "decision"}
    assert answer["label"] == ours.label
    assert answer["decision"] == pytest.approx(ours.decision, abs=0.2)
