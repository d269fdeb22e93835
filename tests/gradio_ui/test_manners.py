"""Labels, keyboard, dark mode, several visitors, a full queue, and no way to other files."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from gradio_ui.example_fields import FIELDS, draw
from gradio_ui.page import AT_A_TIME, QUEUE
from handler import RESEARCH_ONLY
from serve.drawn_tissue import encode
from tests.conftest import field_that_is, wait_until, worker_of
from tests.gradio_ui.conftest import Visitor

ENDPOINTS = {"/classify", "/patient", "/classify_field", "/judge_patient", "/describe_model"}
TABS = ("One image", "Patient", "Slide", "Model")


def test_every_control_has_a_label_and_text_can_be_read(desktop, field_file):
    page = desktop.page
    desktop.upload(field_file)
    desktop.verdict()
    for tab in TABS:
        desktop.open(tab)
        if tab in {"Patient", "Slide"}:
            name = tab.lower()
            page.get_by_role("button", name=f"Try it with a drawn {name}").click()
            page.locator(f"#{name}-summary .verdict").wait_for()
            page.get_by_role("button", name=f"Judge the {name}", disabled=False).wait_for()
        if tab == "Model":
            page.locator("#about details:not([open])").evaluate_all(
                "all => all.forEach(section => section.open = true)"
            )
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.locator("body.dark").wait_for(state="attached" if scheme == "dark" else "detached")
            page.wait_for_timeout(500)  # colours fade
            found = Axe().run(page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], (tab, scheme)


def test_everything_is_done_by_keyboard(desktop):
    page = desktop.page
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim()"))
        if reached[-1] == next(iter(FIELDS)):
            break
    assert "One image" in reached
    page.keyboard.press("Enter")
    desktop.verdict()
    page.locator("#answer .pane:visible").focus()
    page.keyboard.press("h")
    assert page.locator("#answer .picture").is_visible()
    page.get_by_role("tab", name="One image").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Judge the patient").wait_for()


def test_visitors_at_once_see_their_own_results_only(visit, client, tmp_path):
    visitors: list[Visitor] = []
    files: list[Path] = []
    verdicts = "uncertain", "malignant", "benign"
    for verdict, width in zip(verdicts, ("desktop", "phone", "desktop"), strict=True):
        visitors.append(visit(width))
        files.append(tmp_path / f"visitor-{len(files)}.png")
        files[-1].write_bytes(encode(field_that_is(verdict)))
    for visitor, file in zip(visitors, files, strict=True):
        visitor.upload(file)
        visitor.judge_patient(file, file)
    for visitor, file in zip(visitors, files, strict=True):
        visitor.page.locator("#patient-summary .verdict").wait_for()
        answer = client.predict(file)
        assert (
            f"malignancy {answer.probability:.0%}"
            in visitor.page.locator("#patient-summary").inner_text()
        )
        visitor.open("One image")
        assert f"malignancy: {answer.probability:.0%}" in visitor.verdict().inner_text()
        body = visitor.page.content()
        assert [other.name in body for other in files] == [other == file for other in files]
        visitor.leave()


def test_programs_at_once_get_their_own_answers(page_url, client, tmp_path):
    files = []
    for seed in range(6):
        files.append(tmp_path / f"{seed}.png")
        files[-1].write_bytes(encode(draw(seed)))
    visitor = Client(page_url, verbose=False)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda f: visitor.predict(handle_file(f), api_name="/classify"), files)
        )
    for file, answer in zip(files, answers, strict=True):
        assert answer["decision"] == pytest.approx(client.predict(file).decision, abs=1e-3)


def test_programs_are_told_what_is_wrong(page_url, broken_file):
    page = Client(page_url, verbose=False)
    with pytest.raises(AppError, match="not an image that can be read"):
        page.predict(handle_file(broken_file), api_name="/classify")
    with pytest.raises(AppError, match="Send one image"):
        page.predict(None, api_name="/classify")
    (image,) = page.predict([handle_file(broken_file)], api_name="/patient")["images"]
    assert image["file"] == "broken.png"
    assert "not an image that can be read" in image["error"]


def test_a_waiting_visitor_sees_the_place_in_the_queue(desktop, page_url, patient_zip):
    others = Client(page_url, verbose=False)
    jobs = [others.submit([handle_file(patient_zip)], api_name="/patient") for _ in range(3)]
    wait_until(lambda: sum(job.status().code.name == "PROCESSING" for job in jobs) == 2)
    desktop.judge_patient(patient_zip)
    desktop.page.locator("#patient-progress").get_by_text("queue: 2/2").wait_for()
    desktop.page.get_by_role("button", name="Cancel").click()
    desktop.page.locator("#patient-progress").get_by_text("Cancelled").wait_for()
    for job in jobs:
        job.cancel()


def test_a_full_queue_refuses_and_everybody_in_it_is_answered(page_url, service):
    api = f"{page_url}/gradio_api"
    worker = worker_of(service)
    worker.suspend()
    try:
        events = []
        small = encode(draw(1, 140, 92))  # it is judged in no time
        files = [("files", ("field.png", small))] * (AT_A_TIME + QUEUE + 8)
        for path in requests.post(f"{api}/upload", files=files, timeout=30).json():
            data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
            sent = requests.post(f"{api}/call/classify", json={"data": data}, timeout=30)
            if not sent.ok:
                assert (sent.status_code, "full" in sent.text) == (503, True)
                break
            events.append(sent.json()["event_id"])
        else:
            pytest.fail("the queue never ended")
    finally:
        worker.resume()
    assert len(events) >= QUEUE
    for event in events:
        answer = requests.get(f"{api}/call/classify/{event}", timeout=120).text
        assert "event: complete" in answer, answer[:200]


def test_the_page_says_research_only_and_offers_no_management_call(page_url):
    assert RESEARCH_ONLY in requests.get(page_url).text
    endpoints = requests.get(f"{page_url}/gradio_api/info").json()["named_endpoints"]
    assert set(endpoints) == ENDPOINTS


@pytest.mark.parametrize("endpoint", ["classify", "patient"])
def test_the_page_reads_and_deletes_no_file_that_was_not_uploaded(page_url, service, endpoint):
    for path in (service.key_file, Path("/etc/passwd")):
        file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        data = {"data": [file if endpoint == "classify" else [file]]}
        sent = requests.post(f"{page_url}/gradio_api/call/{endpoint}", json=data, timeout=30)
        events = f"{page_url}/gradio_api/call/{endpoint}/{sent.json()['event_id']}"
        answer = requests.get(events, timeout=30).text
        assert "event: error" in answer
        assert path.exists()
        assert requests.get(f"{page_url}/gradio_api/file={path}", timeout=30).status_code == 403
