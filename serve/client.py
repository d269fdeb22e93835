"""The inference API, typed."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image

from handler import MODEL_NAME
from handler.prediction import Prediction
from serve.api import Api
from serve.errors import ImageRefused
from serve.settings import Settings
from serve.tokens import TokenSource, tokens_for

ImageSource = str | Path | bytes | Image.Image


class Client:
    """Sends images to the service.

    May be shared by threads.

    Parameters
    ----------
    url : str
        Base address of the inference API.
    tokens : TokenSource
    timeout : float
        Seconds to wait for a connection, and for each answer: longer than a request takes, and
        half as long as TorchServe needs to notice that a worker is stuck, and to start another.
    version : str, optional
        Version of the model to ask; the default version if not given.
    """

    def __init__(
        self, url: str, tokens: TokenSource, timeout: float = 90, version: str | None = None
    ) -> None:
        self._api = Api(url, tokens, "inference", timeout)
        self._model = f"{MODEL_NAME}/{version}" if version else MODEL_NAME

    @classmethod
    def from_settings(cls, settings: Settings, version: str | None = None) -> "Client":
        """Make a client of the service that runs, or will run, with these settings."""
        return cls(settings.inference_url, tokens_for(settings), version=version)

    def predict(
        self,
        image: ImageSource,
        features: bool = False,
        heatmap: bool = False,
        field: bool = False,
        attribution: bool = False,
    ) -> Prediction:
        """Classify one image.

        Parameters
        ----------
        image : path, bytes of an image file, or PIL image
        features, heatmap, field, attribution : bool
            Extras to include.

        Raises
        ------
        ImageRefused
            The image can't be used.
        ServiceDown, ServiceBusy, TokenRefused, RequestRefused
        """
        headers = _include(features, heatmap, field, attribution)
        response = self._post("predictions", data=_encoded(image), headers=headers)
        return Prediction.from_json(response.json())

    def predict_many(
        self,
        images: Sequence[ImageSource],
        features: bool = False,
        heatmap: bool = False,
        field: bool = False,
        attribution: bool = False,
    ) -> list[Prediction | ImageRefused]:
        """Classify several images in one request.

        Parameters
        ----------
        images : sequence of path, bytes, or PIL image
            As many as the service takes in one request (64 by default).
        features, heatmap, field, attribution : bool
            Extras to include.

        Returns
        -------
        list of Prediction or ImageRefused
            In the order of `images`; an error for an image that can't be used.

        Raises
        ------
        ServiceDown, ServiceBusy, TokenRefused, RequestRefused
        """
        instances = [{"b64": base64.b64encode(_encoded(im)).decode("ascii")} for im in images]
        if not instances:
            return []
        headers = _include(features, heatmap, field, attribution)
        response = self._post("predictions", json={"instances": instances}, headers=headers)
        return [
            ImageRefused(**answer) if "code" in answer else Prediction.from_json(answer)
            for answer in response.json()["predictions"]
        ]

    def explain(self, image: ImageSource) -> bytes:
        """Return the heat map over the image, as a PNG.

        Raises
        ------
        ImageRefused, ServiceDown, ServiceBusy, TokenRefused, RequestRefused
        """
        headers = {"Accept": "image/png"}
        return self._post("explanations", data=_encoded(image), headers=headers).content

    def features(self, image: ImageSource) -> np.ndarray:
        """Return the image's features, float32 of shape (512,).

        Raises
        ------
        ImageRefused, ServiceDown, ServiceBusy, TokenRefused, RequestRefused
        """
        features = self.predict(image, features=True).features
        assert features is not None  # they were asked for
        return features

    def _post(self, api: str, **request: Any) -> requests.Response:
        return self._api.send("POST", f"/{api}/{self._model}", **request)


def _encoded(image: ImageSource) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()
    return Path(image).read_bytes()


def _include(features: bool, heatmap: bool, field: bool, attribution: bool) -> dict[str, str]:
    asked = {
        "features": features,
        "heatmap": heatmap,
        "field": field,
        "attribution": attribution,
    }
    extras = [name for name in asked if asked[name]]
    return {"X-Include": ",".join(extras)} if extras else {}
