"""Uploads end with the request that uses them, whatever the visitor does."""

import asyncio
import re
from collections.abc import Iterator

import gradio as gr
from gradio import route_utils

from gradio_ui.example_fields import draw
from gradio_ui.retention import OwnFolders
from serve.drawn_slides import write_slide
from serve.drawn_tissue import encode
from tests.conftest import wait_until, worker_of
from tests.equal_fields import many
from tests.gradio_ui.conftest import uploads_of


def test_a_second_upload_is_judged_though_the_first_is_still_under_way(
    desktop, client, service, tmp_path
):
    before = set(uploads_of(service))
    files = [tmp_path / f"{seed}.png" for seed in (1, 2)]
    for seed, file in enumerate(files, 1):
        pixels = draw(seed)
        file.write_bytes(encode(pixels // 2 + 112 if seed == 2 else pixels))
    page, worker = desktop.page, worker_of(service)
    worker.suspend()
    try:
        desktop.upload(files[0])
        page.get_by_label("Clear").or_(page.get_by_label("Remove Image")).first.click()
        desktop.upload(files[1])
        wait_until(lambda: len(set(uploads_of(service)) - before) == 2)
    finally:
        worker.resume()
    page.get_by_alt_text("The field 2.png").last.wait_for()
    assert f"{client.predict(files[1]).probability:.0%}" in desktop.verdict().inner_text()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_a_closed_tab_leaves_no_upload(visit, service, field_file):
    before = set(uploads_of(service))
    visitor = visit()
    worker = worker_of(service)
    worker.suspend()
    try:
        visitor.upload(field_file)
        wait_until(lambda: set(uploads_of(service)) - before)
        visitor.page.wait_for_timeout(1000)  # the request has reached the page's server
        visitor.leave()
    finally:
        worker.resume()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_a_tab_that_is_closed_in_mid_run_leaves_no_upload(visit, service, patient_zip):
    before = set(uploads_of(service))
    visitor = visit()
    visitor.judge_patient(patient_zip)
    progress = visitor.page.locator("#patient-progress")
    progress.get_by_text(re.compile(r"[1-9]\d* of 200 images")).wait_for()
    visitor.leave()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_an_example_that_is_cancelled_leaves_the_chosen_files_to_be_judged(
    desktop, service, field_file
):
    before = set(uploads_of(service))
    page, worker = desktop.page, worker_of(service)
    desktop.open("Patient")
    page.locator("#patient-upload input[type=file]").set_input_files(field_file)
    page.locator("#patient-upload .filename").wait_for()
    worker.suspend()
    try:
        page.get_by_role("button", name="Try it with a drawn patient").click()
        page.locator("#patient-progress").get_by_text("0 of 6 images").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.locator("#patient-progress").get_by_text("Cancelled").wait_for()
    finally:
        worker.resume()
    page.get_by_role("button", name="Judge the patient", disabled=False).click()
    page.locator("#patient-summary").get_by_text("over 1 of 1 images").wait_for()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_a_run_that_is_cancelled_before_it_began_leaves_no_upload(visit, service, tmp_path):
    before = set(uploads_of(service))
    file = write_slide(tmp_path / "biopsy.tiff", (2800, 1840), many(2, 3))
    first, second = (visit() for _ in range(2))
    worker = worker_of(service)
    worker.suspend()
    try:
        for visitor in (first, second):
            visitor.open("Slide")
        first.page.get_by_role("button", name="Try it with a drawn slide").click()
        first.page.wait_for_timeout(1000)  # it is the slide that the second has to wait for
        second.page.locator("#slide-upload input[type=file]").set_input_files(file)
        second.page.locator("#slide-upload .filename").wait_for()
        second.page.get_by_role("button", name="Judge the slide").click()
        second.page.get_by_role("button", name="Cancel").click()
        second.page.locator("#slide-progress").get_by_text("Cancelled").wait_for()
        wait_until(lambda: set(uploads_of(service)) <= before)
    finally:
        worker.resume()
    first.page.get_by_text("Fields of the slide").wait_for()
    for visitor in (first, second):
        visitor.leave()


class Growing(set[str]):
    """Takes another file in as it is walked through for the first time."""

    grown = False

    def __iter__(self) -> Iterator[str]:
        for each in super().__iter__():
            yield each
            if not self.grown:
                self.grown = True
                self.add("another")


def test_files_are_deleted_by_age_also_after_one_came_in_meanwhile(tmp_path):
    left = tmp_path / "left.png"
    left.touch()
    page = gr.Blocks()
    OwnFolders(page.app)
    page.temp_file_sets = [Growing([str(left), str(tmp_path / "gone.png")])]

    async def run() -> None:
        task = asyncio.create_task(route_utils.delete_files_on_schedule(page.app, 0, -1))
        while left.exists() and not task.done():
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    assert not left.exists()
