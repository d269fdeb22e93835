"""What the page says of the model."""

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
    assert about.locator(".figures").is_visible()
    auc = own["evaluation"]["magnifications"]["40X"]["image"]["auc"]
    low, high = auc["interval"]
    assert f"{auc['value']:.2f} [{low:.2f}, {high:.2f}]" in text
    folded = about.locator("details:not([open]) > summary").all_inner_texts()
    assert "Limits" in folded
    assert "Figures" not in folded
    about.get_by_text("Intended use").click()
    about.get_by_text("Not for diagnosis").wait_for()
    assert RESEARCH_ONLY in visitor.page.locator("body").inner_text()
    plots = about.locator("img")
    assert plots.evaluate_all("all => all.map(plot => plot.alt)") == [
        *("ROC", "Verdicts", "Risk and coverage", "Calibration"),
        *("Distance from the training fields", "Deletion and insertion"),
    ]
    visitor.page.wait_for_function(
        "[...document.querySelectorAll('#about img')].every(plot => plot.naturalWidth > 100)"
    )
    if visitor.width == "desktop":
        table, plot = about.locator("table:visible").first, about.locator("img:visible").first
        ends = table.bounding_box()["x"] + table.bounding_box()["width"]
        assert ends <= plot.bounding_box()["x"]
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(visitor, "model")
