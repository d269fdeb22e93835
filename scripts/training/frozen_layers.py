"""The layers that training leaves as they are: what they give serves every fold and seed."""

from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from handler.resnet import Trunk
from scripts.training.recipe import MEAN, STD

# Passed through at a time: small pieces stay in the processor's cache.
BATCH = 16


class Frozen(NamedTuple):
    """What layer3 gives for n pictures of one size, and their textures.

    Attributes
    ----------
    maps : Tensor of float32, shape (n, 256, rows, columns)
    textures : ndarray of float32, shape (n, 448)
        See `handler.features.Features`.
    """

    maps: Tensor
    textures: np.ndarray


class FrozenLayers:
    """The trunk up to layer3.

    Parameters
    ----------
    start : dict of str to Tensor
        Starting weights, with torchvision's names.
    """

    def __init__(self, start: dict[str, Tensor]) -> None:
        self._trunk = Trunk(MEAN, STD)
        # As they are served, in half precision.
        rounded = {
            name: v.half().float() if v.is_floating_point() else v for name, v in start.items()
        }
        self._trunk.resnet.load_state_dict(rounded, strict=False)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._trunk.eval().to(self._device)
        self._trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray | Tensor) -> Frozen:
        """Compute them for pictures of uint8 or float, 0 to 255, shape (n, h, w, 3)."""
        pieces = [
            self._trunk.up_to_layer3(torch.as_tensor(pictures[i : i + BATCH]).to(self._device))
            for i in track(range(0, len(pictures), BATCH), "Frozen layers", transient=True)
        ]
        maps, textures = (torch.cat(column).cpu() for column in zip(*pieces, strict=True))
        return Frozen(maps, textures.numpy())
