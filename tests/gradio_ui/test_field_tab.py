"""One image, in a headless Chromium."""

import pytest

from gradio_ui.picture import data_url
from handler import RESEARCH_ONLY
from serve.drawn_tissue import draw_field, encode
from serve.management import Management
from serve.torchserve import TorchServe
from tests.conftest import wait_until
from tests.gradio_ui.conftest import uploads_of


def test_upload_shows_verdict_bar_and_heat_map(visitor, client, service, field_file, screenshot):
    before = set(uploads_of(service))
    visitor.upload(field_file)
    box = visitor.verdict()
    text = box.inner_text()
    answer = client.predict(field_file)
    assert answer.verdict in text.lower()
    assert f"{answer.probability:.0%}" in text
    assert f"Model breakhis {answer.model.version}, answered in" in text
    assert RESEARCH_ONLY in text
    bar = box.locator(".scale")
    assert f"Probability of malignancy {answer.probability:.0%}" in bar.get_attribute("aria-label")
    for limit in (".band", ".threshold", ".marker"):
        assert bar.locator(limit).is_visible()

    layers = visitor.page.locator("#answer .layers img")
    sizes = layers.evaluate_all("all => all.map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes == [[700, 460], [700, 460]]
    heatmap, slider = layers.nth(1), visitor.page.get_by_label("Opacity of the heat map")
    for opacity in ("0", "40"):
        slider.fill(opacity)
        shown = heatmap.evaluate("image => getComputedStyle(image).opacity")
        assert float(shown) == int(opacity) / 100
    slider.fill("70")

    visitor.page.get_by_text("Drop Image Here").wait_for()  # the box is free for the next one
    wait_until(lambda: set(uploads_of(service)) <= before)
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(visitor, "one-image")


@pytest.mark.parametrize(
    ("example", "kind", "said"),
    [
        ("Drawn: ducts in loose stroma", "benign", "on the benign side"),
        ("Drawn: lobules and ducts", "uncertain", "the chance of being wrong is above 30%"),
        ("Drawn: sheets of carcinoma", "malignant", "on the malignant side"),
        ("Drawn: without stain", "rejected", "unlike every field"),
    ],
)
def test_examples_show_every_kind_of_answer(desktop, screenshot, example, kind, said):
    assert desktop.page.get_by_text("synthetic").is_visible()
    desktop.page.get_by_role("button", name=example).click()
    box = desktop.verdict()
    assert kind in box.get_attribute("class")
    assert said in box.inner_text()
    # Where no verdict is given, no picture claims to explain one.
    assert desktop.page.locator("#answer .heatmap").count() == (kind != "rejected")
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
    visitor.page.locator("#answer .heatmap").wait_for()
    visitor.page.get_by_text("Drop Image Here").wait_for()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_a_format_that_no_browser_shows_is_shown(desktop, tmp_path):
    file = tmp_path / "field.tif"
    file.write_bytes(encode(draw_field(1), "TIFF"))
    desktop.upload(file)
    desktop.verdict()
    field = desktop.page.get_by_alt_text("The field field.tif")
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


def test_service_down_and_back(desktop, service, field_file, screenshot):
    down = desktop.page.locator("#service-down")
    torchserve = TorchServe(service)
    torchserve.stop()
    try:
        down.wait_for()
        assert "does not answer at the moment" in down.inner_text()
        desktop.upload(field_file)
        desktop.page.get_by_text("TorchServe is not running here").wait_for()
        screenshot(desktop, "down")
    finally:
        torchserve.start()
    down.wait_for(state="hidden")
    desktop.upload(field_file)
    desktop.verdict()


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
