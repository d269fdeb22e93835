"""The pages for people: snippets run as they stand but for the ports, and links lead somewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.benchmarking.bench_report import readme_row
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field, encode
from serve.settings import Settings
from tests.conftest import ROOT, run_snippet

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"))]
MAX_README_LINES = 150

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The blocks in sh are run by tests/serve/test_models.py, because they change what is served.
RUN, NOT_RUN = {"bash", "python"}, {"sh", "json", "text", "mermaid"}
NAMED_FILE = re.compile(
    r"`((?:handler|serve|bulk|gradio_ui|scripts|model_store|deploy|docs|tests)/[\w./-]*)`"
)
TOKEN = "TOKEN=$(breakhis token)"
PAGE = "http://127.0.0.1:7860"
WITHOUT_SERVICE = "docs/bulk.md"


class Snippet(NamedTuple):
    """A block of code on a page."""

    page: str
    language: str
    code: str


SNIPPETS = [
    Snippet(str(page.relative_to(ROOT)), *block)
    for page in PAGES
    for block in FENCE.findall(page.read_text("utf-8"))
]


def each(*, page: bool = False, bulk: bool = False) -> pytest.MarkDecorator:
    """The snippets that need the page, no service at all, or else the service."""
    chosen = [
        snippet
        for snippet in SNIPPETS
        if snippet.language in RUN
        and (PAGE in snippet.code) == page
        and (snippet.page == WITHOUT_SERVICE) == bulk
    ]
    ids = [f"{s.page}: {s.code.splitlines()[0][:50]}" for s in chosen]
    return pytest.mark.parametrize("snippet", chosen, ids=ids)


@pytest.fixture
def folder(field_png, tmp_path) -> Path:
    """What the snippets take for granted in the folder that they are run in."""
    (tmp_path / "field.png").write_bytes(field_png)
    (tmp_path / "archive").mkdir()
    for seed in (2, 3):
        (tmp_path / "archive" / f"{seed}.png").write_bytes(encode(draw_field(seed)))
    fields = {(700, 460): draw_field(4), (1400, 460): draw_field(5)}
    write_slide(tmp_path / "slide.tiff", (4 * 700, 3 * 460), fields)
    (tmp_path / "model_store").symlink_to(ROOT / "model_store")
    return tmp_path


def check(snippet: Snippet, settings: Settings, folder: Path, page_url: str = PAGE) -> None:
    code = snippet.code.replace(PAGE, page_url)
    if "$TOKEN" in code and TOKEN not in code:  # a page says once how to get it
        code = f"{TOKEN}\n{code}"
    done = run_snippet(snippet.language, code, settings, folder)
    assert done.returncode == 0, done.stderr


@each()
def test_a_snippet_for_the_service(snippet, service, folder):
    check(snippet, service, folder)
    if "heatmap.png" in snippet.code:
        assert (folder / "heatmap.png").read_bytes().startswith(b"\x89PNG")


@each(page=True)
def test_a_snippet_for_the_page(snippet, service, page_url, folder):
    check(snippet, service, folder, page_url)


@pytest.mark.slow
@each(bulk=True)
def test_a_snippet_without_a_service(snippet, folder):
    check(snippet, Settings(), folder)
    for written in re.findall(r"--out (\S+)", snippet.code):
        assert (folder / written).exists()


def test_every_block_of_code_is_run_or_is_none():
    assert {snippet.language for snippet in SNIPPETS} <= RUN | NOT_RUN
    assert {snippet.page for snippet in SNIPPETS if snippet.language == "sh"} == {
        "docs/versions.md"
    }
    for page in PAGES:
        fences = re.findall("^ *```", page.read_text("utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(FENCE.findall(page.read_text("utf-8"))), page


def test_the_readme_is_read_in_five_minutes():
    assert len(README.read_text("utf-8").splitlines()) <= MAX_README_LINES


def anchors(page: Path) -> set[str]:
    """What a link may name after the #, as a heading gives it."""
    text = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    text = FENCE.sub("", page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", target):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), link
        assert there.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(there), link


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page):
    for name in NAMED_FILE.findall(page.read_text("utf-8")):
        assert name.endswith(".mar") or (ROOT / name).exists(), name  # archives are built


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.citation-file-format", "CITATION.cff"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
    ],
)
def test_other_programs_can_read_it(schema, file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, ROOT / file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_figures_of_the_readme_are_the_measured_ones():
    """What evaluation.json and the reports say, which are written by the commands named there."""
    measured = json.loads((ROOT / "model_store" / "evaluation.json").read_text("utf-8"))
    rows = {
        row.split(" | ")[0]: row.split(" | ")[1]
        for row in re.findall(r"^\| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)
    }
    at_40x = measured["magnifications"]["40X"]
    for unit in ("image", "patient"):
        of = at_40x[unit]
        row = f"40X, by {unit} ({of['benign']} benign, {of['malignant']} malignant)"
        auc, balanced = (
            "{:.2f} [{:.2f}, {:.2f}]".format(of[figure]["value"], *of[figure]["interval"])
            for figure in ("auc", "balanced_accuracy")
        )
        assert rows[row] == f"AUC {auc}, balanced accuracy {balanced}"
    abstained, wrong = (at_40x["image"][n]["value"] for n in ("abstained", "wrong_verdicts"))
    assert rows["40X images, no verdict and a wrong one"] == (
        f"{100 * abstained:.0f} % and {100 * wrong:.0f} %"
    )
    real = measured["rejection"]["real"]
    assert rows["real 40X images rejected"] == (
        f"{real['images_rejected']['count']} of {real['images']}"
    )
    stopped = measured["magnification_check"]["magnifications"]
    shares = [f"{100 * stopped[m]['stopped']['value']:.0f} %" for m in ("100X", "200X", "400X")]
    assert rows["fields of 100X, 200X and 400X that are stopped"] == (
        f"{shares[0]}, {shares[1]} and {shares[2]}"
    )
    reports = ROOT / "docs" / "reports"
    machines = sorted((reports / "bench").glob("*.json"))
    shown = re.findall(r"^\| service on .*$", README.read_text("utf-8"), re.MULTILINE)
    assert machines
    assert sorted(shown) == sorted(readme_row(json.loads(m.read_text("utf-8"))) for m in machines)
    cost = json.loads((reports / "cost.json").read_text("utf-8"))
    (run,) = (
        run
        for run in cost["runs"]
        if (run["engine"], run["images"], run["workers"]) == ("local", 10_000, 2)
    )
    (scored,) = (measured for what, measured in rows.items() if "`breakhis score`" in what)
    assert scored == f"{run['images'] / run['seconds']:.1f} images a second"
