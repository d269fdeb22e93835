"""TorchServe's keys, renewed before and after they expire.

TorchServe writes an inference, a management and an API key into one file. The
first two expire and are renewed only on request, with the API key; the new key
replaces the old one in the file. Several processes may share the file.
"""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

import requests

from serve.errors import NotRunning, ServiceDown, TokenRefused
from serve.settings import Settings

Kind = Literal["inference", "management"]

TIMEOUT_SECONDS = 10
READ_ATTEMPTS = 20
# A renewed key replaces the old one at once, so it is renewed while no request
# with the old one can still be under way for long.
RENEW_BEFORE = timedelta(seconds=60)


class TokenSource(Protocol):
    """Anything that hands out tokens."""

    def get(self, kind: Kind, refused: str | None = None) -> str:
        """Return a token, another one than `refused`."""
        ...


def tokens_for(settings: Settings) -> TokenSource:
    """Return what hands out tokens for the service that runs with these settings."""
    if settings.open_to_network:
        return NoTokens()
    return Tokens(settings.key_file, settings.management_url)


class NoTokens:
    """Stands for the tokens of a service that wants none."""

    def get(self, kind: Kind, refused: str | None = None) -> str:
        """Return an empty token, which such a service does not look at."""
        return ""


class Tokens:
    """Hands out valid keys.

    Parameters
    ----------
    key_file : Path
        TorchServe's ``key_file.json``.
    management_url : str
        Address of the API that renews keys.
    """

    def __init__(self, key_file: Path, management_url: str) -> None:
        self._key_file = key_file
        self._management_url = management_url
        self._session = requests.Session()
        self._session.trust_env = False  # as in serve.api

    def get(self, kind: Kind, refused: str | None = None) -> str:
        """Return a key, renewed where it has expired or is about to.

        Parameters
        ----------
        kind : "inference" or "management"
        refused : str, optional
            A key that the service has just refused; another one is returned.

        Raises
        ------
        NotRunning
            There is no key file: TorchServe was not started from this folder.
        ServiceDown
            The key must be renewed and nothing answers.
        TokenRefused
            The service does not renew the key.
        """
        entry = self._read()[kind]
        if entry["key"] == refused or _about_to_expire(entry):
            with self._alone():
                entry = self._read()[kind]  # another process may have renewed it meanwhile
                if entry["key"] == refused or _about_to_expire(entry):
                    self._renew(kind)
                    entry = self._read()[kind]
        return entry["key"]

    def _read(self) -> dict[str, dict[str, str]]:
        for _ in range(READ_ATTEMPTS):
            try:
                return json.loads(self._key_file.read_text("utf-8"))
            except FileNotFoundError:
                break
            except json.JSONDecodeError:  # TorchServe is writing it at this moment
                time.sleep(0.05)
        raise NotRunning(
            f"There are no keys in {self._key_file}: TorchServe is not running here. "
            "Start it with: breakhis serve"
        )

    def _renew(self, kind: Kind) -> None:
        try:
            response = self._session.get(
                f"{self._management_url}/token",
                params={"type": kind},
                headers={"Authorization": f"Bearer {self._read()['API']['key']}"},
                timeout=TIMEOUT_SECONDS,
            )
        except requests.RequestException:
            raise ServiceDown(
                f"The {kind} token has expired and nothing answers at {self._management_url}. "
                "Start the service with: breakhis serve"
            ) from None
        if not response.ok:
            raise TokenRefused(
                f"TorchServe did not renew the {kind} token (HTTP {response.status_code}). "
                "Restart the service."
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off other processes and threads that would renew at the same time."""
        with self._key_file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _about_to_expire(entry: dict[str, str]) -> bool:
    expires = datetime.fromisoformat(entry["expiration time"])
    return datetime.now(UTC) > expires - RENEW_BEFORE
