"""A patient's images together, in a headless Chromium."""

import csv
import io
import re
import zipfile
from pathlib import Path

import pypdf
import pytest

from gradio_ui.example_fields import draw
from gradio_ui.report import COLUMNS
from handler import RESEARCH_ONLY
from serve.drawn_tissue import encode
from serve.torchserve import TorchServe
from tests.conftest import wait_until
from tests.gradio_ui.conftest import Visitor, uploads_of


@pytest.fixture
def fields(tmp_path: Path) -> list[Path]:
    files = []
    for seed in range(3):
        files.append(tmp_path / f"field-{seed}.png")
        files[-1].write_bytes(encode(draw(seed)))
    return files


def download(visitor: Visitor, name: str) -> bytes:
    with visitor.page.expect_download() as started:
        visitor.page.get_by_role("link", name=name).click()
    return Path(started.value.path()).read_bytes()


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"))))


def test_images_together_with_one_bad_one(
    visitor, client, service, fields, broken_file, screenshot
):
    before = set(uploads_of(service))
    visitor.judge_patient(*fields, broken_file)
    page = visitor.page
    summary = page.locator("#patient-summary .verdict")
    summary.wait_for()
    assert "4 of 4 images" in page.locator("#patient-progress").inner_text()
    answers = [client.predict(file) for file in fields]
    probability = sum(answer.probability for answer in answers) / len(answers)
    said = summary.inner_text()
    assert f"Mean probability of malignancy {probability:.0%}" in said
    assert "over 3 of 4 images" in said
    assert "Kittler" in said
    assert RESEARCH_ONLY not in said  # it stands above, once

    table = page.locator("#images .virtual-table-viewport").inner_text()
    assert re.findall(r"[\w-]+\.png", table) == [*(file.name for file in fields), "broken.png"]
    assert page.locator(".failed li").all_inner_texts() == [
        "broken.png: This is not an image that can be read, or a rare kind of its format. "
        "Send 8-bit RGB in one of: PNG, JPEG, TIFF, BMP, WEBP."
    ]
    pictures = page.locator("#patient-gallery img")
    assert pictures.count() == 3
    pictures.last.scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('#patient-gallery img')].every(i => i.complete)"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(visitor, "patient")

    rows = rows_of(download(visitor, "Table as CSV"))
    assert list(rows[0]) == [*COLUMNS, "note"]
    assert [row["file"] for row in rows] == [*(file.name for file in fields), "broken.png"]
    for row, answer in zip(rows, answers, strict=False):
        assert (row["verdict"], row["model_sha256"]) == (answer.verdict, answer.model.sha256)
        assert float(row["probability"]) == pytest.approx(answer.probability, abs=1e-3)
    assert "can be read" in rows[-1]["message"]
    pdf = pypdf.PdfReader(io.BytesIO(download(visitor, "Report as PDF")))
    (sheet,) = pdf.pages
    text = sheet.extract_text().replace("\n", " ")
    assert f"Mean probability of malignancy {probability:.0%}" in text
    assert RESEARCH_ONLY in text
    assert "broken.png: This is not an image that can be read" in text
    assert answers[0].model.sha256 in text.replace(" ", "")
    assert len(sheet.images) == 3
    assert set(uploads_of(service)) <= before


def test_a_drawn_patient_is_one_click_away(desktop, service):
    before = set(uploads_of(service))
    desktop.open("Patient")
    desktop.page.get_by_role("button", name="Try it with a drawn patient").click()
    desktop.page.locator("#patient-summary .verdict").wait_for()
    assert "of 6 images" in desktop.page.locator("#patient-summary").inner_text()
    assert desktop.page.locator("#patient-gallery img").count() > 0
    assert set(uploads_of(service)) <= before


def test_the_table_is_sorted_by_a_click_and_by_keyboard_and_searched(desktop, client, tmp_path):
    files = []
    for i, seed in enumerate((2, 4, 1)):
        files.append(tmp_path / f"field-{i}.png")
        files[-1].write_bytes(encode(draw(seed)))
    rising = sorted(files, key=lambda file: client.predict(file).probability)
    assert rising != files
    desktop.judge_patient(*files)
    desktop.page.locator("#patient-summary .verdict").wait_for()
    table = desktop.page.locator("#images .virtual-table-viewport")

    def shown_are(expected: list[Path]) -> bool:
        for _ in range(60):
            shown = re.findall(r"field-\d\.png", table.inner_text())
            if shown == [file.name for file in expected]:
                return True
            desktop.page.wait_for_timeout(250)
        return False

    assert shown_are(files)
    desktop.page.get_by_role("button", name="Fullscreen").focus()
    for key in ("Tab", "ArrowUp", "ArrowRight", "ArrowRight", "Enter"):
        desktop.page.keyboard.press(key)
        desktop.page.wait_for_timeout(200)  # a key that comes before the focus has moved is lost
    desktop.page.wait_for_function("document.activeElement.role === 'menuitem'")
    desktop.page.get_by_role("menuitem", name="Sort descending").focus()
    desktop.page.keyboard.press("Enter")
    assert shown_are(rising[::-1])
    desktop.page.get_by_label("Search the images").fill("field-1")
    assert shown_are([files[1]])
    desktop.page.get_by_label("Search the images").fill("")
    table.get_by_role("columnheader", name="Probability").click()
    table.get_by_label("Open cell menu").nth(2).click()
    desktop.page.get_by_role("menuitem", name="Sort ascending").click()
    assert shown_are(rising)


def test_two_hundred_images_in_a_zip_while_the_page_goes_on(
    desktop, service, patient_zip, field_file
):
    before = set(uploads_of(service))
    desktop.judge_patient(patient_zip)
    page = desktop.page
    page.locator("#patient-progress").get_by_text(re.compile(r"[1-9]\d* of 200 images")).wait_for()
    desktop.open("One image")
    desktop.upload(field_file)
    desktop.verdict()
    desktop.open("Patient")
    assert page.locator("#patient-summary .verdict").count() == 0  # it still goes on
    page.locator("#patient-summary .verdict").wait_for(timeout=120_000)
    assert "over 200 of 200 images" in page.locator("#patient-summary").inner_text()
    assert page.locator("#patient-gallery img").count() == 200
    rows = rows_of(download(desktop, "Table as CSV"))
    assert [row["file"] for row in rows] == [f"slide/{i:03}.jpg" for i in range(200)]
    assert len(pypdf.PdfReader(io.BytesIO(download(desktop, "Report as PDF"))).pages) == 1
    assert set(uploads_of(service)) <= before


def test_cancel_keeps_what_was_judged_and_stops_the_work(desktop, service, patient_zip):
    before = set(uploads_of(service))
    desktop.judge_patient(patient_zip)
    page = desktop.page
    page.locator("#patient-progress").get_by_text(re.compile(r"[1-9]\d* of 200 images")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    cancelled = page.locator("#patient-progress").get_by_text("Cancelled")
    cancelled.wait_for()
    page.locator("#patient-summary .verdict").wait_for()
    said = re.search(r"over (\d+) of (\d+) images", page.locator("#patient-summary").inner_text())
    judged = int(said[1])
    assert said[1] == said[2]
    assert 0 < judged < 200
    assert len(rows_of(download(desktop, "Table as CSV"))) == judged
    wait_until(lambda: set(uploads_of(service)) <= before)
    # The button is free for the next patient, whose run shows nothing of this one.
    desktop.judge_patient(patient_zip)
    page.locator("#patient-summary .verdict").wait_for(state="detached")
    page.get_by_role("button", name="Cancel").click()
    cancelled.wait_for()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_service_down_in_the_middle_and_back(desktop, service, patient_zip, field_file, screenshot):
    before = set(uploads_of(service))
    desktop.judge_patient(patient_zip)
    page, down = desktop.page, desktop.page.locator("#service-down")
    page.locator("#patient-progress").get_by_text(re.compile(r"[1-9]\d* of 200 images")).wait_for()
    torchserve = TorchServe(service)
    torchserve.stop()
    try:
        page.locator("#patient-progress").get_by_text("that were judged before").wait_for()
        down.wait_for()
        assert "does not answer at the moment" in down.inner_text()
        desktop.open("One image")
        desktop.upload(field_file)
        page.get_by_text("TorchServe is not running here").locator("visible=true").wait_for()
        screenshot(desktop, "down")
    finally:
        torchserve.start()
    down.wait_for(state="hidden")
    desktop.upload(field_file)
    desktop.verdict()
    desktop.open("Patient")
    assert page.locator("#images").get_by_text("slide/000.jpg").count()
    assert set(uploads_of(service)) <= before


def test_no_file_and_too_many(desktop, tmp_path):
    desktop.open("Patient")
    desktop.page.get_by_role("button", name="Judge the patient").click()
    desktop.page.locator("#patient-progress").get_by_text("Choose a file first").wait_for()
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for i in range(600):
            archive.writestr(f"{i}.png", b"")
    desktop.judge_patient(tmp_path / "many.zip")
    desktop.page.locator("#patient-progress").get_by_text("These are 600 images").wait_for()
