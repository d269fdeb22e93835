"""What a request holds: the images in its body, and what its headers ask for."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from handler.errors import BadImage, BadRequest, RequestError, TooManyImages

# TorchServe's name for a body that is not a form.
BODY = ("body", "data")
URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Options:
    """What the headers of one request ask for.

    Attributes
    ----------
    features, heatmap, field : bool
        Extras with each prediction.
    png : bool
        Whether a bare PNG of the heat map is the answer.
    describe : bool
        Whether the model's description is the answer; TorchServe's management API
        asks so.
    urlencoded : bool
        Whether the body is declared as a URL-encoded form, which ruins an image.
    """

    features: bool
    heatmap: bool
    field: bool
    png: bool
    describe: bool
    urlencoded: bool


@dataclass(frozen=True)
class Payload:
    """The images of one request.

    Attributes
    ----------
    images : list of bytes or RequestError
        In the order sent; an error where an image could not even be taken out.
    many : bool
        Whether the answer is a ``predictions`` list.
    """

    images: list[bytes | RequestError]
    many: bool


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
    include = {extra.strip().lower() for extra in sent.get("x-include", "").split(",")}
    return Options(
        features="features" in include,
        heatmap=explain or "heatmap" in include,
        field="field" in include,
        png=explain and "image/png" in sent.get("accept", ""),
        describe=sent.get("describe") == "True",
        urlencoded=sent.get("content-type", "").startswith(URLENCODED),
    )


def read_payload(parts: dict[str, Any], options: Options, max_images: int) -> Payload:
    """Take the images out of one request.

    Parameters
    ----------
    parts : dict
        As TorchServe hands it over: part name to bytes, to str (a text part), or
        to a decoded JSON value (a JSON body).
    options : Options
        Of the same request.
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
    is_form = len(parts) > 1 or not set(parts) & set(BODY)
    if is_form:
        images: list[bytes | RequestError] = [_to_bytes(part) for part in parts.values()]
        many = len(images) > 1
    else:
        (body,) = parts.values()
        instances = _instances(body)
        many = instances is not None
        images = [_to_bytes(body)] if instances is None else [_decode(item) for item in instances]
    if len(images) > max_images:
        raise TooManyImages(
            f"The request carries {len(images)} images; the limit is {max_images}. "
            "Send them in several requests."
        )
    return Payload(images, many)


def _to_bytes(part: Any) -> bytes:
    """Undo TorchServe's decoding of text parts and JSON parts."""
    if isinstance(part, bytes | bytearray):
        return bytes(part)
    text = part if isinstance(part, str) else json.dumps(part)
    # JSON may hold half a character, which UTF-8 can't; no image comes of it either way.
    return text.encode("utf-8", "surrogatepass")


def _instances(body: Any) -> list[Any] | None:
    """Return the instances of a JSON body, or None where the body is no JSON."""
    if isinstance(body, str | bytes | bytearray):
        # No image format starts with a brace or a bracket.
        if _to_bytes(body[:64]).lstrip()[:1] not in (b"{", b"["):
            return None
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequest("The body looks like JSON but is not valid JSON.") from None
    instances = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(instances, list) or not instances:
        raise BadRequest('A JSON body must have the form {"instances": [{"b64": "..."}]}.')
    return instances


def _decode(instance: Any) -> bytes | BadImage:
    text = instance.get("b64") if isinstance(instance, dict) else None
    if not isinstance(text, str):
        return BadImage('Each instance must have the form {"b64": "..."}.')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return BadImage("The value of b64 is not valid base64. Encode the image file's bytes.")
