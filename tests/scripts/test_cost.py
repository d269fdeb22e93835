"""The page on the cost of scoring; the scoring itself takes half an hour, in `make cost`."""

import json

import pytest

from scripts.benchmarking.cost_report import FIELDS_ON_SLIDE, SLIDES, estimates, page, plot
from scripts.paths import REPORTS


def test_the_estimate_follows_from_the_figures():
    runs = [
        {"engine": engine, "workers": 2, "images": images, "seconds": 10 + images / rate}
        for engine, rate in (("local", 20), ("ray", 10))
        for images in (100, 1000)
    ]
    slide = {"fields": 100, "seconds": 5.0, "bytes": 0}
    found = {
        (each["what"], each["nodes"]): each["hours"]
        for each in estimates({"runs": runs, "slide": slide, "bytes": 500_000})
    }
    assert found["one million fields", 1] == pytest.approx((10 + 1_000_000 / 20) / 3600)
    assert found["one million fields", 100] == pytest.approx((10 + 1_000_000 / 1000) / 3600)
    of_slide = FIELDS_ON_SLIDE * 5 / 100 / 3600
    assert found["one thousand slides", 10] == pytest.approx(SLIDES / 10 * of_slide)


def test_the_committed_page_is_that_of_the_committed_figures():
    results = json.loads((REPORTS / "cost.json").read_text())
    assert (REPORTS / "cost.md").read_text() == page(results)
    assert b"memory, MB" in plot(results)
