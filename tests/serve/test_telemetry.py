"""What operators see: metrics, one log line for each request, the dashboard."""

import base64
import json
import re
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serve.settings import Settings
from tests.conftest import ROOT, log_lines

# Labels that say where, not what.
HOUSEKEEPING = {"Hostname", "hostname", "version", "model_version", "model_name", "Level"}
METRICS = yaml.safe_load((ROOT / "serve" / "metrics.yaml").read_text())


def samples(service: Settings) -> dict[str, float]:
    """Every sample of the metrics port, by name and labels without host and version."""
    text = requests.get(f"{service.metrics_url}/metrics", timeout=10).text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [sample.labels[name] for name in sorted(set(sample.labels) - HOUSEKEEPING)]
            found[".".join([sample.name, *labels])] = sample.value
    return found


def test_what_is_answered_is_counted_and_logged_under_the_answers_id(
    service, authorization, field_png
):
    url = f"{service.inference_url}/predictions/breakhis"
    before = samples(service)
    one = requests.post(url, data=field_png, headers=authorization)
    b64 = base64.b64encode(field_png).decode()
    body = {"instances": [{"b64": b64}, {"b64": ""}]}
    two = requests.post(url, json=body, headers=authorization)
    bad = requests.post(url, data=b"no image", headers=authorization)

    ids = [response.headers["x-request-id"] for response in (one, two, bad)]
    lines = log_lines(service, set(ids))
    first, second, third = (lines[id] for id in ids)
    verdict = one.json()["verdict"]
    assert first["verdicts"] == {verdict: 1}
    assert (first["status"], first["images"], first["bytes"]) == (200, 1, len(field_png))
    assert (second["status"], second["images"]) == (200, 2)
    assert (second["verdicts"], second["refusals"]) == ({verdict: 1}, {"BadImage": 1})
    assert (third["status"], third["refusals"]) == (400, {"BadImage": 1})
    assert all(line["total_ms"] >= line["inference_ms"] for line in lines.values())

    after = samples(service)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown[f"breakhis_verdicts_total.{verdict}"] == 2
    assert grown["breakhis_refusals_total.BadImage"] == 2
    assert grown["breakhis_batch_requests_count"] == 3
    assert grown["breakhis_batch_requests_sum"] == 3
    assert grown["breakhis_batch_requests_bucket.1.0"] == 3
    assert grown["breakhis_total_seconds_count"] == 3
    assert grown["breakhis_decode_seconds_sum"] > 0
    assert grown["ts_inference_requests_total"] == 3


def test_nothing_that_was_sent_is_in_the_log_line(service, authorization):
    url = f"{service.inference_url}/predictions/breakhis"
    parts = {"a-patients-name": ("another-name.png", b"what was sent")}
    response = requests.post(url, files=parts, headers=authorization)
    id = response.headers["x-request-id"]
    (line,) = log_lines(service, {id}).values()
    assert not re.search("name|sent|png", json.dumps(line))


@pytest.mark.parametrize("part", ["ts_metrics", "model_metrics"])
def test_every_metric_is_on_the_dashboard(part):
    dashboard = Path(ROOT, "deploy", "grafana", "dashboard.json").read_text()
    shown = {expr for panel in json.loads(dashboard)["panels"] for expr in expressions(panel)}
    for kind in METRICS[part].values():
        for metric in kind:
            assert any(metric["name"] in expr for expr in shown), metric["name"]


def test_the_dashboard_asks_for_no_metric_that_is_not_there():
    dashboard = json.loads(Path(ROOT, "deploy", "grafana", "dashboard.json").read_text())
    known = {
        m["name"]
        for part in METRICS.values()
        if isinstance(part, dict)
        for kind in part.values()
        for m in kind
    }
    for panel in dashboard["panels"]:
        for expr in expressions(panel):
            for name in re.findall(r"\b(breakhis_\w+|ts_\w+|Requests\w+|\w+Time)\b", expr):
                assert name in known or re.sub("_(bucket|sum|count)$", "", name) in known, name


def expressions(panel: dict) -> list[str]:
    return [target["expr"] for target in panel["targets"]]
