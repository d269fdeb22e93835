"""Uploads end with the request that uses them, whatever the visitor does."""

import re

from serve.drawn_tissue import draw_field, encode
from tests.conftest import wait_until, worker_of
from tests.gradio_ui.conftest import Visitor, uploads_of


def test_a_second_upload_is_judged_though_the_first_is_still_under_way(
    desktop, client, service, tmp_path
):
    before = set(uploads_of(service))
    files = [tmp_path / f"{seed}.png" for seed in (1, 2)]
    for seed, file in enumerate(files, 1):
        pixels = draw_field(seed)
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
    page.get_by_alt_text("The field 2.png").wait_for()
    assert f"{client.predict(files[1]).probability:.0%}" in desktop.verdict().inner_text()
    wait_until(lambda: set(uploads_of(service)) <= before)


def test_a_closed_tab_leaves_no_upload(browser, page_url, service, field_file):
    before = set(uploads_of(service))
    visitor = Visitor(browser, page_url, "desktop")
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


def test_a_tab_that_is_closed_in_mid_run_leaves_no_upload(browser, page_url, service, patient_zip):
    before = set(uploads_of(service))
    visitor = Visitor(browser, page_url, "desktop")
    visitor.judge_patient(patient_zip)
    progress = visitor.page.locator("#progress")
    progress.get_by_text(re.compile(r"[1-9]\d* of 200 images")).wait_for()
    visitor.leave()
    wait_until(lambda: set(uploads_of(service)) <= before)
