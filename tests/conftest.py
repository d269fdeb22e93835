"""Real services for the tests: TorchServe from the built archive, the page, a browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import requests
import torch
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gradio_ui.example_fields import FIELDS
from handler.prediction import Verdict
from serve.archive import build
from serve.client import Client
from serve.drawn_tissue import draw_field, encode
from serve.ports import free_port
from serve.settings import Settings
from serve.tokens import Tokens
from serve.torchserve import TorchServe

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# On CI a missing browser is a fault of the set-up, and no reason to skip.
ON_CI = bool(os.environ.get("CI"))

# What a test takes from these fixtures tells what it starts.
MARKS = {
    "service": {
        "service",
        "torchserve_of_versions",
        "endangered",
        "aging",
        "fresh_settings",
        "space",
        "image",
        "results",
        "store",
    },
    "browser": {"browser"},
    "ray": {"by_ray"},
    "slow": {"trained"},
}
# Tests that share a running service are one lane, which one process of pytest-xdist works
# through; all other tests keep to their modules.
LANES = {
    "endangered": "faults",
    "page_url": "page",
    "torchserve_of_versions": "versions",
    "service": "api",
}
# The longest come first. In the very first most of the time is waited.
FIRST = ["tokens", "faults", "page", "versions", "test_bench", "test_scoring", "test_train", "api"]
# Threads of one test would only be in the way of the tests beside it.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
# A shell ignores Ctrl-C for what it runs in the background, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# No test asserts how long something takes, and on a new machine Hypothesis needs seconds for its
# tables of Unicode before the first text.
hypothesis_settings.register_profile(
    "breakhis", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("breakhis")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", default="tests/screenshots", help="folder for pictures of the page"
    )
    parser.addoption("--faults", help="file for the table of the fault tests")
    parser.addoption("--chaos", type=float, default=0.5, help="minutes of everything at once")
    parser.addoption("--chaos-report", help="file for what came of it")
    parser.addoption("--fuzz-inputs", type=int, default=3000, help="damaged images in process")
    parser.addoption("--fuzz-requests", type=int, default=300, help="odd requests over HTTP")


# What `engine: auto` is on this machine.
FAST_ENGINE = "torch-fp16" if torch.cuda.is_available() else "openvino-int8"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def lane_of(item: pytest.Item) -> str:
    """Name the tests that an item must share a process with."""
    if stated := item.get_closest_marker("xdist_group"):
        return stated.args[0]
    own = (lane for fixture, lane in LANES.items() if fixture in item.fixturenames)
    return next(own, item.path.stem)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by what it starts, and put it into its lane."""
    for mark, fixtures in MARKS.items():
        if fixtures & set(item.fixturenames):
            item.add_marker(mark)
    item.add_marker(pytest.mark.xdist_group(lane_of(item)))


def rank(item: pytest.Item) -> tuple[int, bool, bool]:
    """Tell how early a test is run, whatever pytest-randomly says."""
    lane = lane_of(item)
    return (
        FIRST.index(lane) if lane in FIRST else len(FIRST),
        # What these start or stop would have to be put right for the others of their lane. Any
        # order is right, and this one the quickest.
        "both" in item.fixturenames,
        item.get_closest_marker("last") is not None,
    )


@pytest.hookimpl(trylast=True)  # after pytest-randomly has shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest lanes."""
    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what could not be checked here, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("not checked here")
    for reason, tests in reasons.most_common():
        terminalreporter.write_line(f"{tests} tests: {reason}")


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment from which a process reads these settings."""
    return {
        **os.environ,
        "BREAKHIS_INFERENCE_PORT": str(settings.inference_port),
        "BREAKHIS_MANAGEMENT_PORT": str(settings.management_port),
        "BREAKHIS_METRICS_PORT": str(settings.metrics_port),
        "BREAKHIS_MODEL_STORE": str(settings.model_store),
        "BREAKHIS_RUN_DIR": str(settings.run_dir),
        "BREAKHIS_DATA": "",  # no image of the data set may get into a screenshot
        **more,
    }


def processes_of(settings: Settings) -> list[psutil.Process]:
    """Every process that works in the run folder or was given a path in it."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(settings.run_dir) in " ".join([process.cwd(), *process.cmdline()]):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def worker_of(settings: Settings) -> psutil.Process:
    """The process that runs the model."""
    (worker,) = [p for p in processes_of(settings) if any("worker" in arg for arg in p.cmdline())]
    return worker


def wait_until(true: Callable[[], object], seconds: float = 120, every: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(every)


def rewrite_archive(
    source: Path, target: Path, entry: str, change: Callable[[bytes], bytes]
) -> None:
    """Copy an archive with one of its files changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == entry:
                assert change(content) != content
                content = change(content)
            new.writestr(name, content)


def needed(requirements: Iterable[str]) -> set[str]:
    """Names of the packages that are named, and of all that those need, as far as installed."""
    waiting = [Requirement(each) for each in requirements]
    found: dict[str, set[str]] = {}
    while waiting:
        requirement = waiting.pop()
        seen = found.setdefault(canonicalize_name(requirement.name), set())
        new = {"", *requirement.extras} - seen
        seen |= new
        with suppress(PackageNotFoundError):
            for text in (distribution(requirement.name).requires or []) if new else []:
                needs = Requirement(text)
                if needs.marker is None or any(needs.marker.evaluate({"extra": e}) for e in new):
                    waiting.append(needs)
    return set(found)


def link_environment(folder: Path, requirements: Iterable[str]) -> None:
    """Make a virtual environment of links to the packages that are named and all they need."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/*/site-packages")
    for name in needed(requirements):
        installed = distribution(name)
        for entry in {file.parts[0] for file in installed.files or [] if file.parts[0] != ".."}:
            if not (packages / entry).exists():
                (packages / entry).symlink_to(installed.locate_file(entry))


def pins(file: str) -> dict[str, str]:
    """The packages of a requirements file, each with its version."""
    lines = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE)
    return dict(lines)


def run_snippet(
    language: str, code: str, settings: Settings, folder: Path
) -> subprocess.CompletedProcess:
    """Run a snippet of README or docs as it stands, but for the ports."""
    for default, port in [
        ("127.0.0.1:8080", settings.inference_port),
        ("127.0.0.1:8081", settings.management_port),
        ("127.0.0.1:8082", settings.metrics_port),
    ]:
        code = code.replace(default, f"127.0.0.1:{port}")
    if language == "python":
        command = [sys.executable, "-c", code]
    else:
        if "curl " in code and shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        # -f makes curl fail on an HTTP error.
        code = "set -euo pipefail\n" + code.replace("curl ", "curl -sS -f ")
        command = ["bash", "-c", code]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(settings, PATH=path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def free_settings(**more: Any) -> Iterator[Settings]:
    """Settings with free ports and a run folder that is deleted afterwards."""
    # Not pytest's own folder: the path of a Unix socket in it would be too long.
    run_dir = Path(tempfile.mkdtemp(prefix="breakhis-"))
    try:
        yield Settings(free_port(), free_port(), free_port(), **{"run_dir": run_dir, **more})
    finally:
        shutil.rmtree(run_dir)


@contextmanager
def running(**more: Any) -> Iterator[Settings]:
    """A running TorchServe of its own."""
    with free_settings(**more) as settings:
        torchserve = TorchServe(settings)
        torchserve.start()
        try:
            yield settings
        finally:
            if torchserve.process() is not None:  # else a test has stopped it
                torchserve.stop()


@pytest.fixture
def fresh_settings() -> Iterator[Settings]:
    """Settings of a service that is not started: free ports, a run folder of its own."""
    with free_settings() as settings:
        yield settings


@pytest.fixture(scope="session")
def archive() -> Path:
    build()
    return ROOT / "model_store" / "breakhis.mar"


@pytest.fixture(scope="session")
def service(archive: Path) -> Iterator[Settings]:
    """A running TorchServe."""
    with running() as settings:
        yield settings


@pytest.fixture(scope="session")
def client(service: Settings) -> Client:
    return Client.from_settings(service)


@pytest.fixture
def authorization(service: Settings) -> dict[str, str]:
    tokens = Tokens(service.key_file, service.management_url)
    return {"Authorization": f"Bearer {tokens.get('inference')}"}


def field_that_is(verdict: Verdict) -> np.ndarray:
    """Draw the example that the committed model gives this verdict."""
    (field,) = (field for field in FIELDS.values() if field.verdict == verdict)
    return draw_field(field.seed, tissue=field.tissue)


@pytest.fixture(scope="session")
def field_png() -> bytes:
    return encode(field_that_is("malignant"))


# An upload of a page that was killed.
LEFT = "left.png"


@contextmanager
def page_over(service: Settings) -> Iterator[tuple[str, subprocess.Popen]]:
    """The page, started as the demo starts it, over a running TorchServe."""
    port = free_port()
    left = service.run_dir / "uploads" / str(port) / "folder" / LEFT
    left.parent.mkdir(parents=True)
    left.touch()
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment(service, GRADIO_SERVER_PORT=str(port)),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_page(url, process)
        yield url, process
    finally:
        process.send_signal(signal.SIGINT)
        ended = process.wait(30)
    assert ended == 0


@pytest.fixture(scope="session")
def page_url(service: Settings) -> Iterator[str]:
    with page_over(service) as (url, _):
        yield url


def wait_for_page(url: str, process: subprocess.Popen, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the demo ended while starting"
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within {seconds} seconds")


def log_lines(service: Settings, ids: set[str]) -> dict[str, dict]:
    """The lines of these requests; they are written a moment after the answers."""
    log = service.run_dir / "logs" / "requests.log"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = {line["request_id"]: line for line in map(json.loads, log.read_text().splitlines())}
        if ids <= lines.keys():
            return {id: lines[id] for id in ids}
        time.sleep(0.1)
    raise AssertionError(f"not logged: {ids - lines.keys()}")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; skipped, with the reason, only where none can be had."""
    from playwright.sync_api import Error, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    system = next(filter(None, map(shutil.which, names)), None)
    if system is None:
        download = subprocess.run(
            [sys.executable, "-m", "playwright", "install", "chromium"],
            capture_output=True,
            text=True,
            check=False,
        )
        if download.returncode != 0:
            reason = "no Chromium is installed, and Playwright could not download one"
            (pytest.fail if ON_CI else pytest.skip)(reason)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=system,
                args=[
                    *("--no-sandbox", "--disable-background-networking"),
                    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
                ],
            )
        except Error as error:
            (pytest.fail if ON_CI else pytest.skip)(f"no browser starts: {error}")
        yield browser
        browser.close()
