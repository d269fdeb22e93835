"""Where the service listens and keeps its files, from environment variables."""

import os
from dataclasses import dataclass
from pathlib import Path

from serve.errors import BadSetting
from serve.ports import EVERY_ADDRESS, HOST, port_from_environment

ROOT = Path(__file__).resolve().parent.parent
MODEL_STORE = ROOT / "model_store"


@dataclass(frozen=True)
class Settings:
    """Ports and folders of one running service.

    Attributes
    ----------
    inference_port, management_port, metrics_port : int
        TorchServe's three ports.
    model_store : Path
        Folder with ``breakhis.mar`` and archives of other versions.
    run_dir : Path
        Private folder for configuration, keys, logs and temporary files, with a short path.
    token_minutes : int
        How long TorchServe's tokens stay valid.
    open_to_network : bool
        Whether every machine that reaches this one gets predictions and metrics, without a
        token; for a container behind a boundary that the cluster guards. The management API
        stays on loopback, and then needs no token either. Else all three are on loopback.
    """

    inference_port: int = 8080
    management_port: int = 8081
    metrics_port: int = 8082
    model_store: Path = MODEL_STORE
    run_dir: Path = ROOT / ".run"
    token_minutes: int = 60
    open_to_network: bool = False

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the settings; what is not set keeps its default.

        Raises
        ------
        BadSetting
            A port is not a number from 1 to 65535, or a switch is neither true nor false.
        """
        return cls(
            inference_port=port_from_environment("BREAKHIS_INFERENCE_PORT", cls.inference_port),
            management_port=port_from_environment("BREAKHIS_MANAGEMENT_PORT", cls.management_port),
            metrics_port=port_from_environment("BREAKHIS_METRICS_PORT", cls.metrics_port),
            model_store=Path(os.environ.get("BREAKHIS_MODEL_STORE") or cls.model_store).absolute(),
            run_dir=Path(os.environ.get("BREAKHIS_RUN_DIR") or cls.run_dir).absolute(),
            open_to_network=_switch("BREAKHIS_OPEN_TO_NETWORK", cls.open_to_network),
        )

    @property
    def open_host(self) -> str:
        """Address at which predictions and metrics are answered."""
        return EVERY_ADDRESS if self.open_to_network else HOST

    @property
    def inference_url(self) -> str:
        """Base address of the inference API on this machine."""
        return f"http://{HOST}:{self.inference_port}"

    @property
    def management_url(self) -> str:
        """Base address of the management API."""
        return f"http://{HOST}:{self.management_port}"

    @property
    def metrics_url(self) -> str:
        """Base address of the metrics API on this machine."""
        return f"http://{HOST}:{self.metrics_port}"

    @property
    def key_file(self) -> Path:
        """File into which TorchServe writes its keys."""
        return self.run_dir / "key_file.json"


def _switch(variable: str, default: bool) -> bool:
    value = os.environ.get(variable, str(default).lower())
    if value not in ("true", "false"):
        raise BadSetting(f"{variable} is {value!r}; it must be true or false.")
    return value == "true"
