"""TorchServe from one run folder: start, stop, and whether it runs."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from handler.whole_file import write_whole
from serve.errors import BadSetting, NotRunning, RequestRefused, StartFailed
from serve.frontend import SCRATCH
from serve.management import Management
from serve.ports import require_free
from serve.restart import ServedArchive
from serve.settings import ROOT, Settings
from serve.supervisor import arguments, end, group

START_SECONDS = 180

# What is noted of what runs.
STATE = {"pid", "started", "addresses"}

# A Unix socket's path holds 107 bytes, and "/.ts.sock.9000" takes 14 of them.
MAX_RUN_DIR = 107 - len(f"/{SCRATCH}/.ts.sock.9000")


class TorchServe:
    """TorchServe with one model store, under a supervisor.

    If it ends by itself, the supervisor starts it again; see `serve.supervisor`.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._state_file = settings.run_dir / "process.json"
        self._console = settings.run_dir / "logs" / "console.log"

    def start(self) -> None:
        """Start TorchServe in the background and wait until the model answers.

        Raises
        ------
        BadSetting
            The path of the run folder is too long, others can get into it, or another program
            uses one of the ports; or what runs there already has other ports.
        StartFailed
            It was started from this run folder before, the archive is missing, TorchServe
            ended, or it took too long.
        """
        settings = self.settings
        if self.process() is not None:
            self.require_same_ports()
            raise StartFailed(
                f"TorchServe already runs at {settings.inference_url}. Stop it with: breakhis stop"
            )
        if not self._archive.exists():
            raise StartFailed(
                f"{self._archive} is missing. Put it back, or build it with: breakhis build"
            )
        if len(os.fsencode(settings.run_dir)) > MAX_RUN_DIR:
            raise BadSetting(
                f"The path {settings.run_dir} is longer than {MAX_RUN_DIR} bytes, too long "
                "for the sockets in it. Set BREAKHIS_RUN_DIR to a folder with a shorter path."
            )
        end(self._family())  # of a supervisor that was killed
        host = settings.open_host
        require_free("inference", settings.inference_port, "BREAKHIS_INFERENCE_PORT", host)
        require_free("management", settings.management_port, "BREAKHIS_MANAGEMENT_PORT")
        require_free("metrics", settings.metrics_port, "BREAKHIS_METRICS_PORT", host)
        self._prepare_run_dir()
        process = self._spawn()
        try:
            self._wait_until_ready(process)
        except BaseException:  # a Ctrl-C while waiting must leave no process behind either
            if self.process() is not None:
                self.stop()
            raise

    def require_same_ports(self) -> None:
        """Make sure that what runs here has the ports of the settings.

        Raises
        ------
        BadSetting
            It has others.
        """
        running = self._state()["addresses"]
        if running != self._addresses:
            raise BadSetting(
                f"Another TorchServe runs in {self.settings.run_dir}, at {running[0]}. For a "
                "second one beside it, set BREAKHIS_RUN_DIR to another folder, too."
            )

    def stop(self) -> None:
        """Stop TorchServe and its workers; returns when all are gone.

        Raises
        ------
        NotRunning
            It was not started from this run folder.
        """
        family = self._family()
        if not family:
            raise NotRunning("TorchServe is not running here; there is nothing to stop.")
        end(family)
        if self.process() is None:  # else it was started again in the meantime
            self._state_file.unlink(missing_ok=True)
            self.settings.key_file.unlink(missing_ok=True)
            # Uploads that were being read, among others.
            shutil.rmtree(self.settings.run_dir / SCRATCH, ignore_errors=True)

    def wait(self) -> None:
        """Return when the supervisor has ended, because it was told to or has given up."""
        process = self.process()
        if process is not None:
            process.wait()

    def process(self) -> psutil.Process | None:
        """Return the running supervisor, or None."""
        try:
            state = self._state()
            process = psutil.Process(state["pid"])
            # A process id may have been given to another program since.
            same = _started(process) == state["started"]
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state_file.read_text("utf-8"))
        if state.keys() >= STATE:
            return state
        raise BadSetting(
            f"{self._state_file} was written by another version of this program. Stop what that "
            f"started, with its own breakhis stop or kill {state.get('pid')}, and delete the file."
        )

    def _family(self) -> list[psutil.Process]:
        """Return the supervisor and all under it, or what is left when it was killed."""
        try:
            members = group(self._state()["pid"])
        except FileNotFoundError:
            return []
        supervisor = self.process()
        return [each for each in members if each == supervisor or self._works_here(each)]

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return Path(process.cwd()).is_relative_to(self.settings.run_dir)
        except psutil.NoSuchProcess:
            return False

    @property
    def _addresses(self) -> list[str]:
        settings = self.settings
        return [settings.inference_url, settings.management_url, settings.metrics_url]

    @property
    def _archive(self) -> Path:
        return self.settings.model_store / ServedArchive.read(self.settings).archive

    def _prepare_run_dir(self) -> None:
        settings = self.settings
        settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        owned = settings.run_dir.stat()
        if owned.st_uid != os.getuid() or owned.st_mode & 0o077:
            raise BadSetting(
                f"Other users can get into {settings.run_dir}, where keys and logs lie. "
                "Run chmod 700 on it, or set BREAKHIS_RUN_DIR to a folder of your own."
            )
        (settings.run_dir / "logs").mkdir(exist_ok=True)
        settings.key_file.unlink(missing_ok=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._console.open("wb") as console:
            process = subprocess.Popen(
                arguments(self.settings),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                # Its own process group, so that stopping reaches every worker and a
                # Ctrl-C in the terminal reaches none of them first.
                start_new_session=True,
            )
        state = {
            "pid": process.pid,
            "started": _started(psutil.Process(process.pid)),
            "addresses": self._addresses,
        }
        write_whole(self._state_file, json.dumps(state).encode())
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        management = Management.from_settings(self.settings)
        deadline = time.monotonic() + START_SECONDS
        try:
            while not management.is_ready():
                if process.poll() is not None:
                    raise StartFailed(f"TorchServe ended while starting.\n{self._last_words()}")
                if time.monotonic() > deadline:
                    raise StartFailed(
                        f"The model was not ready after {START_SECONDS} seconds.\n"
                        f"{self._last_words()}"
                    )
                time.sleep(0.2)
        except RequestRefused as error:
            raise StartFailed(
                f"TorchServe could not load {self._archive.name} ({error}). "
                f"Build it again with: breakhis build\n{self._last_words()}"
            ) from error

    def _last_words(self) -> str:
        names = ("console.log", "torchserve.log", "model.log")
        logs = [self._console.with_name(name) for name in names]
        lines = [
            line
            for log in logs
            if log.exists()
            for line in log.read_text("utf-8", "replace").splitlines()[-10:]
        ]
        return "\n".join([f"The last lines of the logs in {self._console.parent}:", *lines])


def _started(process: psutil.Process) -> float:
    """Return when a process was started, in seconds since the machine was.

    The time of day would be another one once the clock is set.
    """
    return round(process.create_time() - psutil.boot_time(), 2)
