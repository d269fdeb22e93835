"""The open inference protocol, KServe's v2: images in one input tensor, answers in one output.

The protocol's REST form is described in KServe's `open-inference-protocol`. Images are base64
text in a tensor of type BYTES, as in KServe's own examples of images.
"""

import json
from dataclasses import dataclass
from typing import Any

from handler.errors import BadRequest

FORM = (
    '{"inputs": [{"name": "images", "shape": [2], "datatype": "BYTES", '
    '"data": ["<base64>", "<base64>"]}]}'
)


@dataclass(frozen=True)
class InferenceRequest:
    """What a request of this form holds.

    Attributes
    ----------
    id : str or None
        The client's own, which the answer repeats.
    data : list
        The elements of the input tensor; each should be a base64 text.
    """

    id: str | None
    data: list[Any]

    def answer(self, name: str, version: str, predictions: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the response object.

        Parameters
        ----------
        name, version : str
            The model's.
        predictions : list of dict
            One for each element of the input, each of which becomes a JSON text.
        """
        output = {
            "name": "predictions",
            "shape": [len(predictions)],
            "datatype": "BYTES",
            "data": [json.dumps(prediction) for prediction in predictions],
        }
        answer = {"model_name": name, "model_version": version, "outputs": [output]}
        return answer if self.id is None else {"id": self.id, **answer}


def read_inference(body: dict[str, Any]) -> InferenceRequest:
    """Read a request object, one that has "inputs".

    Raises
    ------
    BadRequest
        It has not the form of the protocol, or not the one tensor that this model takes.
    """
    match body:
        case {"id": sent} if sent is not None and not isinstance(sent, str):
            raise BadRequest('The "id" of a request must be a text.')
        case {"inputs": [{"datatype": "BYTES", "shape": [n], "data": [_, *_] as data}]}:
            # true is an int to Python, and 1.0 equals 1.
            if type(n) is not int or n != len(data):
                raise BadRequest(
                    f'The "data" of the input has {len(data)} elements, so its "shape" must be '
                    f"[{len(data)}]."
                )
            return InferenceRequest(body.get("id"), data)
        case {"inputs": [{"datatype": datatype}]} if datatype != "BYTES":
            raise BadRequest(
                'The "datatype" of the input must be "BYTES", and each element an image file in '
                f"base64. A request has the form {FORM}."
            )
    raise BadRequest(f"A request of the open inference protocol must have the form {FORM}.")
