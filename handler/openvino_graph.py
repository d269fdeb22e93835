"""ResNet18 up to its average pooling as an OpenVINO graph, straight from its weights.

Integers are used between the convolutions, never before the first: where the CPU has
no VNNI, products of bright pixels with the first weights overflow 16 bits.
Reference: OpenVINO, "Quantization scheme" (FakeQuantize operations become integer ones).
"""

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from handler.errors import BadModel
from handler.weights import NOT_OURS, Weights

# Stride of the first block of each layer.
STRIDES = {"layer1": 1, "layer2": 2, "layer3": 2, "layer4": 2}
# Added to the variance; PyTorch's default.
EPSILON = 1e-5
# Weights are symmetric about zero, activations start at it.
WEIGHT_LEVELS, ACTIVATION_LEVELS = 255, 256


def trunk_graph(
    weights: Weights, size: tuple[int, int], maxima: list[float] | None = None
) -> ov.Model:
    """Build the graph for one image.

    Parameters
    ----------
    weights : Weights
    size : tuple of 2 int
        Width and height of the input, in pixels.
    maxima : list of float, optional
        Highest value of what goes into each 3x3 convolution, in the network's order: with
        them the convolutions but the first use 8-bit integers.

    Returns
    -------
    ov.Model
        Takes uint8 of shape (1, height, width, 3); gives vectors, maps and textures, as
        `handler.features.Features`.

    Raises
    ------
    BadModel
        The weights are not those of a ResNet18.
    """
    try:
        return _Graph(weights, maxima).build(size)
    except (KeyError, ValueError) as error:
        raise BadModel(NOT_OURS.format(error)) from error


class _Graph:
    def __init__(self, weights: Weights, maxima: list[float] | None) -> None:
        self._weights = weights
        self._quantised = maxima is not None
        self._maxima: Iterator[float] = iter(maxima) if maxima is not None else repeat(0.0)

    def build(self, size: tuple[int, int]) -> ov.Model:
        width, height = size
        pixels = ops.parameter([1, height, width, 3], np.uint8)
        x = ops.transpose(ops.convert(pixels, np.float32), np.array([0, 3, 1, 2]))
        mean, std = (
            np.array(values, np.float32).reshape(1, 3, 1, 1) * np.float32(255)
            for values in (self._weights.mean, self._weights.std)
        )
        x = (x - mean) / std
        x = ops.relu(self._convolution(x, *self._folded("conv1", "bn1"), stride=2))
        x = ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
        textures = []
        for layer, stride in STRIDES.items():
            x = self._block(self._block(x, f"{layer}.0", stride), f"{layer}.1", 1)
            textures.append(_mean(x))
        vectors = textures.pop()
        return ov.Model([vectors, x, ops.concat(textures, 1)], [pixels])

    def _block(self, x: ov.Node, name: str, stride: int) -> ov.Node:
        x = self._rounded(x)
        shortcut = x
        if stride > 1:
            downsample = self._folded(f"{name}.downsample.0", f"{name}.downsample.1")
            shortcut = self._convolution(x, *downsample, stride=stride)
        x = self._convolution(x, *self._folded(f"{name}.conv1", f"{name}.bn1"), stride=stride)
        x = self._rounded(ops.relu(x))
        x = self._convolution(x, *self._folded(f"{name}.conv2", f"{name}.bn2"), stride=1)
        return ops.relu(ops.add(x, shortcut))

    def _folded(self, convolution: str, normalisation: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a convolution's kernel and bias that include the normalisation after it."""
        kernel, scale, bias, mean, variance = (
            self._weights.arrays[name].astype(np.float32)
            for name in (
                f"{convolution}.weight",
                *(f"{normalisation}.{part}" for part in ("weight", "bias")),
                *(f"{normalisation}.running_{part}" for part in ("mean", "var")),
            )
        )
        scale = scale / np.sqrt(variance + np.float32(EPSILON))
        return kernel * scale.reshape(-1, 1, 1, 1), (bias - mean * scale).reshape(1, -1, 1, 1)

    def _convolution(
        self, x: ov.Node, kernel: np.ndarray, bias: np.ndarray, stride: int
    ) -> ov.Node:
        padding = [kernel.shape[2] // 2] * 2
        k = ops.constant(kernel)
        if self._quantised and kernel.shape[1] > 3:
            limit = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True)
            # A channel may be all zeros.
            limit = np.maximum(limit, np.finfo(np.float32).tiny)
            k = ops.fake_quantize(k, -limit, limit, -limit, limit, WEIGHT_LEVELS)
        return ops.convolution(x, k, [stride] * 2, padding, padding, [1, 1]) + bias

    def _rounded(self, x: ov.Node) -> ov.Node:
        if not self._quantised:
            return x
        low, high = np.float32(0), np.float32(next(self._maxima))
        return ops.fake_quantize(x, low, high, low, high, ACTIVATION_LEVELS)


def _mean(x: ov.Node) -> ov.Node:
    return ops.reduce_mean(x, np.array([2, 3]))
