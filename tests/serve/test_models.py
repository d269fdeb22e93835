"""`breakhis models`, and its counterparts in TorchServe's own API."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from serve.archive import Archive
from serve.client import Client
from serve.management import Management
from serve.settings import Settings
from tests.conftest import ROOT, run_snippet
from tests.serve.conftest import SERVED, registered, run, under_load

SWITCHING_SECONDS = 8

PAGE = (ROOT / "docs" / "versions.md").read_text("utf-8")
WITH_BREAKHIS, WITH_CURL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("steps", [WITH_BREAKHIS, WITH_CURL], ids=["breakhis", "curl"])
def test_the_steps_on_the_page_about_versions(steps, changing, field_png, tmp_path):
    (tmp_path / "field.png").write_bytes(field_png)
    steps = re.sub(r"/(?!2\.1/)\d+\.\d+/set-default", rf"/{SERVED}/set-default", steps)
    done = run_snippet("sh", steps, changing, tmp_path)
    assert done.returncode == 0, done.stderr
    assert registered(changing) == {SERVED: True}


def test_a_registered_version_answers_only_by_its_number(both, field_png):
    assert Client.from_settings(both).predict(field_png).model.version == SERVED
    assert Client.from_settings(both, "2.1").predict(field_png).model.version == "2.1"
    table = run(both, "models", "list").stdout
    assert "breakhis-2.1.mar" in table
    versions = json.loads(run(both, "models", "list", "--json").stdout)
    assert [(v["version"], v["default"]) for v in versions] == [(SERVED, True), ("2.1", False)]
    description = json.loads(run(both, "models", "describe", "2.1", "--json").stdout)
    assert description["customizedMetadata"]["model"]["version"] == "2.1"


def test_versions_switch_under_load_without_a_failed_request(both, field_png):
    management = Management.from_settings(both)
    switches, end = 0, time.monotonic() + SWITCHING_SECONDS
    with under_load(both, field_png, SERVED) as load:
        while time.monotonic() < end or switches % 2:
            to = SERVED if switches % 2 else "2.1"
            with load.switching(to):
                management.set_default(to)
            switches += 1
            time.sleep(0.3)
    load.check()
    archives = [Archive.open(both.model_store, f) for f in ("breakhis.mar", "breakhis-2.1.mar")]
    assert load.models == {archive.manifest_sha256: archive.version for archive in archives}
    print(f"{len(load.answers)} requests, {switches} switches")


def test_what_would_break_the_service_is_refused_and_the_way_out_is_told(both):
    for command, told in [
        ("describe 9", f"Version 9 is not registered, but {SERVED}, 2.1. Register it with"),
        ("test 9", "not registered"),
        ("default 9", "not registered"),
        ("scale 9 1", "not registered"),
        ("unregister 9", "not registered"),
        (f"unregister {SERVED}", "Make another version the default first"),
        ("register breakhis-2.1.mar", "registered already"),
        ("register absent.mar", "build it with"),
        ("register ../breakhis-2.1.mar", "not in the model store"),
        (f"register {ROOT / 'README.md'}", "not in the model store"),
        ("register truncated.mar", "is damaged"),
    ]:
        done = run(both, "models", *command.split())
        assert done.returncode == 1, command
        assert told in done.stderr, command
        assert "Traceback" not in done.stderr
    assert registered(both) == {SERVED: True, "2.1": False}


@contextmanager
def waiting_requests(settings: Settings, image: bytes) -> Iterator[None]:
    """More than two batches are on their way to version 2.1; at the end it has answered all."""
    client = Client.from_settings(settings, "2.1")
    with ThreadPoolExecutor(60) as pool:
        pending = [pool.submit(client.predict, image, heatmap=True) for _ in range(60)]
        while not Management.from_settings(settings).version("2.1").queued:
            time.sleep(0.01)
        yield
        assert {answer.result().model.version for answer in pending} == {"2.1"}


def test_fewer_workers_only_when_they_have_answered_all(both, field_png):
    management = Management.from_settings(both)
    assert run(both, "models", "scale", "2.1", 2).returncode == 0
    management.set_default("2.1")
    done = run(both, "models", "scale", "2.1", "1")
    assert done.returncode == 1
    assert "Make another version the default first" in done.stderr
    management.set_default(SERVED)
    with waiting_requests(both, field_png):
        done = run(both, "models", "scale", "2.1", "1")
        assert done.returncode == 0, done.stderr
    assert len(management.version("2.1").workers) == 1


def test_a_version_is_unregistered_only_when_it_has_answered_all(both, field_png):
    with waiting_requests(both, field_png):
        done = run(both, "models", "unregister", "2.1")
        assert done.returncode == 0, done.stderr
    assert registered(both) == {SERVED: True}


def test_without_a_version_before_there_is_no_way_back(fresh_settings):
    done = run(fresh_settings, "models", "rollback")
    assert done.returncode == 1
    assert "deploy ARCHIVE" in done.stderr
