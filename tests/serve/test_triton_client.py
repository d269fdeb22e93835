"""Triton's own HTTP client, which is KServe's, too, with the service."""

import json

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from serve.drawn_tissue import draw_field, encode

NAME = "breakhis"
TEXT = b"This is no image."


@pytest.fixture
def triton(service):
    with InferenceServerClient(f"127.0.0.1:{service.inference_port}") as client:
        yield client


def images(*files: bytes) -> list[InferInput]:
    tensor = InferInput("images", [len(files)], "BYTES")
    return [tensor.set_data_from_numpy(np.array(files, dtype=object))]


def test_it_sends_images_as_they_are_and_gets_an_answer_for_each(
    triton, client, authorization, field_png
):
    other = encode(draw_field(2), "JPEG")
    result = triton.infer(
        NAME, images(field_png, TEXT, other), request_id="7", headers=authorization
    )
    answered = result.get_response()
    assert (answered["id"], answered["model_name"]) == ("7", NAME)
    texts = result.as_numpy("predictions")
    assert all(isinstance(text, bytes) for text in texts)  # as from Triton itself
    first, bad, third = map(json.loads, texts)
    assert first == client.predict(field_png).to_json()
    assert (bad["code"], bad["type"]) == (400, "BadImageException")
    assert third["decision"] == pytest.approx(client.predict(other).decision, abs=1e-4)


def test_it_gets_json_where_it_asks_for_that(triton, authorization, field_png):
    asked = [InferRequestedOutput("predictions", binary_data=False)]
    result = triton.infer(NAME, images(field_png), outputs=asked, headers=authorization)
    (output,) = result.get_response()["outputs"]
    (text,) = output["data"]
    assert "parameters" not in output
    assert json.loads(text)["label"] in ("benign", "malignant")


def test_extras_come_in_the_same_texts(triton, authorization, field_png):
    headers = {**authorization, "X-Include": "features"}
    (text,) = triton.infer(NAME, images(field_png), headers=headers).as_numpy("predictions")
    assert len(json.loads(text)["features"]) == 512


def test_what_is_wrong_with_a_request_is_in_the_client_s_exception(
    triton, authorization, field_png
):
    with pytest.raises(InferenceServerException, match="limit is 64") as refusal:
        triton.infer(NAME, images(*[TEXT] * 65), headers=authorization)
    assert refusal.value.status() == "413"
    pixels = InferInput("images", [2, 2], "UINT8")
    pixels.set_data_from_numpy(np.zeros((2, 2), np.uint8))
    with pytest.raises(InferenceServerException, match="datatype") as refusal:
        triton.infer(NAME, [pixels], headers=authorization)
    assert refusal.value.status() == "400"


def test_it_is_told_of_the_server_and_nothing_of_the_model(triton, authorization):
    """What the page on the API says can and can't be asked."""
    assert triton.is_server_live(headers=authorization)
    assert triton.is_server_ready(headers=authorization)
    assert triton.get_server_metadata(headers=authorization)["name"] == "Torchserve"
    assert not triton.is_model_ready(NAME, headers=authorization)
    for ask in (triton.get_model_metadata, triton.get_model_config):
        with pytest.raises(InferenceServerException) as refusal:
            ask(NAME, headers=authorization)
        assert refusal.value.status() == "404"
    with pytest.raises(InferenceServerException, match="Model versioning is not yet supported"):
        triton.infer(NAME, images(TEXT), model_version="2.0", headers=authorization)
    assert not triton.is_server_live()  # without a token
