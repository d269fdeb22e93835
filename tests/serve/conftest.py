"""A TorchServe whose versions tests may change, and load to change them under."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from serve.archive import MODEL_STORE, build
from serve.management import Management
from serve.settings import Settings
from serve.tokens import Tokens
from tests.conftest import ROOT, environment, rewrite_archive, running

CONNECTIONS = 8
SERVED = json.loads((MODEL_STORE / "manifest.json").read_text())["version"]


@pytest.fixture(scope="session")
def versions(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the served version as breakhis.mar, and 2.1 good and bad."""
    store = tmp_path_factory.mktemp("store")
    shutil.copy(archive, store)
    model = tmp_path_factory.mktemp("models") / "2.1"
    shutil.copytree(MODEL_STORE, model, ignore=shutil.ignore_patterns("*.mar*"))
    manifest = json.loads((model / "manifest.json").read_text())
    (model / "manifest.json").write_text(json.dumps({**manifest, "version": "2.1"}))
    good = store / "breakhis-2.1.mar"
    build(model, good)
    (store / "truncated.mar").write_bytes(good.read_bytes()[:1_000_000])
    rewrite_archive(good, store / "tampered.mar", "svm.pkl", lambda pickled: pickled[:-1] + b"!")
    answer = b"json.dumps(answer.to_json())"
    rewrite_archive(
        good, store / "wrong.mar", "breakhis_handler.py", lambda code: code.replace(answer, b"'{}'")
    )
    return store


@pytest.fixture(scope="session")
def torchserve_of_versions(versions: Path) -> Iterator[Settings]:
    """A running TorchServe of its own."""
    with running(model_store=versions) as settings:
        yield settings


@pytest.fixture
def changing(torchserve_of_versions: Settings) -> Settings:
    """The served version alone; a test may change that."""
    management = Management.from_settings(torchserve_of_versions)
    management.set_default(SERVED)
    for version in registered(torchserve_of_versions).keys() - {SERVED}:
        management.unregister(version)
    return torchserve_of_versions


@pytest.fixture
def both(torchserve_of_versions: Settings) -> Settings:
    """Version 2.1 beside the one that is served, which is the default."""
    management = Management.from_settings(torchserve_of_versions)
    if "2.1" not in registered(torchserve_of_versions):
        done = run(torchserve_of_versions, "models", "register", "breakhis-2.1.mar")
        assert done.returncode == 0, done.stderr
        assert "Version 2.1 is registered" in done.stdout
    management.set_default(SERVED)
    return torchserve_of_versions


def registered(settings: Settings) -> dict[str, bool]:
    """Every registered version, and whether it is the default."""
    versions = Management.from_settings(settings).versions()
    return {version.version: version.default for version in versions}


def run(settings: Settings, *arguments: object, **more: str) -> subprocess.CompletedProcess:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "breakhis", *map(str, arguments)],
        cwd=ROOT,
        env=environment(settings, COLUMNS="200", **more),
        capture_output=True,
        text=True,
        check=False,
    )


class Load:
    """What connections that send without a pause have got so far."""

    def __init__(self, version: str) -> None:
        # One tuple for each time in which a version is the default, None while that changes.
        self.phase: tuple[str] | None = (version,)
        self.answers: list[tuple[tuple | None, tuple | None, int, dict[str, str]]] = []

    @contextmanager
    def switching(self, version: str) -> Iterator[None]:
        self.phase = None
        yield
        self.phase = (version,)

    def check(self) -> None:
        """Require that no request failed and the default version answered each."""
        assert {status for _, _, status, _ in self.answers} == {200}
        for before, after, _, model in self.answers:
            if before is after is not None:
                assert before == (model["version"],)

    @property
    def models(self) -> dict[str, str]:
        """The version that each sha256 in an answer came with."""
        return {model["sha256"]: model["version"] for _, _, _, model in self.answers}


@contextmanager
def under_load(settings: Settings, image: bytes, version: str) -> Iterator[Load]:
    """Send images from several connections, and let each wait for its last answer at the end."""
    load, over = Load(version), threading.Event()
    tokens = Tokens(settings.key_file, settings.management_url)

    def send() -> None:
        with requests.Session() as session:  # tries nothing again
            while not over.is_set():
                before = load.phase
                response = session.post(
                    f"{settings.inference_url}/predictions/breakhis",
                    data=image,
                    headers={"Authorization": f"Bearer {tokens.get('inference')}"},
                    timeout=120,
                )
                model = response.json().get("model", {})
                load.answers.append((before, load.phase, response.status_code, model))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        connections = [pool.submit(send) for _ in range(CONNECTIONS)]
        try:
            yield load
        finally:
            over.set()
        for connection in connections:
            connection.result()
