"""Visitors: a headless Chromium on the page, over a running TorchServe."""

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page

from gradio_ui.example_fields import draw
from serve.drawn_tissue import encode
from serve.settings import Settings
from tests.conftest import ROOT

# Gradio's API page asks for this, which is off; browsers count the refusal as an error.
NOT_OFFERED = ("/monitoring/summary",)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


class Visitor:
    """A person who looks at the page."""

    def __init__(self, context: BrowserContext, url: str, width: str) -> None:
        self.url, self.width = url, width
        self.page: Page = context.new_page()
        self._hosts: set[str] = set()
        self._errors: list[str] = []
        self.page.on("request", lambda sent: self._hosts.add(_host(sent.url)))
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self._errors.append(str(error)))
        self.page.goto(url)
        self.page.get_by_text("No image yet").wait_for()

    def _note(self, said) -> None:
        if said.type == "error" and not said.location["url"].endswith(NOT_OFFERED):
            self._errors.append(said.text)

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab, exact=True).click()

    def upload(self, file: Path) -> None:
        self.page.locator("#field input[type=file]").set_input_files(file)

    def verdict(self) -> Locator:
        """Wait for an answer and return its box."""
        box = self.page.locator("#answer .verdict:not(.waiting):not(.down)")
        box.wait_for()
        return box

    def judge_patient(self, *files: Path) -> None:
        """Upload a patient's files and press the button."""
        self.open("Patient")
        self.page.locator("#patient-upload input[type=file]").set_input_files(files)
        self.page.locator("#patient-upload .filename").nth(len(files) - 1).wait_for()
        self.page.get_by_role("button", name="Judge the patient").click()

    def leave(self) -> None:
        """Close the tab; whatever happened, it asked nobody else and reported no error."""
        assert {h for h in self._hosts if not h.startswith(("blob:", "data:"))} == {self.url}
        assert self._errors == []
        self.page.close()


def _host(url: str) -> str:
    return re.sub(r"^(\w+://[^/]*).*", r"\1", url)


@pytest.fixture(scope="session")
def visit(browser, page_url):
    """Open the page; a browser keeps its scripts for all who visit with the same width."""
    contexts = {}
    for width, size in WIDTHS.items():
        viewport = dict(zip(("width", "height"), size, strict=True))
        contexts[width] = browser.new_context(viewport=viewport, accept_downloads=True)
        contexts[width].grant_permissions(
            ["clipboard-read", "clipboard-write", "camera"], origin=page_url
        )
    yield lambda width="desktop": Visitor(contexts[width], page_url, width)
    for context in contexts.values():
        context.close()


@pytest.fixture(params=WIDTHS)
def visitor(request, visit):
    visitor = visit(request.param)
    yield visitor
    visitor.leave()


@pytest.fixture
def desktop(visit):
    visitor = visit()
    yield visitor
    visitor.leave()


@pytest.fixture
def field_file(tmp_path: Path, field_png: bytes) -> Path:
    file = tmp_path / "field.png"
    file.write_bytes(field_png)
    return file


@pytest.fixture
def broken_file(tmp_path: Path) -> Path:
    file = tmp_path / "broken.png"
    file.write_text("This is no image.\n" * 20)
    return file


@pytest.fixture(scope="session")
def patient_zip(tmp_path_factory) -> Path:
    """200 images of one patient."""
    drawn = [encode(draw(seed), "JPEG", quality=90) for seed in range(4)]
    file = tmp_path_factory.mktemp("patient") / "patient.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(200):
            archive.writestr(f"slide/{i:03}.jpg", drawn[i % 4])
    return file


@pytest.fixture
def screenshot_folder(request) -> Path:
    """Where pictures of the page go: those that the README shows, where asked for."""
    return ROOT / request.config.getoption("--screenshots")


@pytest.fixture
def screenshot(screenshot_folder):
    """Keep a picture of what a visitor sees."""

    def keep(visitor: Visitor, name: str) -> None:
        screenshot_folder.mkdir(parents=True, exist_ok=True)
        path = screenshot_folder / f"{name}-{visitor.width}.png"
        visitor.page.screenshot(path=path, full_page=True)

    return keep


def uploads_of(service: Settings) -> list[Path]:
    """Every file that a visitor has sent and that is still there."""
    return [path for path in (service.run_dir / "uploads").rglob("*") if path.is_file()]
