"""One of TorchServe's HTTP APIs: token, retries, and errors as classes."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from serve.errors import (
    ImageRefused,
    RequestRefused,
    ServeError,
    ServiceBusy,
    ServiceDown,
    TokenRefused,
)
from serve.tokens import Kind, TokenSource

# What a worker judges can be asked for again: when the worker has ended, TorchServe answers all
# that it had sent to it with 500, or 507 where it was killed, and starts it again. What it was
# gathering for the next batch at that moment it answers never.
JUDGING = ("/predictions/", "/explanations/")
WORKER_TROUBLE = [500, 503, 507]


class Api:
    """Sends requests to one API. May be shared by threads.

    Parameters
    ----------
    url : str
        Base address.
    tokens : TokenSource
    kind : "inference" or "management"
        Which token the API wants.
    timeout : float
        Seconds to wait for a connection, and for each answer.
    attempts : int
        How often a request is sent while TorchServe answers that it is busy, or that
        the worker has ended. The wait doubles from half a second on. An image that has no
        answer at all is sent once more.
    """

    def __init__(
        self, url: str, tokens: TokenSource, kind: Kind, timeout: float = 60, attempts: int = 5
    ) -> None:
        self.url = url
        self._tokens = tokens
        self._kind: Kind = kind
        self._timeout = timeout
        self._session = requests.Session()
        # Neither a proxy nor a netrc file of the environment may come in between.
        self._session.trust_env = False
        judging = [(url + path, WORKER_TROUBLE, 1) for path in JUDGING]
        for prefix, statuses, unanswered in ((url, [503], 0), *judging):
            retry = Retry(
                total=None,
                connect=0,
                read=unanswered,
                redirect=0,
                other=0,
                status=attempts - 1,
                status_forcelist=statuses,
                allowed_methods=None,
                backoff_factor=0.25,
                raise_on_status=False,
            )
            self._session.mount(prefix, HTTPAdapter(pool_maxsize=64, max_retries=retry))

    def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, **request: Any
    ) -> requests.Response:
        """Send one request with a valid token.

        Parameters
        ----------
        method, path : str
        headers : dict, optional
        **request
            As of `requests.request`.

        Raises
        ------
        ServiceDown
            Nothing answers.
        ServiceBusy
            The queue is full, or the worker ended, at every attempt.
        TokenRefused, NotRunning
            There is no valid token.
        ImageRefused
            The image can't be used.
        RequestRefused
            Any other answer that is not a success.
        """
        token = self._tokens.get(self._kind)
        response = self._attempt(method, path, headers, token, request)
        if _refuses_token(response):
            token = self._tokens.get(self._kind, refused=token)
            response = self._attempt(method, path, headers, token, request)
        if not response.ok:
            raise _error(response)
        return response

    def _attempt(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None,
        token: str,
        request: dict[str, Any],
    ) -> requests.Response:
        headers = {**(headers or {}), "Authorization": f"Bearer {token}"}
        request = {"timeout": self._timeout, **request}
        try:
            return self._session.request(method, self.url + path, headers=headers, **request)
        except requests.RequestException as error:
            raise ServiceDown(
                f"Nothing answers at {self.url} ({type(error).__name__}). Is the service running?"
            ) from None


def _refuses_token(response: requests.Response) -> bool:
    return response.status_code == 400 and _json(response).get("type") == "InvalidKeyException"


def _error(response: requests.Response) -> ServeError:
    code, error = response.status_code, _json(response)
    type_, message = error.get("type", ""), error.get("message", "")
    if code in WORKER_TROUBLE and message == "Worker died.":
        return ServiceBusy(
            "The model's worker ended while it judged the image, and is being started again. "
            "Send the request again in some seconds."
        )
    if code in (503, 507):  # the queue is full, or the memory
        return ServiceBusy("The service is busy. Wait some seconds, and send the request again.")
    if type_ == "InvalidKeyException":
        return TokenRefused("The service does not accept the token. Restart the service.")
    if type_ == "BadImageException":
        return ImageRefused(code, type_, message)
    if code == 413 and not message:  # TorchServe's own limit has no body
        message = "The request is larger than the service accepts. Send fewer or smaller images."
    return RequestRefused(code, type_, message or f"The service answered HTTP {code}.")


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        return response.json()
    except requests.JSONDecodeError:
        return {}
