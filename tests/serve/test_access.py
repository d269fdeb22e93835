"""What each port, key and file lets an attacker do: see SECURITY.md."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from serve.archive import build
from serve.errors import BadSetting
from serve.settings import Settings
from serve.tokens import Tokens
from serve.torchserve import TorchServe
from tests.conftest import ROOT, needs_curl, processes_of

EMPTY_MESSAGE = bytes(5)  # of gRPC


@pytest.fixture
def keys(service: Settings) -> dict[str, str]:
    tokens = Tokens(service.key_file, service.management_url)
    for kind in ("inference", "management"):
        tokens.get(kind)
    return {name: entry["key"] for name, entry in json.loads(service.key_file.read_text()).items()}


def bearer(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


@pytest.fixture
def register(service, keys) -> Iterator:
    """Register an archive as a model of its own; whatever comes of it is gone afterwards."""
    models = f"{service.management_url}/models"

    def post(url: str, name: str = "intruder", path: str = "models") -> requests.Response:
        return requests.post(
            f"{service.management_url}/{path}",
            params={
                **{"url": url, "model_name": name, "workflow_name": name},
                **{"initial_workers": 1, "synchronous": "true"},
            },
            headers=bearer(keys["management"]),
            timeout=120,
        )

    yield post
    requests.delete(f"{models}/intruder", headers=bearer(keys["management"]), timeout=60)
    listed = requests.get(models, headers=bearer(keys["management"]), timeout=60).json()["models"]
    assert [model["modelName"] for model in listed] == ["breakhis"]


@pytest.fixture
def outside(archive) -> Iterator[Path]:
    """A folder that is not the model store, with an archive."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(archive, Path(folder, "outside.mar"))
        yield Path(folder)


def test_each_port_takes_its_own_key_only(service, keys):
    asked = {
        "inference": [
            *(("GET", "/ping"), ("POST", "/predictions/breakhis")),
            *(("POST", "/explanations/breakhis"), ("GET", "/metrics"), ("GET", "/models")),
            *(("POST", "/wfpredict/x"), ("GET", "/v2/health/ready")),
        ],
        "management": [
            *(("GET", "/models"), ("GET", "/models/breakhis"), ("DELETE", "/models/breakhis")),
            *(("POST", "/models?url=breakhis.mar"), ("PUT", "/models/breakhis?min_worker=0")),
            *(("PUT", "/models/breakhis/1.0/set-default"), ("GET", "/workflows")),
            *(("POST", "/workflows?url=x.war"), ("GET", "/metrics")),
        ],
    }
    urls = {"inference": service.inference_url, "management": service.management_url}
    for kind, requests_ in asked.items():
        for method, path in requests_:
            for key in (None, "wrong", *(keys[other] for other in keys if other != kind)):
                answer = requests.request(method, urls[kind] + path, headers=bearer(key))
                assert answer.status_code == 400, (method, path)
                assert answer.json()["type"] == "InvalidKeyException"
    for key in (None, "wrong", keys["inference"], keys["management"]):
        renewal = f"{service.management_url}/token?type=management"
        assert requests.get(renewal, headers=bearer(key)).json()["type"] == "InvalidKeyException"
    query = f"{service.inference_url}/ping?token={keys['inference']}"
    assert requests.get(query).json()["type"] == "InvalidKeyException"


def test_without_a_key_ports_show_the_form_of_the_api_and_counters_only(service):
    for url in (service.inference_url, service.management_url):
        assert requests.get(f"{url}/api-description").json()["info"]["title"] == "TorchServe APIs"
    assert requests.get(f"{service.metrics_url}/metrics").ok
    for path in ("/models", "/ping", "/predictions/breakhis", "/token?type=management"):
        assert requests.get(service.metrics_url + path).status_code == 404


@needs_curl
def test_grpc_wants_the_same_keys(service, keys):
    (front_end,) = (p for p in processes_of(service) if "java" in p.name())
    known = {service.inference_port, service.management_port, service.metrics_port}
    listening = (c.laddr.port for c in front_end.net_connections("inet") if c.status == "LISTEN")
    ports = [port for port in listening if port not in known]
    assert len(ports) == 2
    answers = {}
    for port in ports:
        for call in (
            "management.ManagementAPIsService/ListModels",
            "inference.InferenceAPIsService/Ping",
            "openinference.GRPCInferenceService/ServerLive",
        ):
            for key, value in (("none", None), *keys.items()):
                answers[port, call, key] = _grpc(port, f"org.pytorch.serve.grpc.{call}", value)
    allowed = [(call, key) for (_, call, key), status in answers.items() if status == "0"]
    assert sorted(allowed) == [
        ("inference.InferenceAPIsService/Ping", "inference"),
        ("management.ManagementAPIsService/ListModels", "management"),
        ("openinference.GRPCInferenceService/ServerLive", "inference"),
    ]


def _grpc(port: int, method: str, key: str | None) -> str:
    """Send an empty message and return gRPC's status."""
    authorization = ("-H", f"Authorization: Bearer {key}") if key else ()
    done = subprocess.run(
        [
            *("curl", "-s", "-i", "--http2-prior-knowledge", "--data-binary", "@-"),
            *("-H", "Content-Type: application/grpc", "-H", "TE: trailers", *authorization),
            f"http://127.0.0.1:{port}/{method}",
        ],
        input=EMPTY_MESSAGE,
        capture_output=True,
        check=True,
    )
    return done.stdout.rpartition(b"grpc-status: ")[2].split()[0].decode()


@pytest.mark.parametrize("path", ["models", "workflows"])
def test_no_address_and_no_archive_outside_the_store_is_registered(
    service, register, outside, path
):
    store, file = service.model_store, outside / "outside.mar"
    up = "../" * len(store.parts)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        here = f"http://127.0.0.1:{listener.getsockname()[1]}/outside.mar"
        for url in [
            *(here, here.replace("127.0.0.1", "localhost"), here.replace("http", "HTTP")),
            *(f"{here}?file://{store}/breakhis.mar", "https://models.example/outside.mar"),
            *(here.replace("http", "ftp"), "s3://models.example/outside.mar"),
            *(
                str(file),
                f"file://{file}",
                f"file:{file}",
                f"{up}{file}",
                f"file://{store}/{up}{file}",
            ),
            f"file://{store}/{up.replace('.', '%2e')}{file}",
            f"file://{store}/{up.replace('/', '%2f')}{file}",
            *(f"file://{store}/breakhis.mar", "..", "%2e%2e/outside.mar"),
        ]:
            answer = register(url, path=path)
            assert answer.status_code == 404, (url, answer.text)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not (store / file.name).exists()


@pytest.fixture
def code(outside) -> Path:
    """A folder with code that leaves a file where it runs, in the form of an unpacked archive."""
    handler = f"open({str(outside / 'ran')!r}, 'x')\ndef handle(data, context): return ['']\n"
    (outside / "handler.py").write_text(handler)
    (outside / "MAR-INF").mkdir()
    model = {"modelName": "intruder", "modelVersion": "1.0", "handler": "handler.py"}
    manifest = {"runtime": "python", "archiverVersion": "0.12.0", "model": model}
    (outside / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    return outside


def test_a_management_key_runs_code_of_any_folder(register, code):
    """What SECURITY.md says of this key; TorchServe has no setting against it."""
    assert register(str(code)).ok
    assert (code / "ran").exists()


def test_names_of_models_lead_to_no_file(service, keys):
    for port, key in ((service.inference_url, "inference"), (service.management_url, "management")):
        for name in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "%2fetc%2fpasswd", "x%0aforged", "%00"):
            for folder in ("predictions", "explanations", "models"):
                request = requests.Request("GET", port, headers=bearer(keys[key])).prepare()
                request.url = f"{port}/{folder}/{name}"
                with requests.Session() as session:
                    answer = session.send(request, timeout=30)
                assert answer.status_code in (400, 404, 405), request.url
                assert "root:" not in answer.text


def test_names_of_parts_lead_to_no_file_and_large_parts_leave_none(service, authorization):
    predictions = f"{service.inference_url}/predictions/breakhis"
    scratch = service.run_dir / "torchserve-scratch"
    before = set(scratch.iterdir())
    for name in ("../../../evil", "/tmp/evil", "..", "image"):
        part = (f"../../{name}.png", bytes(8_000_000))  # from 6.5 MB on they are kept in a file
        answer = requests.post(predictions, files={name: part}, headers=authorization)
        assert answer.json()["predictions"][0]["type"] == "BadImageException"
    assert set(scratch.iterdir()) == before
    assert not list(Path(tempfile.gettempdir()).glob("evil*"))


@pytest.mark.parametrize("part", ["svm", "weights"])
def test_a_model_that_was_tampered_with_is_refused_before_it_is_unpickled(
    service, register, tmp_path, part
):
    ran = tmp_path / "ran"
    manifest = json.loads((ROOT / "model_store" / "manifest.json").read_text())
    model = tmp_path / "model"
    shutil.copytree(ROOT / "model_store", model)
    file = model / manifest["files"][part]["name"]
    if part == "svm":
        file.write_bytes(pickle.dumps(_Touches(ran)))
        pickle.loads(file.read_bytes())
        ran.unlink()  # so loading it would show
    else:
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    tampered = service.model_store / "tampered.mar"
    build(model, tampered)
    try:
        answer = register(tampered.name)
    finally:
        tampered.unlink()
    assert answer.status_code == 500
    assert not ran.exists()
    log = (service.run_dir / "logs" / "model.log").read_text()
    assert f"{file.name} is not the file that manifest.json names" in log


class _Touches:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self._path,)


def test_no_other_user_gets_at_keys_sockets_logs_or_uploads(service):
    assert service.run_dir.stat().st_mode & 0o777 == 0o700
    assert service.key_file.stat().st_mode & 0o777 == 0o600
    (socket_file,) = (service.run_dir / "torchserve-scratch").glob(".ts.sock.*")
    if os.getuid() == 0:
        for path in (service.key_file, socket_file, service.run_dir / "config.properties"):
            done = subprocess.run(
                ["ls", path],
                user=65534,
                group=65534,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            assert b"Permission denied" in done.stderr


def test_a_run_folder_that_others_can_open_is_refused(archive, fresh_settings):
    fresh_settings.run_dir.chmod(0o755)
    with pytest.raises(BadSetting, match="chmod 700"):
        TorchServe(fresh_settings).start()
    assert list(fresh_settings.run_dir.iterdir()) == []


def test_nothing_is_kept_outside_the_run_folder(service):
    temporary = Path(tempfile.gettempdir())
    for process in processes_of(service):
        paths = [Path(f.path) for f in (*process.open_files(), *process.memory_maps())]
        for path in paths:
            if path.is_relative_to(temporary) and not path.is_relative_to(service.run_dir):
                assert path.is_relative_to(sys.prefix) or path.is_relative_to(ROOT)


def test_web_pages_can_t_read_the_service_s_answers(service, keys):
    for url, key in (
        (f"{service.inference_url}/ping", keys["inference"]),
        (f"{service.management_url}/models", keys["management"]),
        (f"{service.metrics_url}/metrics", None),
    ):
        answer = requests.get(url, headers={**bearer(key), "Origin": "https://evil.example"})
        assert answer.ok
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_log_keeps_a_key_from_an_address_or_breaks_a_line_at_a_name(
    service, keys, register, code
):
    requests.get(f"{service.inference_url}/ping?token={keys['inference']}")
    models, manager = f"{service.management_url}/models", bearer(keys["management"])
    requests.get(f"{models}?token={keys['management']}", headers=manager)
    assert register(str(code), "a\nforged line").ok
    assert requests.delete(f"{models}/a%0Aforged%20line", headers=manager).ok
    for log in (service.run_dir / "logs").iterdir():
        text = log.read_text("utf-8", "replace")
        assert not [key for key in keys.values() if key in text], log.name
        assert not [line for line in text.splitlines() if line.startswith("forged line")], log.name
    assert "forged line" in (service.run_dir / "logs" / "torchserve.log").read_text()
