"""The load, a Locust file: each user keeps one connection and sends image after image.

Settings come as JSON in BENCHMARK_LOAD, what was measured goes to the file it names.
"""

import itertools
import json
import math
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant, constant_throughput, events, task
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment

from scripts.benchmarking.services import body

load = json.loads(os.environ["BENCHMARK_LOAD"])
bodies = itertools.cycle(
    [body(path.read_bytes(), load["as_form"]) for path in sorted(Path(load["images"]).iterdir())]
)
milliseconds: list[float] = []
statuses: Counter[int] = Counter()


class Sender(FastHttpUser):
    """One connection."""

    wait_time = constant_throughput(load["rate"]) if load["rate"] else constant(0)
    host = load["url"]

    @task
    def send(self) -> None:
        """Send the next image."""
        data, content_type = next(bodies)
        headers = {**load["headers"], "Content-Type": content_type}
        # It takes bytes as well, whatever its type hint says.
        self.client.post("", data=data, headers=headers)  # type: ignore[arg-type]


@events.test_start.add_listener
def start(environment: Environment, **_: Any) -> None:
    """Set when the warm-up ends, and when all ends."""
    load["from"] = time.perf_counter() + load["warm_up"]
    load["until"] = load["from"] + load["seconds"]
    load["environment"] = environment


@events.request.add_listener
def keep(response_time: float, response: FastResponse, **_: Any) -> None:
    """Keep what is answered after the warm-up; the first answer after the time ends the test."""
    now = time.perf_counter()
    if now >= load["from"]:
        milliseconds.append(response_time)
        statuses[response.status_code] += 1
    if now >= load["until"]:
        load["until"] = math.inf
        # Not from here: this is a user's greenlet, which quitting kills before it is done.
        gevent.spawn(load["environment"].runner.quit)


@events.test_stopping.add_listener
def report(**_: Any) -> None:
    """Write what was measured."""
    seconds = time.perf_counter() - load["from"]
    found = {"seconds": seconds, "milliseconds": milliseconds, "statuses": statuses}
    Path(load["report"]).write_text(json.dumps(found))
