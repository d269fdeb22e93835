"""The inference contract over HTTP, on a running TorchServe."""

import base64
import io
import json
import pickle
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from PIL import Image

from serve.drawn_tissue import draw_field, encode
from tests.conftest import FAST_ENGINE, ROOT, log_lines, needs_curl

FIELDS = {"label", "probability", "verdict", "decision", "warnings", "model"}
TEXT = b"This is no image.\n" * 20


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()


def tensor(*images: bytes) -> dict:
    """A request in KServe's v2 form, the open inference protocol."""
    data = [encoded(image) for image in images]
    sent = {"name": "images", "shape": [len(data)], "datatype": "BYTES", "data": data}
    return {"id": "a-request", "inputs": [sent]}


@pytest.fixture
def predictions(service) -> str:
    return f"{service.inference_url}/predictions/breakhis"


@pytest.fixture
def explanations(service) -> str:
    return f"{service.inference_url}/explanations/breakhis"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_raw_body(predictions, authorization, field_png, method):
    response = requests.request(method, predictions, data=field_png, headers=authorization)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert set(response.json()) == FIELDS


@needs_curl
def test_curl_with_an_upload_as_in_the_readme(predictions, authorization, field_png, tmp_path):
    file = tmp_path / "field.png"
    file.write_bytes(field_png)
    header = f"Authorization: {authorization['Authorization']}"
    curl = ["curl", "-s", "-S", "-T", file, "-H", header, predictions]
    answer = json.loads(subprocess.run(curl, check=True, capture_output=True).stdout)
    assert set(answer) == FIELDS


@needs_curl
@pytest.mark.parametrize("name", ["image", "body", "data"])
def test_curl_with_a_form_gets_a_list_also_of_one(
    predictions, authorization, field_png, tmp_path, name
):
    """Some names are those that TorchServe gives to a body that is no form."""
    file = tmp_path / "field.png"
    file.write_bytes(field_png)
    header = f"Authorization: {authorization['Authorization']}"
    curl = ["curl", "-s", "-S", "-F", f"{name}=@{file}", "-H", header, predictions]
    answer = json.loads(subprocess.run(curl, check=True, capture_output=True).stdout)
    assert set(answer) == {"predictions"}
    assert [set(each) for each in answer["predictions"]] == [FIELDS]


def test_a_form_with_one_image_and_with_several_has_one_shape(
    predictions, authorization, field_png
):
    one = requests.post(predictions, files={"image": field_png}, headers=authorization)
    (alone,) = one.json()["predictions"]
    assert set(alone) == FIELDS
    refused = requests.post(predictions, files={"image": TEXT}, headers=authorization)
    assert refused.status_code == 200
    assert [each["code"] for each in refused.json()["predictions"]] == [400]

    other = encode(draw_field(2), "JPEG")
    parts = {"a": field_png, "b": TEXT, "c": other}
    several = requests.post(predictions, files=parts, headers=authorization)
    assert several.status_code == 200
    first, bad, third = several.json()["predictions"]
    assert first["decision"] == pytest.approx(alone["decision"], abs=1e-4)
    assert bad["code"] == 400
    assert bad["type"] == "BadImageException"
    assert set(third) == FIELDS


def test_instances_and_their_order(predictions, authorization):
    images = [encode(draw_field(seed)) for seed in range(12)]
    alone = [
        requests.post(predictions, data=image, headers=authorization).json()["decision"]
        for image in images
    ]
    body = {"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}
    answer = requests.post(predictions, json=body, headers=authorization).json()
    together = [prediction["decision"] for prediction in answer["predictions"]]
    assert np.allclose(together, alone, atol=1e-4)
    assert np.ptp(alone) > 1e-3


@pytest.mark.parametrize("path", ["predictions/breakhis", "v1/models/breakhis:predict"])
def test_kserve_v1_as_a_client_or_kserve_s_own_server_sends_it(
    service, authorization, field_png, path
):
    body = {"instances": [{"b64": encoded(image)} for image in (field_png, TEXT, field_png)]}
    response = requests.post(f"{service.inference_url}/{path}", json=body, headers=authorization)
    assert response.status_code == 200
    first, bad, third = response.json()["predictions"]
    assert set(first) == FIELDS
    assert bad["type"] == "BadImageException"
    assert third == first


@pytest.mark.parametrize("path", ["predictions/breakhis", "v2/models/breakhis/infer"])
def test_kserve_v2_as_a_client_or_kserve_s_own_server_sends_it(
    service, authorization, field_png, path
):
    alone = requests.post(
        f"{service.inference_url}/predictions/breakhis", data=field_png, headers=authorization
    ).json()
    response = requests.post(
        f"{service.inference_url}/{path}",
        json=tensor(field_png, TEXT, encode(draw_field(2))),
        headers=authorization,
    )
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    answer = response.json()
    (output,) = answer.pop("outputs")
    model = {"model_name": "breakhis", "model_version": alone["model"]["version"]}
    assert answer == {"id": "a-request", **model}
    first, bad, third = map(json.loads, output.pop("data"))
    assert output == {"name": "predictions", "shape": [3], "datatype": "BYTES"}
    assert first == alone
    assert bad["code"] == 400
    assert bad["type"] == "BadImageException"
    assert set(third) == FIELDS


@pytest.mark.parametrize(
    ("version", "path"),
    [("v1", "v1/models/breakhis:explain"), ("v2", "v2/models/breakhis/explain")],
)
def test_kserve_s_explanations_are_the_heat_maps(service, authorization, field_png, version, path):
    v1 = version == "v1"
    body = {"instances": [{"b64": encoded(field_png)}]} if v1 else tensor(field_png)
    url = f"{service.inference_url}/{path}"
    answer = requests.post(url, json=body, headers=authorization).json()
    one = answer["predictions"][0] if v1 else json.loads(answer["outputs"][0]["data"][0])
    assert base64.b64decode(one["heatmap"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changed", "status", "named"),
    [
        ({"datatype": "UINT8"}, 400, "datatype"),
        ({"shape": [3]}, 400, "shape"),
        ({"data": "YQ=="}, 400, "form"),
        ({"data": ["YQ=="] * 65, "shape": [65]}, 413, "limit is 64"),
    ],
    ids=["datatype", "shape", "data", "too many"],
)
def test_kserve_v2_that_can_t_be_read_says_what_to_do(
    service, authorization, field_png, changed, status, named
):
    body = tensor(field_png)
    body["inputs"][0] |= changed
    url = f"{service.inference_url}/v2/models/breakhis/infer"
    response = requests.post(url, json=body, headers=authorization)
    assert response.status_code == status
    assert set(response.json()) == {"code", "type", "message"}
    assert named in response.json()["message"]


def test_form_order_is_that_of_the_parts(predictions, authorization):
    images = [encode(draw_field(seed)) for seed in range(12)]
    names = [f"part-{(7 * i) % 12}" for i in range(12)]  # in no alphabetical order
    files = [(name, image) for name, image in zip(names, images, strict=True)]
    answer = requests.post(predictions, files=files, headers=authorization).json()
    body = {"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}
    expected = requests.post(predictions, json=body, headers=authorization).json()
    assert np.allclose(
        [p["decision"] for p in answer["predictions"]],
        [p["decision"] for p in expected["predictions"]],
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [(TEXT, 400), (b"", 400), (encode(draw_field(1), "GIF"), 415), (bytes(20_000_001), 413)],
    ids=["text", "empty", "gif", "too many bytes"],
)
def test_bad_images_get_the_contract_s_error(predictions, authorization, field_png, body, status):
    response = requests.post(predictions, data=body, headers=authorization)
    assert response.status_code == status
    error = response.json()
    assert set(error) == {"code", "type", "message"}
    assert error["code"] == status
    assert error["type"] == "BadImageException"
    good = requests.post(predictions, data=field_png, headers=authorization)
    assert good.status_code == 200


def test_bad_json_and_url_encoded_bodies_say_what_to_do(predictions, authorization):
    broken = requests.post(
        predictions, data="{broken", headers={**authorization, "Content-Type": "application/json"}
    )
    assert broken.status_code == 400
    form = {**authorization, "Content-Type": "application/x-www-form-urlencoded"}
    response = requests.post(predictions, data=b"field=some+bytes", headers=form)
    assert response.status_code == 400
    assert "-T FILE" in response.json()["message"]


def test_too_many_images_in_one_request(predictions, authorization):
    tiny = base64.b64encode(b"x").decode()
    body = {"instances": [{"b64": tiny}] * 65}
    response = requests.post(predictions, json=body, headers=authorization)
    assert response.status_code == 413
    assert "64" in response.json()["message"]


def test_features_recompute_the_decision(predictions, authorization, field_png):
    headers = {**authorization, "X-Include": "features"}
    answer = requests.post(predictions, data=field_png, headers=headers).json()
    assert len(answer["features"]) == 512
    assert "heatmap" not in answer
    svm = pickle.loads((ROOT / "model_store" / "svm.pkl").read_bytes())
    decision = svm.decision_function(np.array(answer["features"])[None])[0]
    assert decision == pytest.approx(answer["decision"], abs=1e-4)


def test_heat_map_on_request_and_as_explanation(
    predictions, explanations, authorization, field_png
):
    headers = {**authorization, "X-Include": "features,heatmap,field,attribution"}
    asked = requests.post(predictions, data=field_png, headers=headers).json()
    assert set(asked) == FIELDS | {"features", "heatmap", "field", "attribution"}
    moved = asked["attribution"]["base"] + np.mean(asked["attribution"]["places"])
    assert moved == pytest.approx(asked["decision"], abs=0.01)
    field = Image.open(io.BytesIO(base64.b64decode(asked["field"])))
    sent = Image.open(io.BytesIO(field_png))
    assert (field.format, field.size) == ("JPEG", sent.size)
    assert np.abs(np.asarray(field, float) - np.asarray(sent, float)).mean() < 8
    explained = requests.post(explanations, data=field_png, headers=authorization).json()
    assert set(explained) == FIELDS | {"heatmap"}
    bare = requests.post(
        explanations, data=field_png, headers={**authorization, "Accept": "image/png"}
    )
    assert bare.headers["Content-Type"] == "image/png"
    assert bare.content == base64.b64decode(asked["heatmap"])
    assert Image.open(io.BytesIO(bare.content)).size == (700, 460)


def test_an_explanation_of_a_bad_image_is_still_an_error(explanations, authorization):
    headers = {**authorization, "Accept": "image/png"}
    response = requests.post(explanations, data=TEXT, headers=headers)
    assert response.status_code == 400
    assert response.json()["type"] == "BadImageException"


def test_requests_sent_at_once_share_batches_and_none_harms_another(
    service, predictions, authorization
):
    bodies = [encode(draw_field(seed)) for seed in range(15)]
    bodies.insert(7, TEXT)
    with ThreadPoolExecutor(16) as pool:
        responses = list(
            pool.map(
                lambda body: requests.post(predictions, data=body, headers=authorization), bodies
            )
        )
    assert [response.status_code for response in responses] == [200] * 7 + [400] + [200] * 8
    lines = log_lines(service, {response.headers["x-request-id"] for response in responses})
    assert len(lines) == 16
    assert max(line["batch"] for line in lines.values()) > 1


def test_a_description_asked_for_in_a_batch_harms_nobody(predictions, authorization, field_png):
    """TorchServe hands its own `describe` on as a header, so anybody can send it."""
    odd = {**authorization, "describe": "True"}
    with ThreadPoolExecutor(8) as pool:
        responses = list(
            pool.map(
                lambda i: requests.post(
                    predictions, data=field_png, headers=odd if i % 2 else authorization
                ),
                range(16),
            )
        )
    assert {response.status_code for response in responses} == {200}
    assert all("label" in response.json() for response in responses[::2])


def test_model_description(service, client):
    from serve.management import Management

    description = Management.from_settings(service).describe()
    own = description["customizedMetadata"]
    manifest = json.loads((ROOT / "model_store" / "manifest.json").read_text())
    assert own["manifest"] == manifest
    assert own["engine"] == FAST_ENGINE
    evaluation = json.loads((ROOT / "model_store" / "evaluation.json").read_text())
    assert own["evaluation"] == evaluation
    assert own["card"] == (ROOT / "model_store" / "MODEL_CARD.md").read_text()
    assert description["modelVersion"] == manifest["version"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_without_a_valid_token_nothing_is_answered(predictions, field_png, headers):
    response = requests.post(predictions, data=field_png, headers=headers)
    assert response.status_code == 400
    assert response.json()["type"] == "InvalidKeyException"


def test_neither_tokens_nor_uploads_reach_a_log(service, predictions, authorization, field_png):
    secret = b"a-patient-name-in-an-upload"
    requests.post(predictions, files={"x": secret}, headers=authorization)
    requests.post(predictions, data=b"{" + secret, headers=authorization)
    json_body = {**authorization, "Content-Type": "application/json"}
    requests.post(predictions, data=b"{" + secret, headers=json_body)
    form = {**authorization, "Content-Type": "application/x-www-form-urlencoded"}
    requests.post(predictions, data=secret + b"%zz" + field_png, headers=form)
    requests.post(predictions, data=secret, headers={**authorization, "Content-Type": "text/plain"})
    multipart = {**authorization, "Content-Type": "multipart/form-data; boundary=" + "x" * 20}
    requests.post(predictions, data=secret, headers=multipart)
    no_path = predictions.replace("breakhis", "nothing")
    requests.post(no_path, data=secret, headers=authorization)
    token = authorization["Authorization"].removeprefix("Bearer ").encode()
    logs = list((service.run_dir / "logs").iterdir())
    assert len(logs) >= 3
    for log in logs:
        text = log.read_bytes()
        assert secret not in text, log.name
        assert token not in text, log.name
