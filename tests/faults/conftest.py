"""A service under load for the fault tests, and the table of what came of each fault."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest
import requests

from serve.client import Client
from serve.drawn_tissue import draw_field, encode
from serve.errors import ServeError
from serve.settings import Settings
from serve.tokens import Tokens
from tests.conftest import processes_of, rewrite_archive, running

# Seconds after which a request counts as lost: neither answered nor refused.
LOST_SECONDS = 120
# As shipped it is two minutes; nothing else depends on it.
RESPONSE_TIMEOUT = 10
OK, LOST = "200", "lost"
# What a raw request may come to when a worker ends. TorchServe forgets what it was gathering for
# the next batch, which takes a millisecond.
WORKER_ENDED = {OK, "500 Worker died.", "507 Worker died.", LOST}


@dataclass(frozen=True)
class Outcome:
    """What one request came to; times are those of `time.monotonic`."""

    began: float
    ended: float
    what: str


@dataclass
class Load:
    """Senders that don't pause: raw HTTP, and the project's own client; see `senders`.

    Attributes
    ----------
    settings : Settings
    raw, clients : list of Outcome
        A raw outcome is the HTTP status with TorchServe's message, or what happened to the
        connection; a client's is OK or the name of the exception.
    """

    settings: Settings
    senders: tuple[int, int] = (6, 2)
    raw: list[Outcome] = field(default_factory=list)
    clients: list[Outcome] = field(default_factory=list)
    image: bytes = field(default_factory=lambda: encode(draw_field(1), "JPEG", quality=95))

    def __enter__(self) -> "Load":
        self._stop = Event()
        ways = ((self._send_once, self.raw), (self._send_by_client, self.clients))
        senders = [
            way for way, number in zip(ways, self.senders, strict=True) for _ in range(number)
        ]
        self._threads = [Thread(target=self._send, args=sender, daemon=True) for sender in senders]
        for thread in self._threads:
            thread.start()
        self.wait_for_success()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_success(self, since: float | None = None, seconds: float = 120) -> None:
        """Return when requests that began after a moment have been answered on both ways."""
        since = since or time.monotonic()
        deadline = time.monotonic() + seconds
        while not all(
            any(o.what == OK and o.began > since for o in list(way))
            for way in (self.raw, self.clients)
        ):
            assert time.monotonic() < deadline, "the service has not recovered"
            time.sleep(0.1)

    def since(self, moment: float, way: list[Outcome]) -> list[Outcome]:
        """The outcomes of requests that ended after a moment."""
        return [outcome for outcome in way if outcome.ended > moment]

    def recovery_seconds(self, cause: float) -> float:
        """From the cause to the first answer after the last failure; 0 if none failed."""
        seen = sorted(self.since(cause, self.raw), key=lambda outcome: outcome.ended)
        failed = [outcome.ended for outcome in seen if outcome.what != OK]
        if not failed:
            return 0.0
        return min(o.ended for o in seen if o.what == OK and o.ended >= failed[-1]) - cause

    def _send(self, send, way: list[Outcome]) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            what = send()
            way.append(Outcome(began, time.monotonic(), what))
            if what != OK:
                self._stop.wait(0.1)

    def send(self, body: bytes) -> str:
        """Send one raw request, and say what it came to."""
        tokens = Tokens(self.settings.key_file, self.settings.management_url)
        url = f"{self.settings.inference_url}/predictions/breakhis"
        try:
            headers = {"Authorization": f"Bearer {tokens.get('inference')}"}
            response = requests.post(url, data=body, headers=headers, timeout=(5, LOST_SECONDS))
        except ServeError:
            return "connection refused"  # there is no service to renew the token
        except requests.ReadTimeout:
            return LOST
        except requests.ConnectionError as error:
            refused = "refused" in str(error)
            return "connection refused" if refused else "connection closed"
        if response.ok:
            return OK if self.is_right(response.json()) else "wrong answer"
        message = response.json()["message"]
        # Of the number of bytes that could not be had, each message has another.
        return f"{response.status_code} {re.sub(r' [(]?[0-9].*', '', message)[:48]}"

    def is_right(self, answer: dict[str, Any]) -> bool:
        """Tell whether an answer may be right."""
        return "verdict" in answer

    def burst(self, body: bytes, requests_at_once: int) -> set[str]:
        """Send many raw requests at once on top; what they came to counts with the others."""

        def one(_: int) -> str:
            began = time.monotonic()
            what = self.send(body)
            self.raw.append(Outcome(began, time.monotonic(), what))
            return what

        with ThreadPoolExecutor(requests_at_once) as pool:
            return set(pool.map(one, range(requests_at_once)))

    def _send_once(self) -> str:
        return self.send(self.image)

    def _send_by_client(self) -> str:
        try:
            Client.from_settings(self.settings).predict(self.image)
        except ServeError as error:
            return type(error).__name__
        return OK


def front_end(settings: Settings) -> psutil.Process:
    (java,) = (p for p in processes_of(settings) if p.name() == "java")
    return java


@pytest.fixture(scope="session")
def store(archive, tmp_path_factory) -> Path:
    """A model store of its own, whose archive gives up on a worker sooner."""
    folder = tmp_path_factory.mktemp("store")
    timeout = f"responseTimeout: {RESPONSE_TIMEOUT}".encode()
    rewrite_archive(
        archive,
        folder / archive.name,
        "model-config.yaml",
        lambda config: re.sub(rb"responseTimeout: \d+", timeout, config),
    )
    return folder


@pytest.fixture(scope="session")
def endangered(store) -> Iterator[Settings]:
    """A running service for the faults alone."""
    with running(model_store=store) as settings:
        yield settings


@pytest.fixture(scope="session")
def report(request) -> Iterator[list[str]]:
    """Rows of the table; written where ``--faults`` says."""
    rows: list[str] = []
    yield rows
    target = request.config.getoption("--faults")
    if target:
        Path(target).write_text(
            "# Faults, caused on a running service under load\n\n"
            "Written by `make faults`. Eight clients send without a pause: six raw ones, whose "
            "answers are counted here, and two with `serve.client`, which sends again what a "
            "busy service or a dead worker did not answer. Recovery is the time from the cause "
            "to the first answer after the last failure. Lost is a request that was neither "
            f"answered nor refused within {LOST_SECONDS} seconds, or answered wrongly. A worker "
            f"may take {RESPONSE_TIMEOUT} seconds to answer here, and 120 as shipped: a stuck one "
            "is noticed so late.\n\n"
            "| case | how caused | raw requests came to | calls of the client came to "
            "| recovery, s | lost |\n|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )


@pytest.fixture
def record(report):
    """Add a row, and check what holds for every fault: the client loses nothing.

    To be called when the load has ended, as a lost request is known only then.
    """

    def add(case: str, how: str, load: Load, cause: float) -> Counter[str]:
        raw, clients = (
            Counter(outcome.what for outcome in load.since(cause, way))
            for way in (load.raw, load.clients)
        )
        wrong = raw["wrong answer"] + clients["wrong answer"]
        lost = raw[LOST] + clients[LOST] + wrong
        seen = [
            "; ".join(f"{n} x {what}" for what, n in way.most_common()) for way in (raw, clients)
        ]
        recovery = f"{load.recovery_seconds(cause):.1f}"
        report.append("| " + " | ".join([case, how, *seen, recovery, str(lost)]) + " |")
        assert wrong == clients[LOST] == 0
        assert not raw[LOST] or WORKER_ENDED & {*raw} > {OK, LOST}
        return raw

    return add
