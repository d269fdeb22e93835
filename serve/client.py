"""The inference API, typed."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image

from handler.identity import ModelId
from handler.warning import ImageWarning
from serve.api import Api
from serve.errors import ImageRefused, ServeError
from serve.settings import MODEL_NAME, Settings
from serve.tokens import TokenSource, tokens_for

ImageSource = str | Path | bytes | Image.Image


@dataclass(frozen=True)
class Prediction:
    """The answer for one image; see the inference contract in the README.

    Attributes
    ----------
    label : str
        "benign" or "malignant": the side of the SVM's threshold.
    probability : float
        Calibrated probability of malignancy, 0 to 1.
    verdict : str
        "benign", "malignant", "uncertain" or "rejected".
    decision : float
        The SVM's signed distance, positive = malignant.
    warnings : list of ImageWarning
    model : ModelId
        What answered.
    features : ndarray of float32, shape (512,), or None
    heatmap : bytes or None
        A PNG of the image's size.
    field : bytes or None
        A JPEG of the image as the model read it, of the heat map's size.
    """

    label: str
    probability: float
    verdict: str
    decision: float
    warnings: list[ImageWarning]
    model: ModelId
    features: np.ndarray | None = None
    heatmap: bytes | None = None
    field: bytes | None = None

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> "Prediction":
        """Read the contract's object."""
        # A later service may say more than this client knows of.
        known = {f.name: answer[f.name] for f in fields(cls) if f.name in answer}
        known["warnings"] = [ImageWarning(w["code"], w["message"]) for w in answer["warnings"]]
        known["model"] = ModelId(*(answer["model"][part] for part in ("name", "version", "sha256")))
        if "features" in known:
            known["features"] = np.array(known["features"], dtype=np.float32)
        for picture in {"heatmap", "field"} & known.keys():
            known[picture] = base64.b64decode(known[picture])
        return cls(**known)


class Client:
    """Sends images to the service.

    May be shared by threads.

    Parameters
    ----------
    url : str
        Base address of the inference API.
    tokens : TokenSource
    timeout : float
        Seconds to wait for a connection, and for each answer.
    version : str, optional
        Version of the model to ask; the default version if not given.
    """

    def __init__(
        self, url: str, tokens: TokenSource, timeout: float = 150, version: str | None = None
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
    ) -> Prediction:
        """Classify one image.

        Parameters
        ----------
        image : path, bytes of an image file, or PIL image
        features, heatmap, field : bool
            Extras to include.

        Raises
        ------
        ImageRefused
            The image can't be used.
        ServiceDown, ServiceBusy, TokenRefused, RequestRefused
        """
        headers = _include(features, heatmap, field)
        response = self._post("predictions", data=_encoded(image), headers=headers)
        return Prediction.from_json(response.json())

    def predict_many(
        self,
        images: Sequence[ImageSource],
        features: bool = False,
        heatmap: bool = False,
        field: bool = False,
    ) -> list[Prediction | ImageRefused]:
        """Classify several images in one request.

        Parameters
        ----------
        images : sequence of path, bytes, or PIL image
            As many as the service takes in one request (64 by default).
        features, heatmap, field : bool
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
        headers = _include(features, heatmap, field)
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

    def is_healthy(self) -> bool:
        """Tell whether the service answers and has its workers."""
        try:
            return self._api.send("GET", "/ping", timeout=5).json()["status"] == "Healthy"
        except ServeError:
            return False

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


def _include(features: bool, heatmap: bool, field: bool) -> dict[str, str]:
    asked = {"features": features, "heatmap": heatmap, "field": field}
    extras = [name for name in asked if asked[name]]
    return {"X-Include": ",".join(extras)} if extras else {}
