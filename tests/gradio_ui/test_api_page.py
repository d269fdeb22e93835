"""Gradio's own page for programs, and its snippets as a programmer would paste them."""

import ast
import subprocess
import sys

import pytest
import requests

DESCRIPTIONS = {
    "/classify": "Judge one image file",
    "/patient": "Judge a patient by image files",
    "/classify_field": "Judge one photograph",
    "/judge_patient": "Judge several 40x photographs",
    "/describe_model": "Describe the model that runs",
}
OF_FILES = ("/classify", "/patient")


@pytest.fixture(scope="module")
def snippets(page_url) -> dict[str, str]:
    """The Python code of each endpoint, as the page gets it from the server."""
    endpoints = requests.get(f"{page_url}/gradio_api/info", timeout=30).json()["named_endpoints"]
    return {name: each["code_snippets"]["python"] for name, each in endpoints.items()}


def test_it_lists_the_endpoints_and_asks_no_other_host(desktop, screenshot):
    desktop.page.get_by_role("button", name="Use via API or MCP").click()
    panel = desktop.page.locator(".api-docs")
    panel.get_by_text("Install the Python client").wait_for()  # not what is for assistants
    for name, description in DESCRIPTIONS.items():
        panel.get_by_text(name, exact=True).locator("visible=true").first.wait_for()
        panel.get_by_text(description).locator("visible=true").first.wait_for()
    assert "handle_file('field.png')" in panel.inner_text()
    screenshot(desktop, "api")
    panel.get_by_text("MCP", exact=True).first.click()
    panel.get_by_text("3 Available MCP Tools").wait_for()
    assert "5 MCP Tools" not in panel.inner_text()


def test_the_snippets_work_when_pasted(snippets, page_url, client, field_file):
    assert snippets.keys() == DESCRIPTIONS.keys()
    expected = client.predict(field_file)
    answers = {}
    for name in OF_FILES:
        snippet = snippets[name]
        assert page_url in snippet
        done = subprocess.run(
            [sys.executable, "-c", snippet],
            cwd=field_file.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        answers[name] = ast.literal_eval(done.stdout.splitlines()[-1])
    assert answers["/classify"]["verdict"] == expected.verdict
    assert answers["/classify"]["heatmap"]
    assert answers["/patient"]["patient"]["images"] == 1
    (image,) = answers["/patient"]["images"]
    assert (image["file"], image["verdict"]) == ("field.png", expected.verdict)
