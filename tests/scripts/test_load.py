"""The load test's page and plot; the load itself takes minutes and is sent by `make load`."""

import json

from scripts.load import page, plot
from scripts.paths import REPORTS


def test_the_committed_page_and_plot_are_those_of_the_committed_figures():
    results = json.loads((REPORTS / "load.json").read_text())
    assert (REPORTS / "load.md").read_text() == page(results)
    assert b"memory, MB" in plot(results)


def test_every_request_of_the_committed_run_was_answered_or_refused():
    results = json.loads((REPORTS / "load.json").read_text())
    assert {piece["phase"] for piece in results["pieces"]} == {"peak", "overload", "soak"}
    assert {status for piece in results["pieces"] for status in piece["statuses"]} == {"200", "503"}
