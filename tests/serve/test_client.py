import io
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import requests
from PIL import Image

from handler.prediction import Prediction
from serve.api import Api
from serve.client import Client
from serve.drawn_tissue import draw_field
from serve.errors import (
    ImageRefused,
    NotRunning,
    RequestRefused,
    ServiceBusy,
    ServiceDown,
    TokenRefused,
)
from serve.management import Management
from serve.tokens import Tokens
from tests.conftest import free_port


def test_an_image_may_be_a_path_bytes_or_a_pil_image(client: Client, field_png, tmp_path: Path):
    path = tmp_path / "field.png"
    path.write_bytes(field_png)
    sources = [path, str(path), field_png, Image.open(io.BytesIO(field_png))]
    decisions = [client.predict(source).decision for source in sources]
    assert np.allclose(decisions, decisions[0], atol=1e-4)


def test_extras(client: Client, field_png):
    plain = client.predict(field_png)
    assert plain.features is None
    assert plain.heatmap is None
    full = client.predict(field_png, features=True, heatmap=True)
    assert full.features.shape == (512,)
    assert np.array_equal(client.features(field_png), full.features)
    assert Image.open(io.BytesIO(client.explain(field_png))).format == "PNG"


def test_predict_many_answers_in_order_with_a_refusal_among_them(client: Client):
    images = [Image.fromarray(draw_field(seed)) for seed in range(3)]
    answers = client.predict_many([images[0], b"no image", *images[1:]])
    assert isinstance(answers[1], ImageRefused)
    assert answers[1].code == 400
    good = [answer for answer in answers if isinstance(answer, Prediction)]
    alone = [client.predict(image).decision for image in images]
    assert np.allclose([answer.decision for answer in good], alone, atol=1e-4)
    assert client.predict_many([]) == []


def test_refusals_carry_the_service_s_message(client: Client):
    with pytest.raises(ImageRefused, match="PNG, JPEG") as refusal:
        client.predict(b"no image")
    assert refusal.value.code == 400
    with pytest.raises(RequestRefused, match="larger than the service accepts") as too_large:
        client.predict(bytes(65_000_000))
    assert too_large.value.code == 413


def test_a_replaced_token_is_renewed_without_the_caller_noticing(service, client, field_png):
    tokens = Tokens(service.key_file, service.management_url)
    old = tokens.get("inference")
    new = tokens.get("inference", refused=old)
    assert new != old
    url = f"{service.inference_url}/ping"
    assert requests.get(url, headers={"Authorization": f"Bearer {old}"}).status_code == 400
    assert requests.get(url, headers={"Authorization": f"Bearer {new}"}).status_code == 200

    class Stale(Tokens):
        """Hands out the old token until the service refuses it."""

        def get(self, kind, refused=None):
            return old if refused is None else super().get(kind, refused)

    client = Client(service.inference_url, Stale(service.key_file, service.management_url))
    assert client.predict(field_png).probability >= 0


def test_a_token_about_to_expire_is_renewed_before_it_is_used(service, monkeypatch):
    from datetime import timedelta

    tokens = Tokens(service.key_file, service.management_url)
    before = {kind: tokens.get(kind) for kind in ("inference", "management")}
    assert {kind: tokens.get(kind) for kind in before} == before
    monkeypatch.setattr("serve.tokens.RENEW_BEFORE", timedelta(hours=2))
    for kind, old in before.items():
        assert tokens.get(kind) != old


def test_a_token_that_can_not_be_renewed_is_an_error_of_its_own(service):
    class Wrong:
        def get(self, kind, refused=None):
            return "wrong"

    with pytest.raises(TokenRefused):
        Client(service.inference_url, Wrong()).predict(b"x")


def test_nothing_there(tmp_path):
    settings_url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotRunning, match="breakhis serve"):
        Client(settings_url, Tokens(tmp_path / "key_file.json", settings_url)).predict(b"x")

    class Some:
        def get(self, kind, refused=None):
            return "any"

    client = Client(settings_url, Some())
    with pytest.raises(ServiceDown, match=settings_url):
        client.predict(b"x")
    assert not Management(settings_url, Some()).is_ready()


class _Answers(BaseHTTPRequestHandler):
    """Answers each request with the next status of the server's list."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.statuses.pop(0))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("path", "statuses", "left", "outcome"),
    [
        ("/models", [503, 503, 200, 200], 1, None),
        ("/models", [503] * 5, 2, ServiceBusy),
        ("/models", [500, 200], 1, RequestRefused),
        ("/models", [400, 200], 1, RequestRefused),
        ("/predictions/breakhis", [500, 507, 200], 0, None),
        ("/explanations/breakhis", [503, 500, 200], 0, None),
        ("/predictions/breakhis", [400, 200], 1, RequestRefused),
        ("/predictions/breakhis", [504, 200], 1, RequestRefused),
    ],
)
def test_a_busy_service_is_asked_again_and_a_dead_worker_only_for_what_it_judges(
    path, statuses, left, outcome
):
    class Any:
        def get(self, kind, refused=None):
            return "any"

    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.statuses = list(statuses)
        Thread(target=server.serve_forever, daemon=True).start()
        api = Api(f"http://127.0.0.1:{server.server_port}", Any(), "inference", attempts=3)
        if outcome is None:
            assert api.send("POST", path, data=b"x").ok
        else:
            with pytest.raises(outcome):
                api.send("POST", path, data=b"x")
        server.shutdown()
    assert len(server.statuses) == left
