"""A whole slide, in a headless Chromium."""

import json
import re
from pathlib import Path

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe

from bulk.slides.slide import Tile
from bulk.slides.summary import EXPLORATORY
from gradio_ui.slide_result import MAX_FIELDS, spread
from handler import RESEARCH_ONLY
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field, encode
from tests.conftest import field_that_is, wait_until
from tests.equal_fields import many
from tests.gradio_ui.conftest import Visitor, uploads_of
from tests.gradio_ui.test_patient_tab import download, rows_of


def judge_slide(visitor: Visitor, file: Path) -> None:
    """Upload a slide and press the button."""
    visitor.open("Slide")
    visitor.page.locator("#slide-upload input[type=file]").set_input_files(file)
    visitor.page.locator("#slide-upload .filename").wait_for()
    visitor.page.get_by_role("button", name="Judge the slide").click()


@pytest.fixture
def large_slide(tmp_path: Path) -> Path:
    return write_slide(tmp_path / "large.tiff", (7000, 4600), many(10, 10))


def test_a_slide_with_its_heat_map_and_best_fields(
    visitor, client, service, tmp_path, screenshot, request
):
    before = set(uploads_of(service))
    verdicts = {(1, 1): "malignant", (1, 2): "uncertain", (2, 2): "benign"}
    fields = {where: field_that_is(verdict) for where, verdict in verdicts.items()}
    regions = {(700 * column, 460 * row): field for (row, column), field in fields.items()}
    file = write_slide(tmp_path / "biopsy.tiff", (2800, 1840), regions)
    judge_slide(visitor, file)
    page = visitor.page
    page.get_by_text("Fields of the slide").wait_for()
    said = page.locator("#slide-summary").inner_text()
    assert "3 fields: 1 malignant, 1 uncertain, 1 benign, 0 rejected." in said
    assert EXPLORATORY in said
    assert RESEARCH_ONLY not in said  # it stands above, once
    assert "Scale: 0.49 x 0.49 micrometres a pixel, as the slide states." in said
    assert "QuPath 0.5 or later" in page.locator("#slide-files").inner_text()
    assert "3 of 3 fields" in page.locator("#slide-progress").inner_text()
    # A place shows its field.
    sheet = page.locator("#slide-picture .mapped .sheet")
    size = sheet.bounding_box()
    sheet.click(position={"x": size["width"] * 2.5 / 4, "y": size["height"] * 1.5 / 4})
    chosen = page.locator("#slide-picture .chosen")
    assert "row 1, column 2" in chosen.inner_text()
    assert chosen.locator("img").evaluate("image => image.naturalWidth") == 350
    page.locator("#slide-picture .pane:visible").last.focus()
    page.keyboard.press("n")
    assert "row 2, column 2" in chosen.inner_text()
    assert page.locator("#slide-gallery img").count() == 3
    answers = {where: client.predict(encode(field)) for where, field in fields.items()}
    best = max(answers, key=lambda where: answers[where].probability)
    shown = page.locator("#slide-gallery figcaption").first.inner_text()
    probability = f"probability of malignancy {answers[best].probability:.0%}"
    assert f"malignant, {probability}; row {best[0]}, column {best[1]}" in shown
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(visitor, "slide")
    page.get_by_role("button", name="Judge the slide", disabled=False).wait_for()
    page.wait_for_timeout(500)  # colours fade from the disabled button's
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []

    rows = rows_of(download(visitor, "Table as CSV"))
    for row in rows:
        where = int(row["row"]), int(row["column"])
        assert float(row["probability"]) == pytest.approx(answers[where].probability, abs=1e-6)
    collection = json.loads(download(visitor, "GeoJSON for QuPath"))
    assert len(collection["features"]) == len(rows) == 3
    assert download(visitor, "Heat map as PNG").startswith(b"\x89PNG")
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_a_drawn_slide_is_one_click_away(desktop, service):
    before = set(uploads_of(service))
    desktop.open("Slide")
    desktop.page.get_by_role("button", name="Try it with a drawn slide").click()
    desktop.page.get_by_text("Fields of the slide").wait_for()
    overview = desktop.page.get_by_alt_text("The slide drawn.tiff").last
    assert overview.evaluate("image => image.naturalWidth") > 0
    assert desktop.page.locator("#slide-gallery img").count() > 0
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_each_picture_is_sent_once(page_url):
    """What a browser gets while a drawn slide of twelve fields is judged."""
    page = requests.get(f"{page_url}/config", timeout=30).json()
    (button,) = [
        each["id"]
        for each in page["components"]
        if each["props"].get("value") == "Try it with a drawn slide"
    ]
    (judge,) = [
        each["id"]
        for each in page["dependencies"]
        if [button, "click"] in each["targets"] and each["types"]["generator"]
    ]
    visit = {"session_hash": "slide"}
    call = {**visit, "fn_index": judge, "data": []}
    requests.post(f"{page_url}/gradio_api/queue/join", json=call, timeout=30)
    updates = []
    with requests.get(
        f"{page_url}/gradio_api/queue/data", params=visit, timeout=60, stream=True
    ) as answer:
        for line in answer.iter_lines():
            updates.append(line)
            if b"process_completed" in line:
                break
    assert any(b"12 of 12 fields" in update for update in updates)
    assert sum(update.count(b"data:image/jpeg") for update in updates) == 1 + 12
    assert len(updates[-1]) < 2000


def test_cancel_stops_the_work_and_keeps_what_was_judged(desktop, service, large_slide):
    before = set(uploads_of(service))
    judge_slide(desktop, large_slide)
    page = desktop.page
    page.locator("#slide-progress").get_by_text(re.compile(r"[1-9]\d* of 100 fields")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator("#slide-progress").get_by_text("Cancelled").wait_for()
    page.get_by_text("Fields of the slide").wait_for()
    said = page.locator("#slide-summary").inner_text()
    judged = int(re.search(r"(\d+) fields:", said)[1])
    assert 0 < judged < 100
    assert "100 fields hold tissue" in said
    assert len(rows_of(download(desktop, "Table as CSV"))) == judged
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_what_is_no_slide_and_has_no_scale_is_said(desktop, service, broken_file, tmp_path):
    before = set(uploads_of(service))
    desktop.open("Slide")
    desktop.page.get_by_role("button", name="Judge the slide").click()
    said = desktop.page.locator("#slide-progress")
    said.get_by_text("Choose a file first").wait_for()
    judge_slide(desktop, broken_file)
    said.get_by_text("broken.png is no slide that OpenSlide reads").wait_for()
    desktop.page.get_by_role("button", name="Judge the slide", disabled=False).wait_for()
    silent = write_slide(
        tmp_path / "silent.tiff", (2800, 1840), {(700, 460): draw_field(1)}, scale=None
    )
    judge_slide(desktop, silent)
    said.get_by_text("does not say how many micrometres").wait_for()
    desktop.page.get_by_role("button", name="Judge the slide", disabled=False).wait_for()
    desktop.page.get_by_role("button", name="Scale, for a slide that states none").click()
    desktop.page.get_by_label("Micrometres a pixel").fill("0.49")
    judge_slide(desktop, silent)
    desktop.page.get_by_text("Scale: 0.49 x 0.49 micrometres a pixel, as was given").wait_for()
    assert {row["scale_from"] for row in rows_of(download(desktop, "Table as CSV"))} == {
        "um-per-pixel"
    }
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_no_more_fields_are_judged_than_the_page_says():
    tiles = [Tile(0, column, 700 * column, 0, 700, 460) for column in range(3 * MAX_FIELDS)]
    assert spread(tiles[:10]) == tiles[:10]
    chosen = spread(tiles)
    assert len(set(chosen)) == MAX_FIELDS
    assert (chosen[0], chosen[-1]) == (tiles[0], tiles[-1])
