"""The container's content, started as its manifests start it, where no container can be run.

What the Dockerfile copies lies in a folder of its own, beside an environment with the packages that
it installs, and the command has the environment variables of the image and of the Deployment.
"""

import base64
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests

from serve.client import Client
from serve.drawn_slides import write_slide
from serve.drawn_tissue import draw_field
from serve.management import Management
from serve.settings import Settings
from serve.torchserve import START_SECONDS
from tests.conftest import (
    PROJECT,
    ROOT,
    free_settings,
    link_environment,
    processes_of,
    wait_until,
)
from tests.deploy.conftest import (
    COMMAND,
    HEALTH,
    IMAGE_ENVIRONMENT,
    INSTRUCTIONS,
    LAST_STAGE,
    copied,
    manifests,
)

# Another address of this machine than the one that loopback settings listen at.
ELSEWHERE = "127.0.0.2"
(POD,) = (each["spec"]["template"]["spec"] for each in manifests() if each["kind"] == "Deployment")
(CONTAINER,) = POD["containers"]


def install(folder: Path) -> None:
    """Set up what `pip install -e .` does, of links to the packages that are installed here."""
    (extra,) = re.findall(r'^RUN pip install .* -e "\.\[(\w+)\]"$', INSTRUCTIONS, re.M)
    environment = folder / ".venv"
    packages = PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra]
    link_environment(environment, packages)
    (packages,) = environment.glob("lib/*/site-packages")
    (packages / "breakhis.pth").write_text(str(folder))
    ((name, entry),) = PROJECT["scripts"].items()
    module, function = entry.split(":")
    script = environment / "bin" / name
    script.write_text(
        f"#!{environment}/bin/python\nfrom {module} import {function}\n"
        f"if __name__ == '__main__':\n    {function}()\n"
    )
    script.chmod(0o755)


@pytest.fixture(scope="module")
def image(archive) -> Iterator[Path]:
    """A folder with what the last stage copies."""
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    for source, target in copied(LAST_STAGE):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, folder / target)
    stores = dict(copied(LAST_STAGE, from_build=True))
    store = stores[f"/breakhis/model_store/{archive.name}"]
    (folder / store).mkdir(exist_ok=True)
    shutil.copy(archive, folder / store)
    install(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def variables(image) -> Iterator[dict[str, str]]:
    with free_settings() as settings:
        yield {
            **IMAGE_ENVIRONMENT,
            **{each["name"]: each["value"] for each in CONTAINER["env"]},
            "PATH": f"{image / '.venv' / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin",
            # What can't be the container's own on a machine that has other programs.
            "BREAKHIS_RUN_DIR": str(settings.run_dir),
            "BREAKHIS_INFERENCE_PORT": str(settings.inference_port),
            "BREAKHIS_MANAGEMENT_PORT": str(settings.management_port),
            "BREAKHIS_METRICS_PORT": str(settings.metrics_port),
        }


@pytest.fixture(scope="module")
def settings(image, variables) -> Settings:
    return Settings(
        inference_port=int(variables["BREAKHIS_INFERENCE_PORT"]),
        management_port=int(variables["BREAKHIS_MANAGEMENT_PORT"]),
        metrics_port=int(variables["BREAKHIS_METRICS_PORT"]),
        model_store=image / "model_store",
        run_dir=Path(variables["BREAKHIS_RUN_DIR"]),
        open_to_network=True,
    )


def probe(kind: str, settings: Settings, image: Path, variables: dict[str, str]) -> bool:
    """Ask as the kubelet does."""
    asked = CONTAINER[f"{kind}Probe"]
    if "exec" in asked:
        command = asked["exec"]["command"]
        done = subprocess.run(command, cwd=image, env=variables, capture_output=True, check=False)
        return done.returncode == 0
    url = f"http://{ELSEWHERE}:{settings.inference_port}{asked['httpGet']['path']}"
    try:
        return requests.get(url, timeout=asked["timeoutSeconds"]).ok
    except requests.ConnectionError:
        return False


def start(image: Path, variables: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(COMMAND, cwd=image, env=variables, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def processes() -> Iterator[list[subprocess.Popen]]:
    """Every start of the container; the last may still run."""
    started: list[subprocess.Popen] = []
    yield started
    for process in started:
        process.terminate()
        process.wait(60)


@pytest.fixture
def process(image, variables, settings, processes) -> subprocess.Popen:
    """The container's first process, started again where a test has ended it."""
    if not processes or processes[-1].poll() is not None:
        processes.append(start(image, variables))
        assert not probe("readiness", settings, image, variables)
        started = partial(probe, "startup", settings, image, variables)
        wait_until(started, START_SECONDS, every=1)
    return processes[-1]


def files(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def predictions(process, settings) -> str:
    return f"http://{ELSEWHERE}:{settings.inference_port}/predictions/breakhis"


def test_the_image_s_packages_are_those_of_serving(image):
    installed = {path.name for path in image.glob(".venv/lib/*/site-packages/*")}
    assert {"torch", "openvino", "ts"} <= installed
    assert not {"gradio", "onnx", "reportlab", "skimage", "pytest"} & installed


def test_it_scores_images_and_slides(image, variables, field_png, tmp_path):
    before = files(image)
    (tmp_path / "field.png").write_bytes(field_png)
    slide = write_slide(tmp_path / "slide.tiff", (1400, 920), {(0, 0): draw_field(1)})
    for command, source in (("score", tmp_path / "field.png"), ("slide", slide)):
        out = tmp_path / command
        done = subprocess.run(
            ["breakhis", command, source, "--out", out],
            cwd=image,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert out.exists()
    assert files(image) == before


def test_all_probes_and_the_health_check_pass(process, settings, image, variables):
    for kind in ("startup", "readiness", "liveness"):
        assert probe(kind, settings, image, variables), kind
    assert subprocess.run(HEALTH, cwd=image, env=variables, check=False).returncode == 0


def test_it_answers_its_network_without_a_token(predictions, settings, field_png):
    answer = requests.post(predictions, data=field_png, timeout=60)
    assert answer.json()["verdict"] == "malignant"
    assert Client.from_settings(settings).predict(field_png).verdict == "malignant"
    metrics = requests.get(f"http://{ELSEWHERE}:{settings.metrics_port}/metrics", timeout=60)
    assert "breakhis_verdicts_total" in metrics.text


def test_nothing_but_predictions_and_metrics_is_open(process, settings):
    (front_end,) = (p for p in processes_of(settings) if "java" in p.name())
    listening = [c.laddr for c in front_end.net_connections("inet") if c.status == "LISTEN"]
    opened = {at.port for at in listening if "127.0.0.1" not in at.ip}
    assert opened == {settings.inference_port, settings.metrics_port}
    assert settings.management_port in {at.port for at in listening}
    assert not settings.key_file.exists()


def test_nobody_registers_a_model(process, settings):
    models = f"{settings.management_url}/models"
    answers = [
        requests.post(f"{models}?url=breakhis.mar&model_name=other", timeout=60),
        requests.delete(f"{models}/breakhis", timeout=60),
        requests.post(
            f"http://{ELSEWHERE}:{settings.inference_port}/models?url=breakhis.mar", timeout=60
        ),
    ]
    assert [answer.status_code for answer in answers] == [405, 405, 404]
    assert Management.from_settings(settings).is_ready()


def test_a_token_is_still_wanted_where_the_network_is_not_let_in(service, field_png):
    """The setting that opens it is off unless it is set."""
    assert not Settings().open_to_network
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{ELSEWHERE}:{service.inference_port}/ping", timeout=5)


@pytest.mark.last
def test_told_to_end_it_gives_the_last_answers_and_has_written_nothing_elsewhere(
    process, predictions, settings, image, field_png
):
    before = files(image)
    encoded = base64.b64encode(field_png).decode()
    answers: list[int | str] = []

    def send() -> None:
        body = {"instances": [{"b64": encoded}] * 4}
        try:
            answers.append(requests.post(predictions, json=body, timeout=120).status_code)
        except requests.ConnectionError as error:
            answers.append(str(error))

    clients = [threading.Thread(target=send) for _ in range(24)]
    for client in clients:
        client.start()
    management = Management.from_settings(settings)
    # One batch is with the worker, and others wait for it.
    wait_until(lambda: management.default().queued > 0)
    in_hand = len(clients) - len(answers)
    process.terminate()
    for client in clients:
        client.join()
    assert in_hand > 0
    assert answers == [200] * len(clients)
    assert process.wait(60) == 0
    assert process.stdout.read().endswith("Waiting for the last answers ...\nStopped.\n")
    assert processes_of(settings) == []
    assert files(image) == before


@pytest.mark.last
def test_told_to_end_while_it_starts_it_leaves_nothing(processes, settings, image, variables):
    if processes:
        processes[-1].terminate()
        assert processes[-1].wait(60) == 0
    again = start(image, variables)
    wait_until((settings.run_dir / "process.json").exists)
    again.send_signal(signal.SIGTERM)
    assert again.wait(60) == 0
    assert processes_of(settings) == []
