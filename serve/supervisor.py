"""Keeps TorchServe running: starts the front end, and starts it again when it has ended.

`serve.torchserve` starts this as a process of its own, ``python -m serve.supervisor``.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psutil

from serve.errors import RequestRefused, ServeError
from serve.frontend import launch
from serve.management import Management
from serve.settings import Settings

# Between two looks whether the front end still runs, and between two questions to it.
LOOK_SECONDS = 0.5
ASK_SECONDS = 10
# A front end that has answered nothing for so long hangs. Under full load it answers within
# a second.
HANGS_SECONDS = 60
# Waits before a new start; the last one again and again, until whatever is wrong is put right.
BACK_OFF_SECONDS = (0, 1, 5, 15, 30, 60)
# A killed process may hang in the system for a while.
STOP_SECONDS = 15

logger = logging.getLogger("supervisor")


def arguments(settings: Settings) -> list[str]:
    """Return the command line that supervises a service with these settings."""
    return [sys.executable, "-m", "serve.supervisor", json.dumps(asdict(settings), default=str)]


def supervise(settings: Settings) -> int:
    """Run the front end until this process is told to end.

    Returns
    -------
    int
        Exit code: 1 if the front end ended before the model was ever ready.
    """
    management = Management.from_settings(settings)
    was_ready = False
    failures = 0
    try:
        while True:
            if _watch(launch(settings), management, restarted=was_ready):
                was_ready, failures = True, 0
            if not was_ready:
                return 1
            logger.error("TorchServe has ended; starting it again")
            end(_below())
            time.sleep(BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)])
            failures += 1
    finally:
        end(_below())


def _watch(frontend: subprocess.Popen[bytes], management: Management, *, restarted: bool) -> bool:
    """Return when the front end has ended or is of no use: whether the model was ever ready."""
    ready = False
    answered = asked = time.monotonic()
    while frontend.poll() is None:
        time.sleep(LOOK_SECONDS)
        try:
            ready = ready or management.is_ready()
        except RequestRefused as error:
            # At the first start, whoever started it is told.
            if restarted:
                logger.error("TorchServe runs without the model: %s", error)
                break
        except ServeError:  # it has not written its keys yet
            continue
        now = time.monotonic()
        if now < asked + ASK_SECONDS:
            continue
        asked = now
        if management.is_live():
            answered = now
        elif ready and now - answered > HANGS_SECONDS:
            logger.error("TorchServe hangs")
            break
    return ready


def group(leader: int) -> list[psutil.Process]:
    """Return the running processes of a process group."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == leader and not _is_gone(process):
                found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    """Kill processes, in this order; returns when all are gone.

    Told to end, TorchServe kills its workers at once, and then waits for two seconds.
    """
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + STOP_SECONDS
    while not all(map(_is_gone, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_gone(process: psutil.Process) -> bool:
    try:
        # Whoever started a process that has ended may still ask for its exit code. While other
        # threads than the first are still ending, its ports are taken.
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def _below() -> list[psutil.Process]:
    """Return the front end, its worker, and workers whose front end was killed."""
    return [process for process in group(os.getpid()) if process.pid != os.getpid()]


def main() -> int:
    """Run the process."""
    logging.basicConfig(format="%(asctime)s supervisor: %(message)s", level=logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = json.loads(sys.argv[1])
    folders = {name: Path(given[name]) for name in ("model_store", "run_dir")}
    return supervise(Settings(**given | folders))


if __name__ == "__main__":
    sys.exit(main())
