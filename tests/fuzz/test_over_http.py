"""Damaged images and odd requests, answered by one worker that lives on."""

import base64
import json
import random
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from rich.progress import track

from serve.tokens import Tokens
from tests.conftest import worker_of
from tests.fuzz.memory import course_of, growth_of, megabytes
from tests.fuzz.mutations import corpus, mutate

NAMES = (
    "a",
    "body",
    "data",
    "explain",
    "describe",
    "../../etc/passwd",
    "..\\x",
    "ü",
    "n" * 999,
    "x y",
)
JUNK = (
    "features",
    "heatmap",
    "field",
    "",
    ",,,",
    "x" * 999,
    "features,features",
    "../..",
    "%00",
    "\xff",
)
# Of a raw body; the Java of a form refuses a part whose charset it does not know.
TYPES = (
    *("image/png", "image/svg+xml", "application/octet-stream", "application/json", "text/plain"),
    *("application/json; charset=utf-7", "x/y", "nonsense", "text/html; charset=nonsense", ";"),
)
BODIES = (
    b"[" * 50_000,
    b'{"instances":' * 20_000,
    b'{"instances": [{"b64": ' + b"9" * 10_000 + b"}]}",
    b'{"instances": [{"b64": "YQ==", "b64": "YQ=="}], "instances": [{"b64": "YQ=="}]}',
    b'{"instances": NaN}',
    b'{"instances": [{"b64": "\\ud800"}]}',
    b'{"instances": [' + b"{}," * 60 + b"{}]}",
    b'{"instances": [{"b64": "' + b"A" * 3_000_000 + b'"}]}',
    b'{"\xff": 1}',
    b'"\\ud800"',
    b'{"inputs":' * 20_000,
    b'{"inputs": [{"datatype": "BYTES", "shape": [' + b"9" * 4000 + b'], "data": ["YQ=="]}]}',
    b'{"id": "\\ud800", "inputs": [{"datatype": "BYTES", "shape": [1], "data": ["\\ud800"]}]}',
)
CONNECTIONS = 8
WARM_UP = 1000  # requests


def odd_request(rng: random.Random, files: list[bytes]) -> dict[str, Any]:
    """Make a request that HTTP and form parsers accept; what is in it is damaged."""
    images = [mutate(rng, files) for _ in range(rng.choice((1, 1, 2, 4)))]
    headers = {"X-Include": rng.choice(JUNK)} if rng.random() < 0.3 else {}
    match rng.randrange(6):
        case 0 | 1:
            headers["Content-Type"] = rng.choice(TYPES)
            return {"data": images[0], "headers": headers}
        case 2:
            names = rng.sample(NAMES, len(images))
            parts = [
                (name, ("x", image, rng.choice(TYPES[:5])))
                for name, image in zip(names, images, strict=True)
            ]
            return {"files": parts, "headers": headers}
        case 3:
            texts: list[Any] = [base64.b64encode(image).decode() for image in images]
            junk = rng.sample([{}, [], None, {"b64": 1}, {"b64": "="}, "x"], 2)
            if rng.random() < 0.5:
                body = json.dumps({"instances": [{"b64": each} for each in texts] + junk}).encode()
            else:
                shape = rng.choice(([len(texts) + 2], [len(texts) + 2], [1], [-1], None))
                tensor = {"name": "x", "shape": shape, "datatype": "BYTES", "data": texts + junk}
                inputs = [tensor] * rng.choice((1, 1, 1, 2))
                body = json.dumps({"id": rng.choice(JUNK), "inputs": inputs}).encode()
            if rng.random() < 0.3:
                body = mutate(rng, [body])
            headers["Content-Type"] = rng.choice(("application/json", "text/plain"))
            return {"data": body, "headers": headers}
        case 4:
            tail = b"".join(struct.pack("<I", len(image)) + image for image in images)
            size = rng.choice((len(tail), len(tail), 0, -1, 10**18))
            shape = [rng.choice((len(images), len(images), 1, 10**9))]
            parameters = {"binary_data_size": size}
            sent = {"shape": shape, "datatype": "BYTES", "parameters": parameters}
            head = json.dumps({"inputs": [sent]}).encode()
            headers["Content-Type"] = rng.choice(TYPES)
            length = rng.choice((len(head), len(head), 0, 9**9, rng.choice(JUNK[3:5])))
            headers["Inference-Header-Content-Length"] = str(length)
            return {
                "data": head + (mutate(rng, [tail]) if rng.random() < 0.3 else tail),
                "headers": headers,
            }
        case _:
            headers["Content-Type"] = "application/json"
            return {"data": rng.choice(BODIES), "headers": headers}


def test_odd_requests_get_no_5xx_and_leave_the_worker_as_it_was(pytestconfig, console, service):
    count = pytestconfig.getoption("fuzz_requests")
    files = corpus()
    tokens = Tokens(service.key_file, service.management_url)

    def send(i: int) -> requests.Response:
        rng = random.Random(i)
        api = rng.choice(("predictions", "predictions", "explanations"))
        request = odd_request(rng, files)
        request["headers"]["Authorization"] = f"Bearer {tokens.get('inference')}"
        return requests.post(f"{service.inference_url}/{api}/breakhis", timeout=60, **request)

    first = worker_of(service)
    memory: list[int] = []
    statuses: Counter[int] = Counter()
    failed: dict[int, str] = {}
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        responses = pool.map(send, range(count))
        for i, response in enumerate(track(responses, "Odd requests", count, console=console)):
            memory.append(first.memory_info().rss)
            statuses[response.status_code] += 1
            if response.status_code >= 500:
                failed[i] = response.text
    course = course_of(memory)
    console.print(f"{dict(statuses)}; memory in the course {megabytes(course)}")
    assert failed == {}
    assert worker_of(service).pid == first.pid
    assert first.is_running()
    # A short run is nothing but warming up: the largest images come at any time.
    assert growth_of(course) < 0.05 or count < WARM_UP


BROKEN_FORMS = {
    "no boundary": ("multipart/form-data", b"x"),
    "no part at all": ("multipart/form-data; boundary=b", b"no boundary in here"),
    "no end": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nabc',
    ),
    "empty name": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name=" "; filename="a"\r\n\r\nabc\r\n--b--\r\n',
    ),
    "no name": (
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--b--\r\n",
    ),
    "unknown charset": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n'
        b"Content-Type: text/plain; charset=utf-7\r\n\r\nabc\r\n--b--\r\n",
    ),
    "bad percent": ("application/x-www-form-urlencoded", b"a=%zz"),
}


@pytest.mark.parametrize("name", BROKEN_FORMS)
def test_a_broken_form_is_answered_by_torchserve_itself_and_harms_no_worker(
    service, authorization, field_png, name
):
    before = worker_of(service).pid
    content_type, body = BROKEN_FORMS[name]
    url = f"{service.inference_url}/predictions/breakhis"
    headers = {**authorization, "Content-Type": content_type}
    refused = requests.post(url, data=body, headers=headers, timeout=60)
    assert refused.status_code >= 400
    assert refused.json()["message"]
    good = requests.post(url, data=field_png, headers=authorization, timeout=60)
    assert good.status_code == 200
    assert worker_of(service).pid == before
