"""The page in a headless Chromium, over a running TorchServe."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from gradio_ui.verdict import RESEARCH_ONLY
from scripts.drawn_fields import draw_field, encode
from serve.torchserve import TorchServe
from tests.conftest import SCREENSHOTS

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(params=WIDTHS)
def page(request, browser, page_url):
    """A visitor's page, and at its end: nothing loaded from elsewhere, no console error."""
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=page_url)
    page = context.new_page()
    page.name = request.param
    hosts, errors = set(), []
    page.on("request", lambda sent: hosts.add(re.sub(r"^(\w+://[^/]*).*", r"\1", sent.url)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(page_url)
    page.get_by_text("No image yet").wait_for()
    yield page
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(
        path=SCREENSHOTS / f"{request.node.originalname}-{page.name}.png", full_page=True
    )
    assert {host for host in hosts if not host.startswith(("blob:", "data:"))} == {page_url}
    assert errors == []
    context.close()


@pytest.fixture
def field_file(tmp_path: Path, field_png: bytes) -> Path:
    file = tmp_path / "field.png"
    file.write_bytes(field_png)
    return file


def upload(page, file: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(file)


def verdict(page):
    """Wait for an answer and return its box."""
    box = page.locator(".verdict:not(.waiting):not(.down)")
    box.wait_for(timeout=30_000)
    return box


def test_upload_shows_verdict_probability_and_heat_map(page, client, field_file):
    upload(page, field_file)
    text = verdict(page).inner_text()
    answer = client.predict(field_file)
    assert answer.verdict in text.lower()
    if answer.verdict != "rejected":
        assert f"{answer.probability:.0%}" in text
    assert RESEARCH_ONLY in text
    heat_map = page.locator("#heatmap img")
    heat_map.wait_for()
    size = heat_map.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert size == [700, 460]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_broken_file_shows_the_service_s_own_message_and_the_next_works(
    page, field_file, tmp_path
):
    broken = tmp_path / "broken.png"
    broken.write_text("This is no image.\n" * 20)
    upload(page, broken)
    refused = page.locator(".verdict.refused")
    refused.wait_for()
    assert "This is not an image that can be read" in refused.inner_text()
    page.get_by_label("Remove Image").click()
    upload(page, field_file)
    page.locator(".verdict:not(.refused):not(.waiting):not(.down)").wait_for(timeout=30_000)


def test_paste(page, field_png):
    page.evaluate(
        """async bytes => {
            const image = new Blob([new Uint8Array(bytes)], {type: "image/png"});
            await navigator.clipboard.write([new ClipboardItem({"image/png": image})]);
        }""",
        list(field_png),
    )
    page.get_by_label("Paste from clipboard").click()
    verdict(page)


def test_drop(page, field_png):
    data = page.evaluate_handle(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "field.png", {type: "image/png"}));
            return data;
        }""",
        list(field_png),
    )
    page.get_by_label("Drop an image file here").dispatch_event("drop", {"dataTransfer": data})
    verdict(page)


@pytest.mark.parametrize("page", ["desktop"], indirect=True)
def test_service_down_and_back(page, service, field_file):
    down = page.locator(".verdict.down")
    torchserve = TorchServe(service)
    torchserve.stop()
    try:
        down.first.wait_for(timeout=20_000)
        assert "does not answer at the moment" in down.first.inner_text()
        upload(page, field_file)
        page.get_by_text("TorchServe is not running here").wait_for()
        page.get_by_label("Remove Image").click()
    finally:
        torchserve.start()
    down.first.wait_for(state="hidden", timeout=20_000)
    upload(page, field_file)
    verdict(page)


def test_the_page_says_research_only_and_offers_no_management_call(page_url):
    assert RESEARCH_ONLY in requests.get(page_url).text
    endpoints = requests.get(f"{page_url}/gradio_api/info").json()["named_endpoints"]
    assert set(endpoints) == {"/classify"}


def test_the_page_s_api_classifies(page_url, field_file):
    from gradio_client import Client, handle_file

    html, heatmap = Client(page_url, verbose=False).predict(
        handle_file(field_file), api_name="/classify"
    )
    assert 'class="verdict' in html
    assert Image.open(heatmap).size == (700, 460)


def test_two_fields_get_their_own_answers(page_url, client, tmp_path):
    from gradio_client import Client, handle_file

    files = []
    for seed in range(6):
        files.append(tmp_path / f"{seed}.png")
        files[-1].write_bytes(encode(draw_field(seed)))
    visitor = Client(page_url, verbose=False)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda f: visitor.predict(handle_file(f), api_name="/classify"), files)
        )
    for file, (html, heatmap) in zip(files, answers, strict=True):
        assert client.predict(file).verdict in html
        expected = client.explain(file)
        assert np.array_equal(Image.open(heatmap), Image.open(io.BytesIO(expected)))


def test_the_page_reads_no_file_that_was_not_uploaded(page_url, service):
    for path in (service.key_file, Path("/etc/passwd")):
        data = {"data": [{"path": str(path), "meta": {"_type": "gradio.FileData"}}]}
        sent = requests.post(f"{page_url}/gradio_api/call/classify", json=data, timeout=30)
        events = f"{page_url}/gradio_api/call/classify/{sent.json()['event_id']}"
        answer = requests.get(events, timeout=30).text
        assert "event: error" in answer
        assert requests.get(f"{page_url}/gradio_api/file={path}", timeout=30).status_code == 403
