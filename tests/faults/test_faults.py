"""Faults caused on a running service under load: what clients see, and that it recovers."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from serve.client import Client
from serve.drawn_tissue import draw_field, encode
from serve.errors import ServeError
from serve.management import Management
from serve.ports import HOST
from serve.tokens import RENEW_BEFORE, Tokens, tokens_for
from serve.torchserve import TorchServe
from tests.clock import Clock
from tests.conftest import ROOT, rewrite_archive, running, wait_until, worker_of
from tests.faults.conftest import OK, WORKER_ENDED, Load, front_end

IMAGE = encode(draw_field(2), "JPEG")


def head(settings, length: int) -> bytes:
    """The head of a request whose body is to follow."""
    token = Tokens(settings.key_file, settings.management_url).get("inference")
    return (
        f"POST /predictions/breakhis HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


@pytest.fixture
def aging(store, tmp_path, monkeypatch):
    """A service with tokens of two minutes, the first of which is over, if its clock can be set."""
    clock = Clock(tmp_path)
    if clock.can_be_set:
        clock.set(-50)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    with running(model_store=store, token_minutes=2) as settings:
        yield settings


def test_worker_killed(endangered, record):
    before = worker_of(endangered)
    with Load(endangered) as load:
        cause = time.monotonic()
        before.kill()
        load.wait_for_success(cause)
    seen = record("worker killed", "SIGKILL", load, cause)
    assert set(seen) <= WORKER_ENDED
    assert {o.what for o in load.clients} == {OK}
    assert worker_of(endangered) != before


def test_request_that_torchserve_forgot_is_sent_again(archive, tmp_path):
    """It forgets what it gathers for a batch while the worker ends: here, for two seconds."""
    delay = re.compile(rb"maxBatchDelay: \d+")
    rewrite_archive(
        archive,
        tmp_path / archive.name,
        "model-config.yaml",
        lambda config: delay.sub(b"maxBatchDelay: 2000", config),
    )
    with running(model_store=tmp_path) as settings, ThreadPoolExecutor() as pool:

        def received() -> float:
            metrics = requests.get(f"{settings.metrics_url}/metrics", timeout=10).text
            counts = re.findall(r"^ts_inference_requests_total.* (\S+)$", metrics, re.MULTILINE)
            return sum(map(float, counts))

        client = Client(settings.inference_url, tokens_for(settings), timeout=15)
        answer = pool.submit(client.predict, IMAGE)
        wait_until(lambda: received() == 1)
        worker_of(settings).kill()
        assert answer.result().verdict
        assert received() == 2


def test_worker_stuck(endangered, record):
    with Load(endangered) as load:
        cause = time.monotonic()
        worker_of(endangered).suspend()
        load.wait_for_success(cause)
    seen = record("worker stuck", "SIGSTOP", load, cause)
    assert set(seen) <= WORKER_ENDED
    assert {o.what for o in load.clients} == {OK}


def test_front_end_killed(endangered, record):
    supervisor = TorchServe(endangered).process()
    with Load(endangered) as load:
        cause = time.monotonic()
        front_end(endangered).kill()
        load.wait_for_success(cause)
    seen = record("front end killed", "SIGKILL", load, cause)
    assert "connection closed" in seen
    assert set(seen) <= {OK, "connection closed", "connection refused", *starting(seen)}
    assert {o.what for o in load.clients} <= {OK, "ServiceDown", "ServiceBusy", *NOT_YET}
    assert TorchServe(endangered).process() == supervisor
    assert "starting it again" in (endangered.run_dir / "logs" / "console.log").read_text()


# What a front end that has just started says before it knows the model.
NOT_YET = {"RequestRefused", "TokenRefused", "NotRunning"}


def starting(seen) -> set[str]:
    return {what for what in seen if what.startswith(("404 Model not found", "503 ", "400 Token"))}


@pytest.mark.xdist_group("tokens")  # other tests run while this one waits
def test_token_expires_in_the_middle_of_a_run(aging, record):
    tokens = Tokens(aging.key_file, aging.management_url)
    tokens.get("inference")  # a new one if they took so long that it should have been renewed
    entry = json.loads(aging.key_file.read_text())["inference"]
    renewal = datetime.fromisoformat(entry["expiration time"]) - RENEW_BEFORE
    time.sleep(max(0, (renewal - datetime.now(UTC)).total_seconds() - 3))
    with Load(aging) as load:
        cause = time.monotonic()
        wait_until(lambda: tokens.get("inference") != entry["key"])
        load.wait_for_success(time.monotonic())
    seen = record("token expires in mid-run", "tokens of two minutes", load, cause)
    assert {o.what for o in load.clients} == {OK}
    # A request on its way while another program renews the token is refused.
    assert all(what == OK or "Token" in what for what in seen)


WITHOUT_MODEL = "runs without the model"


def test_archive_corrupted_before_a_reload(endangered, store, record):
    archive = store / "breakhis.mar"
    content = archive.read_bytes()
    console = endangered.run_dir / "logs" / "console.log"
    told = console.read_text().count(WITHOUT_MODEL)
    with Load(endangered) as load:
        archive.write_bytes(content[: len(content) // 2])
        cause = time.monotonic()
        front_end(endangered).kill()
        wait_until(lambda: console.read_text().count(WITHOUT_MODEL) >= told + 2, 60)
        assert not Management.from_settings(endangered).is_live() or not is_ready(endangered)
        archive.write_bytes(content)
        load.wait_for_success(time.monotonic())
    seen = record(
        "archive corrupted, front end killed", "cut to half; restored after two starts", load, cause
    )
    assert set(seen) <= {OK, "connection closed", "connection refused", *starting(seen)}


def is_ready(settings) -> bool:
    try:
        return Management.from_settings(settings).is_ready()
    except ServeError:
        return False


def test_clients_gone_in_mid_upload(endangered, record):
    with Load(endangered) as load:
        cause = time.monotonic()
        for _ in range(50):
            with socket.create_connection((HOST, endangered.inference_port)) as client:
                client.sendall(head(endangered, len(IMAGE)) + IMAGE[: len(IMAGE) // 2])
        load.wait_for_success(time.monotonic())
    seen = record("clients gone in mid-upload", "50 connections closed", load, cause)
    assert set(seen) == {OK}


def test_slow_clients(endangered, record):
    with Load(endangered) as load:
        cause = time.monotonic()
        slow = [socket.create_connection((HOST, endangered.inference_port)) for _ in range(50)]
        step = len(IMAGE) // 10 + 1
        for client in slow:
            client.sendall(head(endangered, len(IMAGE)))
        for start in range(0, len(IMAGE), step):
            for client in slow:
                client.sendall(IMAGE[start : start + step])
            time.sleep(0.5)
        answers = [client.recv(12) for client in slow]
        for client in slow:
            client.close()
    seen = record("slow clients", "50 bodies sent over 5 s", load, cause)
    assert set(answers) == {b"HTTP/1.1 200"}
    assert set(seen) == {OK}


def test_queue_full(endangered, record):
    with Load(endangered) as load:
        cause = time.monotonic()
        outcomes = load.burst(IMAGE, 300)
        load.wait_for_success(time.monotonic())
    record("queue full", "300 requests at once on top", load, cause)
    assert {outcome[:4] for outcome in outcomes} == {OK, "503 "}
    assert {o.what for o in load.clients} <= {OK, "ServiceBusy"}


def test_more_huge_bodies_than_memory(endangered, record):
    with Load(endangered) as load:
        cause = time.monotonic()
        outcomes = load.burst(IMAGE + bytes(60_000_000), 40)
        load.wait_for_success(time.monotonic())
    record("more huge bodies than memory", "40 bodies of 60 MB at once on top", load, cause)
    assert all(outcome.startswith(("413 ", "50", "connection ")) for outcome in outcomes)
    assert {o.what for o in load.clients} <= {OK, "ServiceDown", "ServiceBusy", *NOT_YET}


@pytest.fixture
def small_disk():
    """A file system of its own, small enough to be filled."""
    folder = tempfile.mkdtemp(prefix="breakhis-")
    mount = ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root and the right to mount")
    yield Path(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)
    shutil.rmtree(folder)


def test_disk_full(store, small_disk, record):
    big = {"part": encode(draw_field(1, 2000, 1500), "BMP")}  # TorchServe keeps it in a file
    with running(model_store=store, run_dir=small_disk / "run") as settings:
        url = f"{settings.inference_url}/predictions/breakhis"
        token = Tokens(settings.key_file, settings.management_url).get("inference")
        headers = {"Authorization": f"Bearer {token}"}
        with Load(settings) as load:
            cause = time.monotonic()
            with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while True:
                    filler.write(bytes(100_000))
            time.sleep(3)
            full = requests.post(url, files=big, headers=headers, timeout=60)
            (small_disk / "filler").unlink()
            freed = requests.post(url, files=big, headers=headers, timeout=60)
            load.wait_for_success(time.monotonic())
        seen = record("disk full", "the run folder's file system filled up", load, cause)
        assert set(seen) == {OK}
        assert (full.status_code, freed.status_code) == (200, 200)
        log = settings.run_dir / "logs" / "requests.log"
        # It is written to again.
        wait_until(lambda: freed.headers["x-request-id"] in log.read_text())
