"""The management API, typed."""

from typing import Any

from serve.api import Api, TokenSource
from serve.errors import NotRunning, RequestRefused, ServeError, ServiceDown
from serve.settings import MODEL_NAME, Settings
from serve.tokens import Tokens


class Management:
    """Asks TorchServe about the model that it serves.

    Parameters
    ----------
    url : str
        Base address of the management API.
    tokens : TokenSource
    """

    def __init__(self, url: str, tokens: TokenSource) -> None:
        self._api = Api(url, tokens, "management")

    @classmethod
    def from_settings(cls, settings: Settings) -> "Management":
        """Manage the service that runs, or will run, with these settings."""
        return cls(settings.management_url, Tokens(settings.key_file, settings.management_url))

    def describe(self) -> dict[str, Any]:
        """Return TorchServe's description of the model.

        Its ``customizedMetadata`` is the model's own: identity, engine, manifest,
        figures and card.

        Raises
        ------
        ServeError
            See `serve.api.Api.send`.
        """
        path = f"/models/{MODEL_NAME}"
        return self._api.send("GET", path, params={"customized": "true"}).json()[0]

    def is_live(self) -> bool:
        """Tell whether TorchServe answers at all, with or without a model."""
        try:
            self._api.send("GET", "/models", timeout=5)
        except RequestRefused:
            pass
        except ServeError:
            return False
        return True

    def is_ready(self) -> bool:
        """Tell whether a worker has loaded the model.

        Raises
        ------
        RequestRefused
            TorchServe runs without the model.
        """
        try:
            (model,) = self._api.send("GET", f"/models/{MODEL_NAME}").json()
        except (ServiceDown, NotRunning):
            return False
        return any(worker["status"] == "READY" for worker in model["workers"])
