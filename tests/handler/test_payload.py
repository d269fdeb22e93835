import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import BadImage, BadRequest, RequestError, TooManyImages
from handler.payload import Payload, read_options, read_payload

NOTHING_ASKED = read_options({})


def read(parts) -> Payload:
    return read_payload(parts, NOTHING_ASKED, max_images=4)


def instances(*images: bytes) -> dict:
    return {"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}


def tensor(*images: bytes, **changed) -> dict:
    """A request of the open inference protocol, with some of its input's fields changed."""
    data = [base64.b64encode(image).decode() for image in images]
    sent = {"name": "images", "shape": [len(data)], "datatype": "BYTES", "data": data}
    return {"id": "7", "inputs": [{**sent, **changed}]}


def test_a_raw_body_is_one_image():
    assert read({"body": bytearray(b"\x89PNG")}) == Payload([b"\x89PNG"], many=False)


def test_a_form_with_one_part_is_one_image_and_with_several_a_list():
    assert read({"anything": b"a"}) == Payload([b"a"], many=False)
    assert read({"one": b"a", "body": b"b"}) == Payload([b"a", b"b"], many=True)


def test_a_text_part_gets_its_bytes_back():
    assert read({"x": "grüße"}).images == ["grüße".encode()]


def test_instances_are_read_however_torchserve_hands_them_over():
    body = instances(b"a", b"b")
    for form in (
        body,
        json.dumps(body),
        json.dumps(body).encode(),
        bytearray(json.dumps(body), "utf-8"),
    ):
        assert read({"body": form}) == Payload([b"a", b"b"], many=True)


def test_one_instance_still_answers_with_a_list():
    assert read({"body": instances(b"a")}).many


def test_a_bad_instance_is_an_error_of_its_own():
    body = {"instances": [{"b64": "YQ=="}, {"b64": "not base64!"}, {"b64": 3}, "x"]}
    good, *bad = read({"body": body}).images
    assert good == b"a"
    assert all(isinstance(error, BadImage) for error in bad)


@pytest.mark.parametrize(
    "body", [b"{broken", b"{}", b"[1, 2]", {"instances": []}, {"instances": 3}, b"[" * 100_000]
)
def test_json_of_another_form_is_refused(body):
    with pytest.raises(BadRequest):
        read({"body": body})


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [{"b64": ' + b"9" * 10_000 + b"}]}",
        b'{"instances":' * 20_000,
        b'{"instances": [{"b64": "YQ=="}], "instances": []}',
        b'{"instances": NaN}',
        b'{"\xff": 1}',
        '{"instances": "\ud800"}',
    ],
    ids=["long number", "deep", "key given twice", "no list", "no UTF-8", "half a character"],
)
def test_hostile_json_is_refused(body):
    with pytest.raises(BadRequest):
        read({"body": body})


def test_half_a_character_is_some_bytes_and_no_error():
    assert read({"body": "\ud800"}).images == [b"\xed\xa0\x80"]
    assert isinstance(read({"body": {"instances": [{"b64": "\ud800"}]}}).images[0], BadImage)


def test_the_last_of_two_equal_keys_counts():
    body = b'{"instances": [{"b64": "YQ=="}], "instances": [{"b64": "YQ==", "b64": "Yg=="}]}'
    assert read({"body": body}).images == [b"b"]


def test_huge_base64_is_taken_out_for_the_images_own_limit():
    body = {"instances": [{"b64": "A" * 40_000_000}]}
    assert read({"body": body}).images == [bytes(30_000_000)]


def test_part_names_are_names_and_never_paths():
    names = ("../../etc/passwd", "/etc/passwd", "..\\..\\x", "a\0b", "")
    parts = dict.fromkeys(names, b"x")
    assert read_payload(parts, NOTHING_ASKED, max_images=5) == Payload([b"x"] * 5, many=True)


def test_a_tensor_of_images_is_read_however_torchserve_hands_it_over():
    body = tensor(b"a", b"b")
    for form in (body, json.dumps(body), json.dumps(body).encode()):
        payload = read({"body": form})
        assert (payload.images, payload.many) == ([b"a", b"b"], True)
        assert payload.inference.answer("m", "1.0", [{"x": 1}, {"x": 2}]) == {
            "id": "7",
            "model_name": "m",
            "model_version": "1.0",
            "outputs": [
                {
                    "name": "predictions",
                    "shape": [2],
                    "datatype": "BYTES",
                    "data": ['{"x": 1}', '{"x": 2}'],
                }
            ],
        }


def test_a_tensor_s_bad_element_is_an_error_of_its_own():
    data = ["YQ==", "not base64!", 3, None, "\ud800", [], {"b64": "YQ=="}]
    images = read_payload(
        {"body": tensor(shape=[7], data=data)}, NOTHING_ASKED, max_images=7
    ).images
    assert images[0] == b"a"
    assert all(isinstance(error, BadImage) for error in images[1:])


def test_a_request_without_an_id_is_answered_without_one():
    for body in ({**tensor(b"a"), "id": None}, {"inputs": tensor(b"a")["inputs"]}):
        assert "id" not in read({"body": body}).inference.answer("m", "1.0", [])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"inputs": []}, "form"),
        ({"inputs": tensor(b"a")["inputs"] * 2}, "form"),
        ({"inputs": {}}, "form"),
        ({"inputs": ["x"]}, "form"),
        ({"inputs": None, "instances": [{"b64": "YQ=="}]}, "form"),
        ({**tensor(b"a"), "id": 7}, "id"),
        (tensor(b"a", datatype="UINT8"), "datatype"),
        (tensor(b"a", datatype=None), "datatype"),
        (tensor(b"a", datatype=["BYTES"]), "datatype"),
        (tensor(b"a", shape=[2]), "shape"),
        (tensor(b"a", shape=[True]), "shape"),
        (tensor(b"a", shape=[1.0]), "shape"),
        (tensor(b"a", shape=[-1]), "shape"),
        (tensor(b"a", shape=[1, 1]), "form"),
        (tensor(b"a", shape=1), "form"),
        (tensor(), "form"),
        (tensor(b"a", data="YQ=="), "form"),
        (tensor(b"a", data=[]), "form"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_a_malformed_tensor_is_refused_with_what_is_wrong(body, named):
    with pytest.raises(BadRequest, match=named):
        read({"body": body})


def test_no_part_at_all_is_refused():
    with pytest.raises(BadRequest):
        read({})


def test_too_many_images_are_refused():
    for body in (instances(*[b"a"] * 5), tensor(*[b"a"] * 5)):
        with pytest.raises(TooManyImages) as refusal:
            read({"body": body})
        assert refusal.value.code == 413


def test_a_url_encoded_body_is_refused_with_the_remedy():
    options = read_options({"Content-Type": "application/x-www-form-urlencoded"})
    with pytest.raises(BadRequest, match="-T FILE"):
        read_payload({"x": b"y"}, options, max_images=4)


def test_headers_are_read_in_any_spelling():
    options = read_options({"x-INCLUDE": "Attribution , features", "explain": "True"})
    assert options.features
    assert options.attribution
    assert options.heatmap
    assert not options.png
    assert read_options({"explain": "True", "ACCEPT": "image/png"}).png
    assert not read_options({"Accept": "image/png"}).png


def test_a_form_part_named_like_a_header_asks_for_nothing():
    assert read_options({"explain": {"content-type": "x"}, "describe": {}}) == NOTHING_ASKED


# JSON may hold half a character; `text` leaves those out unless asked.
TEXTS = st.text(st.characters(exclude_categories=()))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda values: (
        st.lists(values, max_size=4)
        | st.dictionaries(
            st.sampled_from(["instances", "b64", "x"]) | st.text(), values, max_size=4
        )
    ),
)


# What nearly is a tensor of images; any of its fields may be missing or anything.
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON_VALUES,
        "inputs": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "datatype": st.just("BYTES") | JSON_VALUES,
                    "shape": st.lists(st.integers(0, 4), max_size=2) | JSON_VALUES,
                    "data": st.lists(st.just("YQ==") | JSON_VALUES, max_size=5) | JSON_VALUES,
                },
            ),
            max_size=2,
        )
        | JSON_VALUES,
    },
)


@given(TENSORS)
def test_any_tensor_is_read_with_an_answer_for_each_element_or_refused(body):
    try:
        payload = read({"body": json.dumps(body).encode()})
    except RequestError:
        return
    assert body["inputs"][0]["shape"] == [len(payload.images)]
    answer = payload.inference.answer("m", "1.0", [{}] * len(payload.images))
    assert answer.get("id") == body.get("id")
    assert answer["outputs"][0]["shape"] == [len(answer["outputs"][0]["data"])]


@given(st.dictionaries(st.text(max_size=6), JSON_VALUES | st.binary(), max_size=5))
def test_any_parts_are_read_or_refused_and_nothing_else(parts):
    try:
        payload = read(parts)
    except RequestError:
        return
    assert payload.images
    assert all(isinstance(image, bytes | RequestError) for image in payload.images)
