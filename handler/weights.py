"""The weights of the ResNet18, whatever library it runs in."""

from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from handler.errors import BadModel

NOT_OURS = "The weights are not those of a ResNet18 without fc ({}). Train the model again."


@dataclass(frozen=True)
class Weights:
    """What the trunk is made of.

    Attributes
    ----------
    arrays : dict of str to ndarray
        By torchvision's key names, without ``fc``; of float16 or float32.
    mean, std : list of 3 floats
        Statistics of the input's RGB channels on the 0..1 scale.
    """

    arrays: dict[str, np.ndarray]
    mean: list[float]
    std: list[float]

    @classmethod
    def read(cls, data: bytes, mean: list[float], std: list[float]) -> "Weights":
        """Read them from safetensors bytes.

        Raises
        ------
        BadModel
            The bytes are not safetensors.
        """
        try:
            return cls(load(data), mean, std)
        except SafetensorError as error:
            raise BadModel(NOT_OURS.format(error)) from error
