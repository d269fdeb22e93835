"""Everything at once: load, kills, deployments, hostile files, and visitors on the page."""

import itertools
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import psutil
import pytest
from gradio_client import Client as Visitor
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from scripts.benchmarking.services import resident_mb
from serve import deploy
from serve.archive import build
from serve.client import Client
from serve.errors import RequestRefused, ServeError
from serve.management import Management
from serve.restart import ServedArchive
from serve.settings import MODEL_STORE, Settings
from serve.torchserve import TorchServe
from tests.conftest import page_over
from tests.faults.conftest import LOST, LOST_SECONDS, OK, Load, front_end
from tests.fuzz.mutations import corpus, mutate

# Of a long run; a short one has each at least twice.
KILL_SECONDS, DEPLOY_SECONDS = 120, 180
FRONT_END_KILLS = 2
# Of so many files one is hostile.
HOSTILE = 10
REFUSED, REFUSALS = "refused", (400, 413, 415)
VISITORS = 2
SAMPLE_SECONDS = 5


@dataclass
class Chaos(Load):
    """Sixteen connections, half of which try again as docs/operations.md says.

    Attributes
    ----------
    probabilities : dict
        What each model, by version and sha256, answers to the image.
    versions : Counter
        How many right answers named each version.
    """

    senders: tuple[int, int] = (8, 8)
    probabilities: dict[tuple[str, str], float] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)
    _files: list[bytes] = field(default_factory=corpus)
    _numbers: Any = field(default_factory=itertools.count)

    def is_right(self, answer: dict[str, Any]) -> bool:
        """An answer is right if it is that of the version that it names."""
        model = answer["model"]
        expected = self.probabilities.get((model["version"], model["sha256"]))
        self.versions[model["version"]] += 1
        return expected is not None and abs(answer["probability"] - expected) < 0.01

    def _hostile(self) -> bytes | None:
        number = next(self._numbers)
        return None if number % HOSTILE else mutate(random.Random(number), self._files)

    def _send_once(self) -> str:
        hostile = self._hostile()
        if hostile is None:
            return self.send(self.image)
        what = self.send(hostile)
        # What was damaged a little may be read still.
        refused = what[:3] in map(str, REFUSALS)
        return REFUSED if refused or what == "wrong answer" else what

    def _send_by_client(self) -> str:
        hostile = self._hostile()
        client = Client.from_settings(self.settings)
        deadline = time.monotonic() + LOST_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = client.predict(self.image if hostile is None else hostile)
            except ServeError as error:
                # Of a file that begins as JSON does, the request is refused and not the image.
                if isinstance(error, RequestRefused) and error.code in REFUSALS:
                    return REFUSED if hostile is not None else f"wrong answer: {error}"
                time.sleep(2)  # "wait some seconds, send again"
                continue
            if hostile is not None:
                return REFUSED
            return OK if self.is_right(answer.to_json()) else "wrong answer"
        return LOST


@pytest.fixture(scope="module")
def two_versions(store, tmp_path_factory) -> dict[str, Path]:
    """The archives of two versions, which give one image two probabilities."""
    model = tmp_path_factory.mktemp("models") / "2.1"
    shutil.copytree(MODEL_STORE, model, ignore=shutil.ignore_patterns("*.mar*"))
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["version"] = "2.1"
    manifest["decision_rule"]["intercept"] -= 2
    (model / "manifest.json").write_text(json.dumps(manifest))
    build(model, store / "breakhis-2.1.mar")
    return {"1": store / "breakhis.mar", "2": store / "breakhis-2.1.mar"}


def learn(load: Chaos, settings: Settings) -> None:
    """Note what the default version answers."""
    answer = Client.from_settings(settings).predict(load.image)
    model = answer.model
    load.probabilities[model.version, model.sha256] = answer.probability


@dataclass
class Faults:
    """Causes each kind of fault again and again, beside the others.

    Attributes
    ----------
    done : Counter
        How often each was caused, and how often it could not be.
    """

    settings: Settings
    seconds: float
    done: Counter[str] = field(default_factory=Counter)
    over: Event = field(default_factory=Event)

    def kill_worker(self) -> None:
        (worker, *_) = Management.from_settings(self.settings).default().ready
        psutil.Process(worker).kill()

    def kill_front_end(self) -> None:
        front_end(self.settings).kill()

    def change_version(self) -> None:
        deploy.roll_back(self.settings, lambda _: nullcontext())

    def every(self, seconds: float, name: str, cause: Callable[[], None]) -> None:
        """Cause a fault every so often; where something else is in the way, a moment later."""
        while not self.over.wait(seconds):
            until = time.monotonic() + LOST_SECONDS
            while time.monotonic() < until:
                try:
                    cause()
                except (ServeError, psutil.Error, ValueError):  # the front end is not there
                    self.done[f"{name}, in vain"] += 1
                    time.sleep(2)
                else:
                    self.done[name] += 1
                    break

    def run(self) -> None:
        """Cause all for as long as said."""
        plan = (
            (min(KILL_SECONDS, self.seconds / 3), "worker killed", self.kill_worker),
            (
                self.seconds / (FRONT_END_KILLS + 0.5),
                "front end killed",
                self.kill_front_end,
            ),
            (
                min(DEPLOY_SECONDS, self.seconds / 3),
                "deployment or rollback",
                self.change_version,
            ),
        )
        threads = [Thread(target=self.every, args=each) for each in plan]
        for thread in threads:
            thread.start()
        time.sleep(self.seconds)
        self.over.set()
        for thread in threads:
            thread.join()


def visit(url: str, file: Path, load: Chaos, over: Event) -> Counter[str]:
    """Have an image judged on the page again and again, as a browser does."""
    page, seen = Visitor(url, verbose=False), Counter[str]()
    while not over.wait(1):
        try:
            answer = page.predict(handle_file(file), api_name="/classify")
        except AppError as error:
            seen["wrong answer" if not str(error) else "told what is wrong"] += 1
        else:
            seen[OK if load.is_right(answer) else "wrong answer"] += 1
    return seen


def measure(settings: Settings, page: int, over: Event) -> dict[str, list[float]]:
    """Return the memory of service and page over time, in MB."""
    course: dict[str, list[float]] = {"service": [], "page": []}
    while not over.wait(SAMPLE_SECONDS):
        with suppress(psutil.Error):
            course["page"].append(sum(resident_mb(psutil.Process(page)).values()))
            course["service"].append(sum(resident_mb(TorchServe(settings).process()).values()))
    return course


@pytest.mark.last  # another version than before may be served then
def test_everything_at_once(endangered, two_versions, tmp_path, request):
    minutes = request.config.getoption("--chaos")
    load, faults, step = Chaos(endangered), Faults(endangered, 60 * minutes), nullcontext()
    learn(load, endangered)
    deploy.deploy(endangered, two_versions["2"].name, lambda _: step)
    learn(load, endangered)
    assert len({round(p, 1) for p in load.probabilities.values()}) == 2
    file = tmp_path / "field.jpg"
    file.write_bytes(load.image)
    over = Event()
    with page_over(endangered) as (url, page), ThreadPoolExecutor(VISITORS + 1) as pool:
        try:
            memory = pool.submit(measure, endangered, page.pid, over)
            visitors = [pool.submit(visit, url, file, load, over) for _ in range(VISITORS)]
            with load:
                cause = time.monotonic()
                faults.run()
                load.wait_for_success(time.monotonic())
        finally:
            over.set()
        seen = {
            "no retries": Counter(o.what for o in load.since(cause, load.raw)),
            "documented retries": Counter(o.what for o in load.since(cause, load.clients)),
            "visitors of the page": sum((v.result() for v in visitors), Counter[str]()),
        }
    target = request.config.getoption("--chaos-report")
    if target:
        Path(target).write_text(report(minutes, seen, faults.done, load.versions, memory.result()))
    assert not [what for way in seen.values() for what in way if what.startswith("wrong answer")]
    # Who tries nothing again loses what TorchServe was gathering when a worker ended.
    assert seen["no retries"][LOST] <= sum(load.senders) * faults.done["worker killed"]
    assert set(seen["documented retries"]) == {OK, REFUSED}
    assert seen["visitors of the page"][OK]
    assert all(faults.done[name] for name in ("worker killed", "front end killed"))
    assert faults.done["deployment or rollback"]
    assert len(load.versions) == 2
    # What a restart would serve is what is served.
    served = Management.from_settings(endangered).default().archive
    assert served == ServedArchive.read(endangered).archive


def report(
    minutes: float,
    seen: dict[str, Counter[str]],
    faults: Counter[str],
    versions: Counter[str],
    memory: dict[str, list[float]],
) -> str:
    """Write what came of it as Markdown."""
    rows = []
    for who, what in seen.items():
        wrong = sum(n for each, n in what.items() if each.startswith("wrong"))
        failed = what.total() - what[OK] - what[REFUSED] - what[LOST] - wrong
        cells = (what.total(), what[OK], what[REFUSED], failed, what[LOST], wrong)
        rows.append(f"| {who} | " + " | ".join(map(str, cells)) + " |")
    failures = Counter(seen["no retries"])
    for each in (OK, REFUSED):
        del failures[each]
    return (
        f"""# Everything at once

Written by `make chaos`: {minutes:g} minutes of 16 connections that send without a pause, every
tenth file a damaged or hostile one, and {VISITORS} visitors on the page. Meanwhile the worker is
killed every {min(KILL_SECONDS, 20 * minutes):g} seconds, the front end {FRONT_END_KILLS} times, and
the version changes every {min(DEPLOY_SECONDS, 20 * minutes):g} seconds, by a deployment or a
rollback.

Half of the connections try nothing again: whatever is no answer counts as failed, a connection that
was closed too. The others do what [operations.md](../operations.md#when-something-fails) says. Lost
is a request without an answer after {LOST_SECONDS} seconds, retries included. An answer is wrong if
it is not that of the version that it names, with its sha256; the two versions give an image
different probabilities. A hostile file is refused, or read if it was damaged little.

| who | requests | answered | hostile, refused or read | failed, and said so | lost | wrong |
|---|---:|---:|---:|---:|---:|---:|
"""
        + "\n".join(rows)
        + f"""

- Without retries, what failed: {_list(failures)}.
- Caused: {_list(faults)}. In vain is what met another fault, and was tried again.
- Answers by version: {_list(versions)}.
"""
        + "".join(
            f"- Memory of the {who}, mean of the first and the second half: {_halves(course)}.\n"
            for who, course in memory.items()
        )
    )


def _list(counted: Counter[str]) -> str:
    return "; ".join(f"{n} x {what}" for what, n in counted.most_common()) or "none"


def _halves(course: list[float]) -> str:
    half = len(course) // 2
    first, second = np.mean(course[:half]), np.mean(course[half:])
    return f"{first:.0f} and {second:.0f} MB ({second / first - 1:+.0%})"
