"""The reference engine, and the one for GPUs: PyTorch."""

from collections.abc import Iterable

import numpy as np
import torch

from handler.features import Features
from handler.resnet import Trunk

# Bounds the memory of one forward pass, about 10 MB an image.
MAX_FORWARD = 128


class TorchEngine:
    """PyTorch, which in single precision is the reference for every other engine.

    Parameters
    ----------
    trunk : Trunk
    device : str
        A torch device.
    half : bool
        Whether to compute in half precision, for GPUs.
    """

    def __init__(self, trunk: Trunk, device: str = "cpu", *, half: bool = False) -> None:
        self.name = "torch-fp16" if half else "torch-fp32"
        self._half = half
        self._device = torch.device(device)
        self._trunk = trunk.eval().to(device)
        self._trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def extract(self, fields: Iterable[np.ndarray]) -> Features:
        """Compute the features of many fields; see `handler.features.Engine`.

        More than `MAX_FORWARD` fields are passed in pieces of that size.
        """
        together = np.stack(list(fields))
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            parts = [
                self._trunk(torch.from_numpy(together[i : i + MAX_FORWARD]).to(self._device))
                for i in range(0, len(together), MAX_FORWARD)
            ]
        return Features(
            *(torch.cat(output).float().cpu().numpy() for output in zip(*parts, strict=True))
        )
