"""What a request holds: the images in its body, and what its headers ask for."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from handler.errors import BadImage, BadRequest, RequestError, TooManyImages
from handler.open_inference import FORM, LENGTH_HEADER, InferenceRequest, read_inference, split

# TorchServe's name for a body that is not a form.
BODY = ("body", "data")
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/"


@dataclass(frozen=True)
class Options:
    """What the headers of one request ask for.

    Attributes
    ----------
    features, heatmap, field, attribution : bool
        Extras with each prediction.
    png : bool
        Whether a bare PNG of the heat map is the answer.
    describe : bool
        Whether the model's description is the answer; TorchServe's management API
        asks so.
    urlencoded : bool
        Whether the body is declared as a URL-encoded form, which ruins an image.
    form : bool
        Whether the body is declared as a form of parts.
    json_length : str or None
        How many bytes of the body are JSON, as stated by a request whose images follow it.
    """

    features: bool
    heatmap: bool
    field: bool
    attribution: bool
    png: bool
    describe: bool
    urlencoded: bool
    form: bool
    json_length: str | None


@dataclass(frozen=True)
class Payload:
    """The images of one request.

    Attributes
    ----------
    images : list of bytes or RequestError
        In the order sent; an error where an image could not even be taken out.
    many : bool
        Whether the answer is a list: of all requests but those whose body is an image.
    inference : InferenceRequest or None
        A request in the open inference protocol, which has an answer of its own.
    """

    images: list[bytes | RequestError]
    many: bool
    inference: InferenceRequest | None = None


def read_options(headers: dict[str, Any]) -> Options:
    """Read the headers of one request.

    Parameters
    ----------
    headers : dict
        As TorchServe hands them over: header name, as the client spelt it, to value,
        and form part name to a dict with the part's content type.
    """
    sent = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
    explain = sent.get("explain") == "True"
    content_type = sent.get("content-type", "").lower()
    include = {extra.strip().lower() for extra in sent.get("x-include", "").split(",")}
    return Options(
        features="features" in include,
        heatmap=explain or "heatmap" in include,
        field="field" in include,
        attribution="attribution" in include,
        png=explain and "image/png" in sent.get("accept", ""),
        describe=sent.get("describe") == "True",
        urlencoded=content_type.startswith(URLENCODED),
        # Without a boundary TorchServe sees no form, and hands the body on as it is.
        form=content_type.startswith(MULTIPART) and "boundary=" in content_type,
        json_length=sent.get(LENGTH_HEADER.lower()),
    )


def read_payload(parts: dict[str, Any], options: Options, max_images: int) -> Payload:
    """Take the images out of one request.

    Parameters
    ----------
    parts : dict
        As TorchServe hands it over: part name to bytes, to str (a text part), or
        to a decoded JSON value (a JSON body).
    options : Options
        The same request's.
    max_images : int
        Most images that one request may carry.

    Raises
    ------
    BadRequest
        There is no image in any form that the service reads.
    TooManyImages
        There are more than `max_images`.
    """
    if options.urlencoded:
        raise BadRequest(
            f"The body is declared as {URLENCODED}, and its bytes were lost in decoding that. "
            "Send the image with Content-Type: application/octet-stream; with curl, use -T FILE."
        )
    if not parts:
        raise BadRequest("The request has no body. Send an image as the body or as a form part.")
    if options.form or len(parts) > 1 or not set(parts) & set(BODY):
        payload = Payload([_to_bytes(part) for part in parts.values()], many=True)
    else:
        (body,) = parts.values()
        payload = _read_body(body, options.json_length, max_images)
    if len(payload.images) > max_images:
        raise TooManyImages(len(payload.images), max_images)
    return payload


def _read_body(body: Any, json_length: str | None, max_images: int) -> Payload:
    binary = b""
    if json_length is not None:
        body, binary = split(_to_bytes(body), json_length)
    elif isinstance(body, str | bytes | bytearray):
        # No image format starts with a brace or a bracket.
        if _to_bytes(body[:64]).lstrip()[:1] not in (b"{", b"["):
            return Payload([_to_bytes(body)], many=False)
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequest("The body looks like JSON but is not valid JSON.") from None
    if isinstance(body, dict) and ("inputs" in body or json_length is not None):
        inference = read_inference(body, binary, max_images)
        return Payload([_decode(each) for each in inference.data], True, inference)
    instances = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(instances, list) or not instances:
        raise BadRequest(
            'A JSON body must have the form {"instances": [{"b64": "..."}]}, or that of the open '
            f"inference protocol, {FORM}."
        )
    return Payload([_decode_instance(instance) for instance in instances], many=True)


def _to_bytes(part: Any) -> bytes:
    """Undo TorchServe's decoding of text parts and JSON parts."""
    if isinstance(part, bytes | bytearray):
        return bytes(part)
    text = part if isinstance(part, str) else json.dumps(part)
    # JSON may hold half a character, which UTF-8 can't; no image comes of it either way.
    return text.encode("utf-8", "surrogatepass")


def _decode_instance(instance: Any) -> bytes | BadImage:
    if not isinstance(instance, dict) or "b64" not in instance:
        return BadImage('Each instance must have the form {"b64": "..."}.')
    return _decode(instance["b64"])


def _decode(image: Any) -> bytes | BadImage:
    if isinstance(image, bytes):  # of a binary tensor
        return image
    try:
        return base64.b64decode(image, validate=True)
    except (TypeError, ValueError):  # no text, or no base64
        return BadImage("This is not a text of valid base64. Encode the image file's bytes.")
