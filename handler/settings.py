"""How the model runs: the handler's part of ``model-config.yaml``."""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import joblib
import yaml

from handler.limits import Limits
from handler.model import Model

CONFIG = Path(__file__).with_name("model-config.yaml")


@dataclass(frozen=True)
class HandlerSettings:
    """The settings, the same for the service and for work without it.

    Attributes
    ----------
    engine : str
        See `handler.engines.open_engine`.
    threads : int
        How many images are worked on at a time.
    max_images : int
        Most images in one request.
    limits : Limits
        What is accepted of one image.
    """

    engine: str
    threads: int
    max_images: int
    limits: Limits

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Take the settings out of the whole configuration, as TorchServe hands it over."""
        own = config["handler"]
        return cls(
            engine=own["engine"],
            threads=own["threads"] or joblib.cpu_count(),
            max_images=own["max_images"],
            limits=Limits(**own["image_limits"]),
        )

    @classmethod
    def read(cls) -> Self:
        """Read the settings that the next archive is built with."""
        return cls.from_config(yaml.safe_load(CONFIG.read_text("utf-8")))

    def open_model(self, folder: Path, gpu: int | None) -> Model:
        """Open the model of this process, which gets the threads for itself.

        Parameters
        ----------
        folder : Path
        gpu : int or None
            Number of the GPU to compute on, if there is one; None for the CPU.

        Raises
        ------
        UnknownEngine, BadModel
            See `Model.open`.
        """
        # Images are worked on side by side; threads within one would only add to them.
        cv2.setNumThreads(1)
        device = "cpu" if gpu is None or not _has_gpu() else f"cuda:{gpu}"
        model = Model.open(folder, device, engine=self.engine, threads=self.threads)
        if model.engine.name.startswith("torch"):
            import torch  # noqa: PLC0415 # it takes seconds to import

            torch.set_num_threads(self.threads)
        return model


def _has_gpu() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:  # no driver, so PyTorch need not be asked
        return False
    import torch  # noqa: PLC0415 # as above

    return torch.cuda.is_available()
