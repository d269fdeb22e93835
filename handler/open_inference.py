"""The open inference protocol, KServe's v2: images in one input tensor, answers in one output.

The protocol's REST form is described in KServe's `open-inference-protocol`. Images are elements of
a tensor of type BYTES: base64 texts in the JSON, as in KServe's own examples of images, or bytes
that follow the JSON, by the protocol's `binary tensor data extension`. The answer has one of these
two forms, too, the one that was asked for.
"""

import json
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from handler.errors import BadRequest, TooManyImages

FORM = (
    '{"inputs": [{"name": "images", "shape": [2], "datatype": "BYTES", '
    '"data": ["<base64>", "<base64>"]}]}'
)
OUTPUT = "predictions"
# States how many bytes of a body are JSON, if tensors follow it.
LENGTH_HEADER = "Inference-Header-Content-Length"
# Before each element of a binary tensor of type BYTES: how many bytes it has.
ELEMENT_LENGTH = struct.Struct("<I")
# More digits than any body's length has; Python needs long for thousands of them.
MAX_DIGITS = 12


@dataclass(frozen=True)
class InferenceAnswer:
    """A response: its body, content type, and further headers."""

    body: str | bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InferenceRequest:
    """What a request of this form holds.

    Attributes
    ----------
    id : str or None
        The client's own, which the answer repeats.
    data : list
        The elements of the input tensor: an image's bytes where the tensor is binary, else what
        should be a base64 text.
    binary : bool
        Whether the answer's tensor is to be binary.
    """

    id: str | None
    data: list[Any]
    binary: bool = False

    def answer(self, name: str, version: str, predictions: list[dict[str, Any]]) -> InferenceAnswer:
        """Return the response.

        Parameters
        ----------
        name, version : str
            The model's.
        predictions : list of dict
            One for each element of the input, each of which becomes a JSON text.
        """
        texts = [json.dumps(prediction) for prediction in predictions]
        output: dict[str, Any] = {"name": OUTPUT, "shape": [len(texts)], "datatype": "BYTES"}
        answer: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": [output]}
        if self.id is not None:
            answer = {"id": self.id, **answer}
        if not self.binary:
            output["data"] = texts
            return InferenceAnswer(json.dumps(answer))
        elements = [text.encode() for text in texts]
        tensor = b"".join(ELEMENT_LENGTH.pack(len(each)) + each for each in elements)
        output["parameters"] = {"binary_data_size": len(tensor)}
        head = json.dumps(answer).encode()
        return InferenceAnswer(
            head + tensor, "application/octet-stream", {LENGTH_HEADER: str(len(head))}
        )


def split(body: bytes, json_length: str) -> tuple[Any, bytes]:
    """Part the JSON of a body from the bytes that follow it.

    Parameters
    ----------
    body : bytes
    json_length : str
        The header that says how many bytes are JSON.

    Returns
    -------
    value : Any
        The JSON's.
    binary : bytes
        What follows.

    Raises
    ------
    BadRequest
        The header is no such number, or that many bytes are not JSON.
    """
    is_number = json_length.isascii() and json_length.isdigit() and len(json_length) <= MAX_DIGITS
    if not is_number or int(json_length) > len(body):
        raise BadRequest(
            f"The header {LENGTH_HEADER} must say how many bytes of the body, which has "
            f"{len(body)}, are JSON. Send no such header if no binary tensor follows the JSON."
        )
    length = int(json_length)
    try:
        return json.loads(body[:length]), body[length:]
    except (ValueError, RecursionError):
        raise BadRequest(
            f"The first {length} bytes of the body, which the header {LENGTH_HEADER} says are "
            "JSON, are not valid JSON."
        ) from None


def read_inference(body: dict[str, Any], binary: bytes, max_images: int) -> InferenceRequest:
    """Read a request.

    Parameters
    ----------
    body : dict
        The request object.
    binary : bytes
        What followed it.
    max_images : int
        Most elements that the tensor may have.

    Raises
    ------
    BadRequest
        It has not the form of the protocol, or not the one tensor that this model takes.
    TooManyImages
        A binary tensor has more than `max_images` elements.
    """
    match body:
        case {"id": sent} if sent is not None and not isinstance(sent, str):
            raise BadRequest('The "id" of a request must be a text.')
        # true is an int to Python, and 1.0 equals 1.
        case {"inputs": [{"datatype": "BYTES", "shape": [n], **tensor}]} if type(n) is int:
            data = _elements(tensor, n, binary, max_images)
            if n != len(data):
                raise BadRequest(
                    f'The "data" of the input has {len(data)} elements, so its "shape" must be '
                    f"[{len(data)}]."
                )
            return InferenceRequest(body.get("id"), data, _wants_binary(body))
        case {"inputs": [{"datatype": datatype}]} if datatype != "BYTES":
            raise BadRequest(
                'The "datatype" of the input must be "BYTES", and each element an image file. '
                f"A request has the form {FORM}."
            )
    raise _malformed()


def _elements(tensor: dict[Any, Any], n: int, binary: bytes, max_images: int) -> list[Any]:
    """Return the elements of the input, wherever they are."""
    match tensor:
        case {"data": _, "parameters": {"binary_data_size": _}}:
            raise BadRequest(
                'The input has both "data" and "binary_data_size". Send its elements either in '
                "the JSON or after it."
            )
        case {"parameters": {"binary_data_size": size}}:
            if type(size) is not int or size != len(binary):
                raise BadRequest(
                    f'The "binary_data_size" of the input must be {len(binary)}: that many bytes '
                    f"follow the JSON, whose length the header {LENGTH_HEADER} states."
                )
            # Before they are taken apart: a body holds millions of empty elements.
            if n > max_images:
                raise TooManyImages(n, max_images)
            return _take_apart(binary, n)
        case {"data": [_, *_] as data} if not binary:
            return data
        case {"data": _} if binary:
            raise BadRequest(
                f'{len(binary)} bytes follow the JSON, and the input has no "binary_data_size" '
                'among its "parameters" to say that they are its elements.'
            )
    raise _malformed()


def _take_apart(binary: bytes, n: int) -> list[bytes]:
    """Return the elements of a binary tensor of type BYTES."""
    elements: list[bytes] = []
    at = 0
    with suppress(struct.error):  # no length is left to read
        for _ in range(n):
            (length,) = ELEMENT_LENGTH.unpack_from(binary, at)
            start = at + ELEMENT_LENGTH.size
            at = start + length
            elements.append(binary[start:at])
    if not elements or len(elements) != n or at != len(binary):
        raise BadRequest(
            f'The {len(binary)} bytes that follow the JSON are not {n} elements, as the "shape" '
            "says. Each element must be its length, an unsigned little-endian integer of 4 bytes, "
            "followed by that many bytes of an image file."
        )
    return elements


def _wants_binary(body: dict[str, Any]) -> bool:
    """Tell whether the answer is to be binary; what is said of the one output counts first."""
    match body:
        case {"outputs": [{"name": name}]} if name != OUTPUT:
            raise BadRequest(f'The one output of this model is called "{OUTPUT}".')
        case {"outputs": [{"parameters": {"binary_data": wanted}}]}:
            return wanted is True
        case {"parameters": {"binary_data_output": wanted}}:
            return wanted is True
    return False


def _malformed() -> BadRequest:
    return BadRequest(f"A request of the open inference protocol must have the form {FORM}.")
