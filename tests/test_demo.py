"""The demo as `make demo` and a Space run it: one command, from nothing to an answer."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.conftest import ROOT, environment, free_port, processes_of, wait_for_page


def test_start_answer_and_stop_by_ctrl_c(fresh_settings, field_png, tmp_path):
    file = tmp_path / "field.png"
    file.write_bytes(field_png)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment(fresh_settings, GRADIO_SERVER_PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    wait_for_page(url, process)
    page = Client(url, verbose=False)
    answer = page.predict(handle_file(file), api_name="/classify")
    assert answer["verdict"] in ("benign", "malignant", "uncertain")
    secret = tmp_path / "name-of-a-patient.png"
    secret.write_text("content of an upload")
    with pytest.raises(AppError):
        page.predict(handle_file(secret), api_name="/classify")
    page.predict([handle_file(secret)], api_name="/patient")
    keys = [entry["key"] for entry in json.loads(fresh_settings.key_file.read_text()).values()]
    assert len(processes_of(fresh_settings)) >= 2

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    logs = [output, *(p.read_text() for p in (fresh_settings.run_dir / "logs").iterdir())]
    for private in ("name-of-a-patient", "content of an upload", *keys):
        assert not any(private in log for log in logs)
    for address in (url, fresh_settings.inference_url, fresh_settings.management_url):
        assert address in output
        with pytest.raises(requests.ConnectionError):
            requests.get(address, timeout=5)
    assert processes_of(fresh_settings) == []
    uploads = fresh_settings.run_dir / "uploads"
    assert not [path for path in uploads.rglob("*") if path.is_file()]


def test_ctrl_c_while_starting_leaves_nothing(fresh_settings):
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment(fresh_settings, GRADIO_SERVER_PORT=str(free_port())),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not processes_of(fresh_settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in output
    assert processes_of(fresh_settings) == []


def test_a_taken_page_port_is_named_before_anything_starts(fresh_settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environment(fresh_settings, GRADIO_SERVER_PORT=str(port)),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"Port {port} (web page)" in done.stderr
    assert "GRADIO_SERVER_PORT" in done.stderr
    assert processes_of(fresh_settings) == []
