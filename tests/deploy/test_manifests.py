"""What Kubernetes, KServe, compose and Docker are given: by schema, and beside the code it starts.

`kserve-0.21.0.json` says by itself where it comes from.
"""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from serve.deploy import DRAIN_SECONDS
from serve.settings import MODEL_STORE, Settings
from serve.supervisor import STOP_SECONDS
from serve.torchserve import START_SECONDS
from tests.conftest import ROOT
from tests.deploy.conftest import (
    DOCKERFILE,
    IMAGE_ENVIRONMENT,
    INSTRUCTIONS,
    copied,
    manifests,
)

KUBERNETES = "1.37.0"
VERSION = json.loads((MODEL_STORE / "manifest.json").read_text())["version"]

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
MANIFESTS = {f"{each['kind']} {each['metadata']['name']}": each for each in manifests()}
DEPLOYMENT = MANIFESTS["Deployment breakhis"]
POD = DEPLOYMENT["spec"]["template"]
RUNTIME = MANIFESTS["ServingRuntime breakhis-torchserve"]
PREDICTOR = MANIFESTS["InferenceService breakhis"]["spec"]["predictor"]
STORE = MANIFESTS["Pod breakhis-store"]

# Each with the pod that it is in.
SERVING = {"kubernetes": POD["spec"], "kserve": RUNTIME["spec"]}
PODS = {**SERVING, "store": STORE["spec"]}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return only


def validate(manifest: dict[str, Any]) -> None:
    """Raise what the schema says against it."""
    if "kserve" not in manifest["apiVersion"]:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        return
    kserve().validate(manifest)


@cache
def kserve() -> jsonschema.Draft202012Validator:
    schema = json.loads(Path(__file__).with_name("kserve-0.21.0.json").read_text())
    folder = f"kubernetes-json-schema/v{KUBERNETES}-local-strict"
    core = json.loads((files(kubernetes_validate) / folder / "_definitions.json").read_text())
    registry = Registry().with_resource("_definitions.json", DRAFT202012.create_resource(core))
    return jsonschema.Draft202012Validator(schema, registry=registry)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_meets_its_kind_s_schema(name):
    validate(MANIFESTS[name])


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_schemas_refuse_what_is_misspelt_at_any_depth(name):
    """Or the test above could not fail."""
    places = list(mappings(MANIFESTS[name]["spec"], ()))
    assert places
    for place in places:
        broken = copy.deepcopy(MANIFESTS[name])
        found = broken["spec"]
        for step in place:
            found = found[step]
        found["misspelt"] = 1
        with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
            validate(broken)


def mappings(value: Any, path: tuple) -> Iterator[tuple]:
    """Every place of a mapping whose keys the schema knows."""
    if path and path[-1] in ("requests", "limits"):  # any resource
        return
    if isinstance(value, dict):
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(child, dict | list):
            yield from mappings(child, (*path, key))


def test_compose_and_dockerfile_pass_their_linters(tmp_path):
    tools = Path(sys.executable).parent
    compose = [tools / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    for command, file, wrong in (
        (compose, ROOT / "deploy" / "compose.yaml", ("read_only:", "readonly:")),
        ([tools / "hadolint"], DOCKERFILE, ("USER ", "RUN cd / && sudo echo ")),
    ):
        good = subprocess.run([*command, file], capture_output=True, text=True, check=False)
        assert good.returncode == 0, good.stdout
        broken = tmp_path / file.name
        broken.write_text(file.read_text().replace(*wrong))
        assert subprocess.run([*command, broken], capture_output=True, check=False).returncode == 1


@pytest.fixture(params=[*SERVING, "compose"])
def started(request, monkeypatch) -> tuple[str, Settings]:
    """The settings of a container, read by the code from what its manifest sets."""
    if request.param == "compose":
        given = COMPOSE["services"]["breakhis"]["environment"]
    else:
        given = {each["name"]: each["value"] for each in container(SERVING[request.param])["env"]}
    for name, value in {**IMAGE_ENVIRONMENT, **given}.items():
        monkeypatch.setenv(name, value)
        if name.startswith("BREAKHIS_"):
            assert name in (ROOT / "serve" / "settings.py").read_text(), name
    return request.param, Settings.from_environment()


def test_containers_open_the_ports_that_the_settings_say_and_write_where_they_may(started):
    manifest, settings = started
    assert settings.open_to_network
    if manifest == "compose":
        service = COMPOSE["services"]["breakhis"]
        port = settings.inference_port
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert service["read_only"]
        written = [mount.partition(":")[0] for mount in service["tmpfs"]]
        assert "exec" in service["tmpfs"][0]
    else:
        it = container(SERVING[manifest])
        opened = {port["containerPort"] for port in it["ports"]}
        if manifest == "kubernetes":
            assert opened == {settings.inference_port, settings.metrics_port}
            assert it["livenessProbe"]["httpGet"]["port"] == "inference"
            annotations = POD["metadata"]["annotations"]
            assert annotations["prometheus.io/port"] == str(settings.metrics_port)
        else:
            assert opened == {settings.inference_port}
            annotations = RUNTIME["spec"]["annotations"]
            assert annotations["prometheus.kserve.io/port"] == str(settings.metrics_port)
        written = [mount["mountPath"] for mount in it["volumeMounts"]]
        assert {mount["name"] for mount in it["volumeMounts"]} == {"written"}
        assert [volume["name"] for volume in SERVING[manifest]["volumes"]] == ["written"]
    assert written == ["/tmp"]
    assert settings.run_dir.is_relative_to("/tmp")
    exposed = re.findall(r"^EXPOSE (.*)$", DOCKERFILE.read_text(), re.M)
    assert exposed == [f"{settings.inference_port} {settings.metrics_port}"]


def test_nothing_names_the_management_port():
    port = str(Settings().management_port)
    for file in (DOCKERFILE, *(ROOT / "deploy").rglob("*.y*ml")):
        assert port not in file.read_text(), file.name


@pytest.mark.parametrize("name", PODS)
def test_pods_run_as_nobody_in_particular_and_may_do_nothing_else(name):
    pod, it = PODS[name], container(PODS[name])
    security = {**pod.get("securityContext", {}), **it["securityContext"]}
    (user,) = re.findall(r"^USER (\d+):\1$", DOCKERFILE.read_text(), re.M)
    assert security["runAsUser"] == int(user) > 0
    assert security["runAsNonRoot"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("name", PODS)
def test_requests_are_within_the_limits(name):
    resources = container(PODS[name])["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys()
    assert resources["requests"].keys() == resources["limits"].keys()
    for kind, requested in resources["requests"].items():
        assert quantity(requested) <= quantity(resources["limits"][kind])


def quantity(text: str) -> float:
    """A quantity of Kubernetes, such as 100m or 2Gi."""
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi)?", text).groups()
    return float(number) * {"m": 0.001, None: 1, "Mi": 2**20, "Gi": 2**30}[unit]


def test_what_is_written_fits_into_what_may_be_written():
    (volume,) = POD["spec"]["volumes"]
    limit = container(POD["spec"])["resources"]["limits"]["ephemeral-storage"]
    assert quantity(volume["emptyDir"]["sizeLimit"]) <= quantity(limit)


def test_there_is_time_to_start_and_for_the_last_answers():
    it = container(POD["spec"])
    sleep, seconds = it["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    end = int(seconds) + DRAIN_SECONDS + STOP_SECONDS
    assert POD["spec"]["terminationGracePeriodSeconds"] >= end
    assert int(COMPOSE["services"]["breakhis"]["stop_grace_period"].removesuffix("s")) >= end
    assert PREDICTOR["timeout"] >= end
    startup = it["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= START_SECONDS


def test_the_image_is_one_and_named_after_the_model():
    images = {container(pod)["image"] for pod in PODS.values()}
    images.add(COMPOSE["services"]["breakhis"]["image"])
    assert images == {f"breakhis:{VERSION}"}
    assert f"docker build -f deploy/Dockerfile -t breakhis:{VERSION} ." in DOCKERFILE.read_text()


def test_what_belongs_to_the_deployment_finds_it():
    labels = POD["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"].items() <= labels.items()
    service, scaler, budget, policy = (
        MANIFESTS[f"{kind} breakhis"]["spec"]
        for kind in ("Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy")
    )
    assert service["selector"] == labels
    assert budget["selector"]["matchLabels"] == policy["podSelector"]["matchLabels"] == labels
    assert scaler["scaleTargetRef"] == {
        **{"apiVersion": DEPLOYMENT["apiVersion"], "kind": "Deployment"},
        **{"name": DEPLOYMENT["metadata"]["name"]},
    }
    assert "replicas" not in DEPLOYMENT["spec"]
    assert budget["maxUnavailable"] < scaler["minReplicas"] <= scaler["maxReplicas"]
    named = {port["name"] for port in container(POD["spec"])["ports"]}
    assert [port["targetPort"] for port in service["ports"]] == ["inference"]
    allowed = [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
    assert sorted(allowed) == sorted(named)
    assert all(rule["from"] for rule in policy["ingress"])
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []


def test_kserve_finds_runtime_and_archive(monkeypatch):
    model = PREDICTOR["model"]
    assert model["runtime"] == RUNTIME["metadata"]["name"]
    assert model["modelFormat"] in RUNTIME["spec"]["supportedModelFormats"]
    assert RUNTIME["spec"]["protocolVersions"] == ["v1", "v2"]
    claim, folder = re.fullmatch(r"pvc://([\w-]+)/(.+)", model["storageUri"]).groups()
    assert f"PersistentVolumeClaim {claim}" in MANIFESTS
    (volume,) = STORE["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim
    (mount,) = container(STORE["spec"])["volumeMounts"]
    steps = (ROOT / "deploy" / "kserve" / "store.yaml").read_text()
    pod = STORE["metadata"]["name"]
    target = f"{mount['mountPath']}/{folder}"
    assert f"kubectl exec {pod} -- mkdir -p {target}\n" in steps
    archive = Settings().model_store.relative_to(ROOT) / "breakhis.mar"
    assert f"kubectl cp {archive} {pod}:{target}/breakhis.mar\n" in steps
    assert folder == VERSION
    environment = {each["name"]: each["value"] for each in container(RUNTIME["spec"])["env"]}
    assert environment["BREAKHIS_MODEL_STORE"] == "/mnt/models"


def test_kserve_scales_on_one_full_batch_for_each_pod():
    config = yaml.safe_load((ROOT / "handler" / "model-config.yaml").read_text())
    assert PREDICTOR["scaleMetric"] == "concurrency"
    assert PREDICTOR["scaleTarget"] == config["batchSize"]
    assert 1 <= PREDICTOR["minReplicas"] <= PREDICTOR["maxReplicas"]


def test_prometheus_and_grafana_of_compose_find_each_other_and_the_service():
    services, deploy = COMPOSE["services"], ROOT / "deploy"
    mounted = {}
    for service in ("prometheus", "grafana"):
        for volume in services[service]["volumes"]:
            source, target, mode = volume.split(":")
            assert mode == "ro"
            mounted[target] = deploy / source
            assert mounted[target].is_file(), source
    scraping = mounted["/etc/prometheus/prometheus.yml"]
    compose, local = (
        yaml.safe_load(file.read_text())
        for file in (scraping, deploy / "prometheus" / "prometheus.yml")
    )
    (of_compose,), (of_local,) = (
        config["scrape_configs"][0].pop("static_configs") for config in (compose, local)
    )
    assert compose == local
    port = Settings().metrics_port
    assert "breakhis" in services
    assert of_compose["targets"] == [f"breakhis:{port}"]
    assert of_local["targets"] == [f"127.0.0.1:{port}"]

    (source,) = provisioned(mounted, "datasources")["datasources"]
    assert source["type"] == "prometheus"
    assert source["isDefault"]
    (published,) = services["prometheus"]["ports"]
    assert source["url"] == f"http://prometheus:{published.rpartition(':')[2]}"
    (provider,) = provisioned(mounted, "dashboards")["providers"]
    shown = mounted[f"{provider['options']['path']}/breakhis.json"]
    assert shown == deploy / "grafana" / "dashboard.json"
    uid = json.loads(shown.read_text())["uid"]
    (published,) = services["grafana"]["ports"]
    address = f"http://{published.rpartition(':')[0]}/d/{uid}\n"
    assert address in (ROOT / "deploy" / "compose.yaml").read_text()


def provisioned(mounted: dict[str, Path], kind: str) -> dict[str, Any]:
    """What Grafana reads from its folder for this kind."""
    (file,) = (
        file for place, file in mounted.items() if f"/etc/grafana/provisioning/{kind}/" in place
    )
    return yaml.safe_load(file.read_text())


def test_compose_publishes_on_this_machine_alone():
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_all_images_have_a_version_and_python_is_ours():
    from_docker = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.M)
    assert set(from_docker) == {f"python:3.{sys.version_info.minor}-slim-bookworm"}
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+(\.\d+)?", service["image"])


def test_docker_is_sent_what_it_copies_and_nothing_that_is_secret_or_large():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert rules[1] == "*"
    assert allowed == {source for source, _ in copied(INSTRUCTIONS)}
    assert all((ROOT / each).exists() for each in allowed)
    assert "model_store/*.mar" in rules
