"""The demo as a Hugging Face Space has it: the committed files, its requirements, app.py."""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from gradio_client import Client, handle_file

from tests.conftest import (
    ROOT,
    environment,
    free_port,
    link_environment,
    pins,
    processes_of,
    wait_for_page,
)


@pytest.fixture
def space():
    """A folder with the committed files, and an environment with its requirements alone."""
    folder = Path(tempfile.mkdtemp(prefix="space-"))
    files = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    link_environment(folder / ".venv", pins("requirements.txt"))
    yield folder, folder / ".venv" / "bin" / "python"
    shutil.rmtree(folder)


def test_it_runs_with_nothing_but_its_requirements(space, fresh_settings, field_png, tmp_path):
    folder, python = space
    for tool in ("pytest", "playwright", "flask"):
        command = [python, "-c", f"import {tool}"]
        assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    port = free_port()
    process = subprocess.Popen(
        [python, "app.py"],
        cwd=folder,
        # A Space listens to the world.
        env=environment(fresh_settings, GRADIO_SERVER_NAME="0.0.0.0", GRADIO_SERVER_PORT=str(port)),
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_page(url, process)
        image = tmp_path / "field.png"
        image.write_bytes(field_png)
        page = Client(url, verbose=False)
        assert page.predict(handle_file(image), api_name="/classify")["verdict"] == "malignant"
        assert page.predict([handle_file(image)], api_name="/patient")["patient"]["images"] == 1
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert processes_of(fresh_settings) == []


def test_the_readme_makes_the_repository_a_space():
    front_matter = re.match(r"---\n(.*?)\n---\n", (ROOT / "README.md").read_text(), re.DOTALL)
    described = yaml.safe_load(front_matter.group(1))
    assert described["sdk"] == "gradio"
    assert str(described["python_version"]) == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert Path(ROOT, described["app_file"]).is_file()
    assert described["sdk_version"] == pins("requirements.txt")["gradio"]
