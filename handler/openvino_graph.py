"""ResNet18 up to its average pooling as an OpenVINO graph, straight from its weights.

Reference: OpenVINO, "Quantization scheme" (FakeQuantize operations become integer ones).
"""

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
    weights: Weights,
    size: tuple[int, int],
    maxima: list[float] | None = None,
    *,
    no_overflow: bool = False,
) -> ov.Model:
    """Build the graph for one image.

    Parameters
    ----------
    weights : Weights
    size : tuple of 2 int
        Width and height of the input, in pixels.
    maxima : list of float, optional
        Highest value of what goes into each 3x3 convolution, in the network's order: with
        them the convolutions use 8-bit integers.
    no_overflow : bool
        Whether sums of products of 8-bit integers come out right, see `brightest_sum`: if not,
        the first convolution stays in floating point.

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
        return _Graph(weights, maxima, no_overflow).build(size)
    except (KeyError, ValueError) as error:
        raise BadModel(NOT_OURS.format(error)) from error


def brightest_sum() -> ov.Model:
    """Build a graph that adds the largest products a first convolution can have.

    Without VNNI, CPUs add two products of 8-bit integers in 16 bits, and these overflow.

    Returns
    -------
    ov.Model
        Takes uint8 of shape (1, 3, 3, 16), all 255; gives 1, or less where sums overflow.
    """
    channels = 16
    middle = np.full((1, channels, 1, 1), 128, np.float32)
    pixels = ops.parameter([1, 3, 3, channels], np.uint8)
    kernel = np.full((channels, channels, 1, 1), 255 / 127 / channels, np.float32)
    return ov.Model([_convolution(_integers(pixels, middle), _whole(kernel), 1)], [pixels])


class _Graph:
    def __init__(self, weights: Weights, maxima: list[float] | None, no_overflow: bool) -> None:
        self._weights = weights
        self._quantised = maxima is not None
        self._first_quantised = self._quantised and no_overflow
        self._maxima = iter(maxima or ())

    def build(self, size: tuple[int, int]) -> ov.Model:
        width, height = size
        pixels = ops.parameter([1, height, width, 3], np.uint8)
        x = self._rounded(ops.relu(self._first(pixels)))
        x = ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
        textures = []
        for layer, stride in STRIDES.items():
            x = self._block(self._block(x, f"{layer}.0", stride), f"{layer}.1", 1)
            textures.append(ops.reduce_mean(x, np.array([2, 3])))
        vectors = textures.pop()
        return ov.Model([vectors, x, ops.concat(textures, 1)], [pixels])

    def _first(self, pixels: ov.Node) -> ov.Node:
        kernel, bias = self._folded("conv1", "bn1")
        mean, std = (
            np.array(values, np.float32).reshape(1, 3, 1, 1)
            for values in (self._weights.mean, self._weights.std)
        )
        kernel = kernel / std
        # Integers have no fractions. The bias makes up for those of the mean, except in the
        # padding, which is then half a grey level off at most.
        zero = np.round(255 * mean) if self._first_quantised else 255 * mean
        bias = bias + (kernel * (zero / 255 - mean)).sum(axis=(1, 2, 3)).reshape(1, -1, 1, 1)
        x = _integers(pixels, zero)
        return self._convolution(x, kernel, bias, 2, quantised=self._first_quantised)

    def _block(self, x: ov.Node, name: str, stride: int) -> ov.Node:
        shortcut = x
        if stride > 1:
            downsample = self._folded(f"{name}.downsample.0", f"{name}.downsample.1")
            shortcut = self._convolution(x, *downsample, stride, quantised=self._quantised)
        for n, step in ((1, stride), (2, 1)):
            folded = self._folded(f"{name}.conv{n}", f"{name}.bn{n}")
            x = self._convolution(x, *folded, step, quantised=self._quantised)
            x = self._rounded(ops.relu(x if n == 1 else ops.add(x, shortcut)))
        return x

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
        self, x: ov.Node, kernel: np.ndarray, bias: np.ndarray, stride: int, *, quantised: bool
    ) -> ov.Node:
        weights = _whole(kernel) if quantised else ops.constant(kernel)
        return _convolution(x, weights, stride) + bias

    def _rounded(self, x: ov.Node) -> ov.Node:
        """Round what goes into a convolution; none comes after the last."""
        highest = next(self._maxima, None)
        if highest is None:
            return x
        low, high = np.float32(0), np.float32(highest)
        return ops.fake_quantize(x, low, high, low, high, ACTIVATION_LEVELS)


def _integers(pixels: ov.Node, zero: np.ndarray) -> ov.Node:
    x = ops.transpose(ops.convert(pixels, np.float32), np.array([0, 3, 1, 2]))
    # Only in this form, with a factor last, does OpenVINO see that these are integers.
    return ops.multiply(x - zero, np.float32(1 / 255))


def _whole(kernel: np.ndarray) -> ov.Node:
    limit = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True)
    # A channel may be all zeros.
    limit = np.maximum(limit, np.finfo(np.float32).tiny)
    return ops.fake_quantize(ops.constant(kernel), -limit, limit, -limit, limit, WEIGHT_LEVELS)


def _convolution(x: ov.Node, kernel: ov.Node, stride: int) -> ov.Node:
    padding = [kernel.shape[2] // 2] * 2
    return ops.convolution(x, kernel, [stride] * 2, padding, padding, [1, 1])
