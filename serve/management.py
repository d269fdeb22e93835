"""The management API, typed."""

from dataclasses import dataclass
from typing import Any

import requests

from handler import MODEL_NAME
from serve.api import Api
from serve.errors import NotRunning, RequestRefused, ServeError, ServiceDown, VersionError
from serve.settings import Settings
from serve.tokens import TokenSource, tokens_for

MODEL = f"/models/{MODEL_NAME}"

# A worker may take startupTimeout of the handler's configuration to load a model.
LOAD_SECONDS = 180


@dataclass(frozen=True)
class Version:
    """One registered version of the model.

    Attributes
    ----------
    version : str
        As in the archive's manifest.
    archive : str
        File name in the model store.
    default : bool
        Whether it answers requests that name no version.
    min_workers : int
        How many workers it should have.
    workers : dict of int to str
        Their states, "READY" or another, by process id.
    queued : int
        Requests that wait for a worker.
    """

    version: str
    archive: str
    default: bool
    min_workers: int
    workers: dict[int, str]
    queued: int

    @property
    def ready(self) -> set[int]:
        """Process ids of the workers that have loaded the model."""
        return {pid for pid, state in self.workers.items() if state == "READY"}


class Management:
    """Asks TorchServe about the model's versions, and changes them.

    Every method raises the errors of `serve.api.Api.send` besides its own.

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
        return cls(settings.management_url, tokens_for(settings))

    def describe(self, version: str | None = None) -> dict[str, Any]:
        """Return TorchServe's description of a version, or of the default one.

        Its ``customizedMetadata`` is the model's own: identity, engine, manifest,
        figures, card, and the process id of the worker that answers. The request
        waits in the version's queue, behind images.
        """
        path = f"{MODEL}/{version}" if version else MODEL
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
        """Tell whether a worker has loaded the model; ``/ping`` is healthy without one, too.

        Raises
        ------
        RequestRefused
            TorchServe runs without the model.
        """
        try:
            (model,) = self._api.send("GET", MODEL, timeout=5).json()
        except (ServiceDown, NotRunning):
            return False
        return any(worker["status"] == "READY" for worker in model["workers"])

    def versions(self) -> list[Version]:
        """Return the registered versions, in their order."""
        (default,) = self._api.send("GET", MODEL).json()
        registered = [
            Version(
                entry["modelVersion"],
                entry["modelUrl"],
                entry["modelVersion"] == default["modelVersion"],
                entry["minWorkers"],
                {worker["pid"]: worker["status"] for worker in entry["workers"]},
                entry["jobQueueStatus"]["pendingRequests"],
            )
            for entry in self._api.send("GET", f"{MODEL}/all").json()
        ]
        return sorted(registered, key=lambda version: float(version.version))

    def version(self, version: str) -> Version:
        """Return one version.

        Raises
        ------
        VersionError
            It is not registered.
        """
        registered = {each.version: each for each in self.versions()}
        if version not in registered:
            raise VersionError(
                f"Version {version} is not registered, but {', '.join(registered)}. "
                "Register it with: breakhis models register ARCHIVE"
            )
        return registered[version]

    def default(self) -> Version:
        """Return the version that answers requests that name none."""
        return next(version for version in self.versions() if version.default)

    def register(self, archive: str) -> None:
        """Register the version in an archive and wait until its workers have loaded it.

        It gets as many workers as the archive's configuration says, whatever TorchServe
        is asked for.

        Parameters
        ----------
        archive : str
            File name in the model store.

        Raises
        ------
        VersionError
            The version, or another one that is the same number, is registered already; or the
            archive or its model can't be used. Nothing was registered.
        """
        request = {"url": archive, "initial_workers": 1, "synchronous": "true"}
        try:
            self._api.send("POST", "/models", params=request, timeout=LOAD_SECONDS)
        except RequestRefused as error:
            if error.code == requests.codes.conflict:
                raise VersionError(
                    f"The version in {archive} is registered already. Make it the default with "
                    "breakhis models default VERSION, or build another version."
                ) from None
            raise VersionError(
                f"TorchServe could not load {archive} ({error}). The reason is in logs/model.log "
                "in the run folder. Build the archive again."
            ) from None

    def set_default(self, version: str) -> None:
        """Let a version answer requests that name none; takes effect at once.

        Raises
        ------
        VersionError
            It is not registered.
        """
        self.version(version)
        self._api.send("PUT", f"{MODEL}/{version}/set-default")

    def scale(self, version: str, workers: int) -> None:
        """Give a version as many workers, and wait for them.

        Raises
        ------
        VersionError
            It is not registered, or the workers did not start.
        """
        self.version(version)
        request = {"min_worker": workers, "max_worker": workers, "synchronous": "true"}
        try:
            self._api.send("PUT", f"{MODEL}/{version}", params=request, timeout=LOAD_SECONDS)
        except RequestRefused as error:
            raise VersionError(
                f"TorchServe could not start the workers of version {version} ({error}). The "
                "reason is in logs/model.log in the run folder."
            ) from None

    def unregister(self, version: str) -> None:
        """Remove a version and end its workers, with whatever they work on.

        Raises
        ------
        VersionError
            It is not registered, or is the default.
        """
        self.require_not_default(version)
        self._api.send("DELETE", f"{MODEL}/{version}")

    def require_not_default(self, version: str) -> None:
        """Raise VersionError if a version is not registered, or is the default."""
        if self.version(version).default:
            raise VersionError(
                f"Version {version} is the default, which must stay. Make another version the "
                "default first: breakhis models default VERSION"
            )
