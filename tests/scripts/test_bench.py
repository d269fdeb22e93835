"""The whole benchmark, with real servers and real load, for too short to mean anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmarking.bench_report import page, ratios
from scripts.paths import REPORTS
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


def test_everybody_answers_everything(results):
    found = json.loads((results / "bench.json").read_text())
    assert set(found["services"]) == {
        *("this service", "TorchServe image_classifier", "LitServe", "Flask"),
    }
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
    svg = (results / "bench.svg").read_text()
    assert svg.startswith("<?xml")
    assert "limit, in process" in svg


def test_the_committed_page_is_that_of_the_committed_results():
    results = json.loads((REPORTS / "bench.json").read_text())
    assert (REPORTS / "bench.md").read_text() == page(results)
