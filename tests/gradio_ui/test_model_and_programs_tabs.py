"""What the page says of the model, and its snippets as a programmer would paste them."""

import ast
import json
import re
import subprocess
import sys

import pytest

from handler import RESEARCH_ONLY
from serve.management import Management


def test_the_model_tab_shows_card_figures_and_plots_of_the_running_model(
    visitor, service, screenshot
):
    visitor.open("Model")
    about = visitor.page.locator("#about")
    about.get_by_text("Running: breakhis").wait_for()
    own = Management.from_settings(service).describe()["customizedMetadata"]
    text = about.inner_text()
    assert own["model"]["sha256"] in text
    assert own["engine"] in text
    auc = own["evaluation"]["magnifications"]["40X"]["image"]["auc"]
    low, high = auc["interval"]
    assert f"{auc['value']:.2f} [{low:.2f}, {high:.2f}]" in text
    assert "Not for diagnosis" in text
    assert RESEARCH_ONLY in visitor.page.locator("body").inner_text()
    plots = about.locator("img")
    assert plots.evaluate_all("all => all.map(plot => plot.alt)") == [
        *("ROC", "Verdicts", "Calibration", "Distance from the training fields"),
        "Deletion and insertion",
    ]
    visitor.page.wait_for_function(
        "[...document.querySelectorAll('#about img')].every(plot => plot.naturalWidth > 100)"
    )
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(visitor, "model")


@pytest.fixture
def snippets(visitor, page_url) -> list[str]:
    """The code on the page, as its copy buttons give it."""
    visitor.open("Programs")
    visitor.page.get_by_text(page_url).first.wait_for()
    copied = []
    for button in visitor.page.get_by_label("Copy", exact=True).all():
        button.click()
        copied.append(visitor.page.evaluate("navigator.clipboard.readText()"))
    return copied


def test_the_snippets_work_when_pasted(snippets, client, field_file, visitor, screenshot):
    screenshot(visitor, "programs")
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    expected = client.predict(field_file)
    assert len(snippets) == 3
    commands = [["bash", "-c"], *[[sys.executable, "-c"]] * 2]
    printed = [
        subprocess.run(
            [*command, snippet], cwd=field_file.parent, capture_output=True, text=True, check=True
        ).stdout
        for command, snippet in zip(commands, snippets, strict=True)
    ]
    (answer,) = json.loads(re.search(r"data: (.*)", printed[0])[1])
    assert answer["verdict"] == expected.verdict
    for text in printed[1:]:
        assert f"{expected.verdict} {expected.probability}"[:15] in text
    patient = ast.literal_eval(printed[2].splitlines()[-1])
    assert patient["images"] == 2
