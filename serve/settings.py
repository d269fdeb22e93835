"""Where the service listens and keeps its files, from environment variables."""

import os
from dataclasses import dataclass
from pathlib import Path

from serve.ports import HOST, port_from_environment

ROOT = Path(__file__).resolve().parent.parent
MODEL_NAME = "breakhis"


@dataclass(frozen=True)
class Settings:
    """Ports and folders of one running service.

    Attributes
    ----------
    inference_port, management_port, metrics_port : int
        TorchServe's three ports, all on loopback.
    model_store : Path
        Folder with ``breakhis.mar`` and archives of other versions.
    run_dir : Path
        Private folder for configuration, keys, logs and temporary files, with a short path.
    token_minutes : int
        How long TorchServe's tokens stay valid.
    """

    inference_port: int = 8080
    management_port: int = 8081
    metrics_port: int = 8082
    model_store: Path = ROOT / "model_store"
    run_dir: Path = ROOT / ".run"
    token_minutes: int = 60

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the settings; what is not set keeps its default.

        Raises
        ------
        BadSetting
            A port is not a number from 1 to 65535.
        """
        return cls(
            inference_port=port_from_environment("BREAKHIS_INFERENCE_PORT", cls.inference_port),
            management_port=port_from_environment("BREAKHIS_MANAGEMENT_PORT", cls.management_port),
            metrics_port=port_from_environment("BREAKHIS_METRICS_PORT", cls.metrics_port),
            model_store=Path(os.environ.get("BREAKHIS_MODEL_STORE") or cls.model_store).absolute(),
            run_dir=Path(os.environ.get("BREAKHIS_RUN_DIR") or cls.run_dir).absolute(),
        )

    @property
    def inference_url(self) -> str:
        """Base address of the inference API."""
        return f"http://{HOST}:{self.inference_port}"

    @property
    def management_url(self) -> str:
        """Base address of the management API."""
        return f"http://{HOST}:{self.management_port}"

    @property
    def metrics_url(self) -> str:
        """Base address of the metrics API."""
        return f"http://{HOST}:{self.metrics_port}"

    @property
    def key_file(self) -> Path:
        """File into which TorchServe writes its keys."""
        return self.run_dir / "key_file.json"
