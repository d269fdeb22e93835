import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import BadImage, BadRequest, RequestError, TooManyImages
from handler.open_inference import LENGTH_HEADER
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


def test_a_form_is_a_list_however_many_parts_it_has():
    assert read({"anything": b"a"}) == Payload([b"a"], many=True)
    assert read({"one": b"a", "body": b"b"}) == Payload([b"a", b"b"], many=True)


@pytest.mark.parametrize("name", ["body", "data"])
def test_a_form_is_told_by_its_content_type_where_its_part_is_named_like_a_body(name):
    form = read_options({"content-TYPE": "Multipart/form-data; boundary=b"})
    assert read_payload({name: b"a"}, form, max_images=4) == Payload([b"a"], many=True)
    assert read_payload({name: b"{}"}, form, max_images=4) == Payload([b"{}"], many=True)
    assert read({name: b"a"}) == Payload([b"a"], many=False)


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
        answer = payload.inference.answer("m", "1.0", [{"x": 1}, {"x": 2}])
        assert (answer.content_type, answer.headers) == ("application/json", {})
        assert json.loads(answer.body) == {
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
        answer = read({"body": body}).inference.answer("m", "1.0", [])
        assert "id" not in json.loads(answer.body)


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
    answer = json.loads(payload.inference.answer("m", "1.0", [{}] * len(payload.images)).body)
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


def elements(*images: bytes) -> bytes:
    """A binary tensor of type BYTES."""
    return b"".join(struct.pack("<I", len(image)) + image for image in images)


def binary_request(
    tail: bytes, shape=(1,), size: object = None, length: object = None, **changed
) -> Payload:
    """Read a request whose tensor follows its JSON, with what it says of that changed."""
    parameters = {"binary_data_size": len(tail) if size is None else size}
    sent = {"name": "x", "shape": shape, "datatype": "BYTES", "parameters": parameters}
    head = json.dumps({"inputs": [sent], **changed}).encode()
    options = read_options({LENGTH_HEADER: str(len(head) if length is None else length)})
    return read_payload({"body": bytearray(head + tail)}, options, max_images=4)


@pytest.mark.parametrize("images", [[b"a"], [b"", b"\x89PNG", b"x" * 70_000], [b"{", b"YQ=="]])
def test_images_that_follow_the_json_are_taken_as_they_are(images):
    payload = binary_request(elements(*images), [len(images)])
    assert (payload.images, payload.many) == (images, True)


@pytest.mark.parametrize(
    ("asked", "binary"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"parameters": {"binary_data_output": False}}, False),
        ({"parameters": {"binary_data_output": "yes"}}, False),
        ({"outputs": [{"name": "predictions"}]}, False),
        ({"outputs": [{"name": "predictions", "parameters": {"binary_data": True}}]}, True),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "predictions", "parameters": {"binary_data": False}}],
            },
            False,
        ),
    ],
)
def test_the_answer_is_binary_if_that_was_asked_for(asked, binary):
    answer = binary_request(elements(b"a"), **asked).inference.answer("m", "1.0", [{"x": "\u00fc"}])
    if not binary:
        assert json.loads(answer.body)["outputs"][0]["data"] == ['{"x": "\\u00fc"}']
        assert not answer.headers
        return
    assert answer.content_type == "application/octet-stream"
    length = int(answer.headers[LENGTH_HEADER])
    head, tail = json.loads(answer.body[:length]), answer.body[length:]
    assert head["outputs"] == [
        {
            "name": "predictions",
            "shape": [1],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": len(tail)},
        }
    ]
    assert tail == elements(b'{"x": "\\u00fc"}')


ONE = elements(b"abc")


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"tail": b""}, "elements"),
        ({"tail": ONE[:3]}, "elements"),
        ({"tail": ONE[:-1]}, "elements"),
        ({"tail": ONE + b"x"}, "elements"),
        ({"tail": ONE + ONE}, "elements"),
        ({"tail": ONE, "shape": [2]}, "elements"),
        ({"tail": ONE, "shape": [0]}, "elements"),
        ({"tail": ONE, "shape": [-1]}, "elements"),
        ({"tail": ONE, "shape": [True]}, "form"),
        ({"tail": ONE, "shape": [1, 1]}, "form"),
        ({"tail": b"\xff\xff\xff\xff" + b"abc"}, "elements"),
        ({"tail": ONE, "size": 6}, "must be 7"),
        ({"tail": ONE, "size": 8}, "must be 7"),
        ({"tail": ONE, "size": -7}, "must be 7"),
        ({"tail": ONE, "size": 7.0}, "must be 7"),
        ({"tail": ONE, "size": "7"}, "must be 7"),
        ({"tail": ONE, "size": 10**4000}, "must be 7"),
        ({"tail": ONE, "length": 0}, "not valid JSON"),
        ({"tail": ONE, "length": 20}, "not valid JSON"),
        ({"tail": ONE, "length": 10_000}, "how many bytes"),
        ({"tail": ONE, "length": "9" * 5000}, "how many bytes"),
        ({"tail": ONE, "length": -1}, "how many bytes"),
        ({"tail": ONE, "length": "+1"}, "how many bytes"),
        ({"tail": ONE, "length": "\u0661"}, "how many bytes"),
        ({"tail": ONE, "length": "1_0"}, "how many bytes"),
        ({"tail": ONE, "length": ""}, "how many bytes"),
        ({"tail": ONE, "outputs": [{"name": "labels"}]}, "predictions"),
    ],
    ids=repr,
)
def test_a_binary_tensor_that_lies_is_refused_with_what_is_wrong(request_, named):
    with pytest.raises(BadRequest, match=named):
        binary_request(**request_)


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (b"{}", "form"),
        (b"[]", "form"),
        (b"7", "form"),
        (b'{"inputs": [{"datatype": "BYTES", "shape": [1], "data": ["YQ=="]}]}', "7 bytes follow"),
        (
            b'{"inputs": [{"datatype": "BYTES", "shape": [1], "data": ["YQ=="],'
            b' "parameters": {"binary_data_size": 7}}]}',
            "both",
        ),
        (b'{"instances": [{"b64": "YQ=="}]}', "form"),
        (b"{" * 100_000, "not valid JSON"),
        (b'{"\xff": 1}', "not valid JSON"),
        (b"\x89PNG", "not valid JSON"),
    ],
)
def test_json_before_a_tensor_that_says_nothing_of_it_is_refused(head, named):
    options = read_options({LENGTH_HEADER: str(len(head))})
    with pytest.raises(BadRequest, match=named):
        read_payload({"body": head + ONE}, options, max_images=4)


def test_a_binary_tensor_without_the_header_is_refused_with_its_name():
    body = tensor(b"a", parameters={"binary_data_size": 7})
    del body["inputs"][0]["data"]
    with pytest.raises(BadRequest, match=LENGTH_HEADER):
        read({"body": body})


def test_millions_of_empty_elements_are_too_many_before_they_are_taken_apart():
    n = 4_000_000
    with pytest.raises(TooManyImages, match="4000000 images; the limit is 4"):
        binary_request(bytes(4 * n), [n])
    with pytest.raises(BadRequest, match="elements"):
        binary_request(bytes(4 * n), [4])


def test_a_header_may_state_that_all_of_the_body_is_json():
    body = json.dumps(tensor(b"a")).encode()
    options = read_options({LENGTH_HEADER: str(len(body))})
    assert read_payload({"body": body}, options, max_images=4).images == [b"a"]


# By how much a number may lie; mostly it does not.
LIES = st.just(0) | st.integers(-40, 40)


@given(
    st.lists(st.binary(max_size=9), min_size=1, max_size=4),
    st.just(b"") | st.binary(max_size=9),
    LIES,
    LIES,
    LIES,
)
def test_any_binary_tensor_is_read_as_it_is_or_refused(images, junk, more, larger, longer):
    tail = elements(*images) + junk
    parameters = {"binary_data_size": len(tail) + larger}
    sent = {"shape": [len(images) + more], "datatype": "BYTES", "parameters": parameters}
    head = json.dumps({"inputs": [sent]}).encode()
    options = read_options({LENGTH_HEADER: str(len(head) + longer)})
    try:
        payload = read_payload({"body": head + tail}, options, max_images=4)
    except RequestError as error:
        assert junk or more or larger or longer
        assert error.code in (400, 413)
        return
    assert (larger, longer) == (0, 0)
    assert len(payload.images) == len(images) + more
    assert elements(*payload.images) == tail


@given(JSON_VALUES | TENSORS, st.binary(max_size=40), LIES)
def test_any_json_before_any_bytes_is_read_or_refused_and_nothing_else(value, tail, longer):
    head = json.dumps(value).encode()
    options = read_options({LENGTH_HEADER: str(len(head) + longer)})
    try:
        payload = read_payload({"body": head + tail}, options, max_images=4)
    except RequestError:
        return
    assert payload.many
    assert all(isinstance(image, bytes | RequestError) for image in payload.images)


@given(st.text())
def test_any_text_as_the_length_of_the_json_is_refused_unless_it_is_that(text):
    head = json.dumps(tensor(b"a")).encode()
    if text == str(len(head)):
        return
    with pytest.raises(BadRequest):
        read_payload({"body": head}, read_options({LENGTH_HEADER: text}), max_images=4)
