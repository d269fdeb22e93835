"""Fields in, 512 features and the last feature map out."""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from handler.errors import BadModel
from handler.resnet import Trunk

# Bounds the memory of one forward pass, about 10 MB an image.
MAX_FORWARD = 128


class Features(NamedTuple):
    """What the trunk says of n fields.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, 512)
        Each is the mean over space of its map.
    maps : ndarray of float32, shape (n, 512, rows, columns)
    textures : ndarray of float32, shape (n, 448)
        The same means of the outputs of layer1, layer2 and layer3, which see less of the
        tissue at once: its texture and scale.
    """

    vectors: np.ndarray
    maps: np.ndarray
    textures: np.ndarray


class Engine(Protocol):
    """Runs the trunk on some hardware.

    Attributes
    ----------
    name : str
        Library and number format, as in ``torch-fp32``.
    """

    name: str

    def extract(self, fields: np.ndarray) -> Features:
        """Compute the features of many fields.

        Parameters
        ----------
        fields : ndarray of uint8, shape (n, height, width, 3)
            RGB, resized to the model's input size, n at least 1.
        """
        ...


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
    def extract(self, fields: np.ndarray) -> Features:
        """Compute the features of many fields; see `Engine`.

        More than `MAX_FORWARD` fields are passed in pieces of that size.
        """
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            parts = [
                self._trunk(torch.from_numpy(fields[i : i + MAX_FORWARD]).to(self._device))
                for i in range(0, len(fields), MAX_FORWARD)
            ]
        return Features(
            *(torch.cat(output).float().cpu().numpy() for output in zip(*parts, strict=True))
        )


def load_trunk(weights: bytes, mean: list[float], std: list[float]) -> Trunk:
    """Build the trunk from safetensors bytes.

    Parameters
    ----------
    weights : bytes
        Safetensors with torchvision's key names, without ``fc``; any float type.
    mean, std : list of 3 floats
        See `Trunk`.

    Raises
    ------
    BadModel
        The bytes are not safetensors, or not those of a ResNet18.
    """
    trunk = Trunk(mean, std)
    try:
        trunk.resnet.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        raise BadModel(
            f"The weights are not those of a ResNet18 without fc ({error}). Train the model again."
        ) from error
    return trunk
