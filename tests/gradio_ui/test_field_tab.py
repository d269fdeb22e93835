"""One image, in a headless Chromium."""

import re

import pytest

from gradio_ui.example_fields import FIELDS, WITHOUT_STAIN
from gradio_ui.picture import data_url
from gradio_ui.verdict import MEANINGS
from handler import RESEARCH_ONLY
from serve.description import Description
from serve.drawn_tissue import draw_field, encode
from serve.management import Management
from tests.conftest import wait_until
from tests.gradio_ui.conftest import WIDTHS, uploads_of


def test_upload_shows_verdict_bar_and_heat_map(visitor, client, service, field_file, screenshot):
    before = set(uploads_of(service))
    visitor.upload(field_file)
    box = visitor.verdict()
    text = box.inner_text()
    answer = client.predict(field_file)
    assert answer.verdict in text.lower()
    assert f"{answer.probability:.0%}" in text
    assert f"Model breakhis {answer.model.version}, answered in" in text
    bar = box.locator(".scale")
    assert f"Probability of malignancy {answer.probability:.0%}" in bar.get_attribute("aria-label")
    for limit in (".band", ".threshold", ".marker"):
        assert bar.locator(limit).is_visible()

    page = visitor.page
    assert page.locator("body").inner_text().count(RESEARCH_ONLY) == 1
    # It is announced: the region was there before.
    assert page.locator("#answer [role=status] .verdict").count() == 1
    shown = page.locator("#answer .pane:visible img").first
    assert shown.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [700, 460]
    assert shown.bounding_box()["y"] < WIDTHS[visitor.width][1] / 2  # in sight, above or beside
    below = [page.locator(f"#answer {part}").bounding_box()["y"] for part in (".verdict", "canvas")]
    examples = page.locator("#examples").bounding_box()["y"]
    if visitor.width == "phone":
        assert [shown.bounding_box()["y"], *below, examples] == sorted(
            [shown.bounding_box()["y"], *below, examples]
        )
    else:
        assert examples > max(below)

    visitor.page.get_by_text("Drop Image Here").wait_for()  # the box is free for the next one
    wait_until(lambda: set(uploads_of(service)) <= before)
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(visitor, "one-image")


def colour_at(desktop, across: float, down: float) -> list[int]:
    """Red, green, blue and opacity of the layer at a place, in shares of its width and height."""
    return desktop.page.locator("#answer canvas").evaluate(
        """(canvas, [across, down]) => [...canvas.getContext("2d").getImageData(
            across * canvas.width, down * canvas.height, 1, 1).data]""",
        [across, down],
    )


def test_the_heat_map_says_in_colour_and_words_what_the_numbers_say(desktop, client, field_file):
    desktop.upload(field_file)
    desktop.verdict()
    explained = client.predict(field_file, attribution=True).attribution
    rows, columns = explained.places.shape
    for row, column in ((0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)):
        strength = explained.places[row, column] / explained.scale
        shown = colour_at(desktop, (column + 0.5) / columns, (row + 0.5) / rows)
        assert shown[3] == pytest.approx(255 * 0.7 * min(abs(strength), 1), abs=6)
        if shown[3] > 20:
            assert (shown[0] > shown[2]) == (strength > 0)
    said = desktop.page.locator("#answer figcaption").inner_text()
    numbers = [float(each) for each in re.findall(r"[-+]\d+\.\d\d", said)]
    base, orange, blue, decision = numbers
    assert base + orange + blue == pytest.approx(decision, abs=0.03)
    assert decision == pytest.approx(client.predict(field_file).decision, abs=0.01)
    assert f"{explained.scale:+.1f}" in said
    label = desktop.page.locator("#answer canvas").get_attribute("aria-label")
    assert "strongest evidence for malignant lies in the" in label


def test_the_heat_map_is_switched_by_touch_and_key_and_zoomed(visitor, field_file):
    visitor.upload(field_file)
    visitor.verdict()
    figure = visitor.page.locator("#answer figure")

    def mode() -> str:
        return figure.get_attribute("data-mode")

    figure.get_by_role("button", name="Heat map").click()
    figure.locator(".pane.mapped .sheet").click()
    assert mode() == "picture"
    visitor.page.locator("#answer .pane:visible").focus()
    visitor.page.keyboard.press("h")
    assert mode() == "heatmap"
    visitor.page.keyboard.press("h")  # focus has moved to what is shown
    assert mode() == "picture"
    visitor.page.keyboard.press("s")
    assert mode() == "both"
    sheet = figure.locator(".pane.mapped .sheet")
    before = sheet.bounding_box()["width"]
    visitor.page.keyboard.press("+")
    assert sheet.bounding_box()["width"] > 1.4 * before
    figure.get_by_role("button", name="Zoom out").click()
    assert sheet.bounding_box()["width"] == pytest.approx(before, abs=1)


def test_three_figures_of_the_running_model_lead_to_the_model_tab(desktop, service):
    own = Management.from_settings(service).describe()["customizedMetadata"]
    measured = Description.from_json(own).evaluation["magnifications"]["40X"]["patient"]
    said = desktop.page.locator("#answer .figures").inner_text()
    assert f"Of {measured['benign'] + measured['malignant']} patients it had never seen" in said
    assert f"{measured['wrong_verdicts']['value']:.0%}\nwrong verdict" in said
    desktop.page.get_by_role("button", name="How this was measured").click()
    desktop.page.locator("#about").get_by_text("Running: breakhis").wait_for()


@pytest.mark.parametrize(
    ("example", "kind", "said"),
    [
        *((name, drawn.verdict, MEANINGS[drawn.verdict]) for name, drawn in FIELDS.items()),
        (WITHOUT_STAIN, "rejected", "unlike every field"),
    ],
)
def test_examples_show_every_kind_of_answer(desktop, screenshot, example, kind, said):
    assert desktop.page.get_by_text("synthetic").is_visible()
    desktop.page.get_by_role("button", name=example).click()
    box = desktop.verdict()
    assert kind in box.get_attribute("class")
    assert said in box.inner_text()
    # Where no verdict is given, no picture claims to explain one.
    assert desktop.page.locator("#answer canvas").is_visible() == (kind != "rejected")
    assert desktop.page.locator("#answer .pane img").first.evaluate("image => image.naturalWidth")
    screenshot(desktop, kind)


def test_a_broken_file_shows_the_service_s_own_message_and_the_next_works(
    visitor, service, field_file, broken_file, screenshot
):
    before = set(uploads_of(service))
    visitor.upload(broken_file)
    assert "This is not an image that can be read" in visitor.verdict().inner_text()
    screenshot(visitor, "refused")
    visitor.page.get_by_text("Drop Image Here").wait_for()
    visitor.upload(field_file)
    visitor.page.locator("#answer canvas").wait_for()
    visitor.page.get_by_text("Drop Image Here").wait_for()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_a_format_that_no_browser_shows_is_shown(desktop, tmp_path):
    file = tmp_path / "field.tif"
    file.write_bytes(encode(draw_field(1), "TIFF"))
    desktop.upload(file)
    desktop.verdict()
    field = desktop.page.get_by_alt_text("The field field.tif").last
    assert field.evaluate("image => image.naturalWidth") == 700


def test_paste(visitor, field_png):
    visitor.page.evaluate(
        """async url => {
            const image = await (await fetch(url)).blob();
            await navigator.clipboard.write([new ClipboardItem({"image/png": image})]);
        }""",
        data_url(field_png, "image/png"),
    )
    visitor.page.get_by_label("Paste from clipboard").click()
    visitor.verdict()


def test_drop(visitor, field_png):
    data = visitor.page.evaluate_handle(
        """async url => {
            const image = await (await fetch(url)).blob();
            const data = new DataTransfer();
            data.items.add(new File([image], "field.png", {type: "image/png"}));
            return data;
        }""",
        data_url(field_png, "image/png"),
    )
    target = visitor.page.get_by_label("Drop an image file here")
    target.dispatch_event("drop", {"dataTransfer": data})
    visitor.verdict()


def test_camera(visitor):
    visitor.page.get_by_label("Capture from camera").click()
    visitor.page.get_by_text("Click to Access Webcam").click()
    visitor.page.wait_for_function("document.querySelector('#field video').videoWidth > 0")
    visitor.page.get_by_label("capture photo").click()
    visitor.verdict()


def test_a_service_without_a_worker_is_down(desktop, service):
    management = Management.from_settings(service)
    down = desktop.page.locator("#service-down")
    assert not down.is_visible()
    version = management.default().version
    management.scale(version, 0)
    try:
        down.wait_for()
    finally:
        management.scale(version, 1)
    down.wait_for(state="hidden")
