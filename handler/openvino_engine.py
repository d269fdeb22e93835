"""The fast engine for CPUs: OpenVINO, in single precision or with 8-bit integers.

Integers are used between the convolutions, never before the first: where the CPU has
no VNNI, products of bright pixels with the first weights overflow 16 bits.
Reference: OpenVINO, "Quantization scheme" (FakeQuantize operations become integer ones).
"""

import sys

# OpenVINO reports each import and conversion to an analytics service, unless the package
# that does so can't be imported.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as ops
from openvino.op import Result

from handler.features import Features
from handler.resnet import Trunk

# Weights are symmetric about zero, activations start at it.
WEIGHT_LEVELS, ACTIVATION_LEVELS = 255, 256


class OpenVinoEngine:
    """The trunk, compiled for images one by one.

    Each image is a request of its own, so no batch is a new shape. A lone image gets all
    threads; of several, each gets one, which is faster for all of them together.

    Parameters
    ----------
    trunk : Trunk
    size : tuple of 2 int
        Width and height of the input, in pixels.
    threads : int
    maxima : list of float, optional
        Highest activations, as `ActivationRanges` measures them: integers are used. Without
        them the engine computes in single precision.
    """

    def __init__(
        self, trunk: Trunk, size: tuple[int, int], threads: int, maxima: list[float] | None = None
    ) -> None:
        self.name = "openvino-fp32" if maxima is None else "openvino-int8"
        model = _convert(trunk, size)
        if maxima is not None:
            _quantise(model, maxima)
        self._threads = threads
        # With one thread it would be the same as those below.
        if threads > 1:
            self._alone = _compile(model, threads, streams=1).create_infer_request()
        # Twice as many requests as streams, so that no stream waits for its next image.
        self._together = ov.AsyncInferQueue(_compile(model, threads, streams=threads), 2 * threads)

    def extract(self, fields: np.ndarray) -> Features:
        """Compute the features of many fields; see `handler.features.Engine`."""
        answers: list[Features] = [None] * len(fields)  # type: ignore[list-item]

        def keep(request: ov.InferRequest, i: int) -> None:
            answers[i] = Features(*(output.data.copy() for output in request.output_tensors))

        # One image that is left over would keep one thread busy and the others idle.
        left_over = len(fields) % self._threads == 1
        self._together.set_callback(keep)
        for i in range(len(fields) - left_over):
            self._together.start_async(fields[i : i + 1], i)
        self._together.wait_all()
        if left_over:
            self._alone.infer(fields[-1:])
            keep(self._alone, len(fields) - 1)
        return Features(*(np.concatenate(output) for output in zip(*answers, strict=True)))


class ActivationRanges:
    """Watches what goes into the convolutions of a trunk.

    Parameters
    ----------
    trunk : Trunk
    size : tuple of 2 int
        Width and height of the input, in pixels.
    """

    def __init__(self, trunk: Trunk, size: tuple[int, int]) -> None:
        model = _convert(trunk, size)
        watched = _activations(model)
        model.add_results([Result(activation) for activation in watched])
        self._request = _compile(model, threads=1, streams=1).create_infer_request()
        self.maxima = [0.0] * len(watched)

    def watch(self, field: np.ndarray) -> None:
        """Take one field, of uint8 and shape (height, width, 3), into `maxima`."""
        activations = list(self._request.infer(field[None]).values())[-len(self.maxima) :]
        self.maxima = [
            max(highest, float(activation.max()))
            for highest, activation in zip(self.maxima, activations, strict=True)
        ]


def _convert(trunk: Trunk, size: tuple[int, int]) -> ov.Model:
    width, height = size
    shape = (1, height, width, 3)
    example = torch.zeros(shape, dtype=torch.uint8)
    # OpenVINO would trace it as well, but check the trace, which takes a second.
    traced = torch.jit.trace(trunk.eval(), example, check_trace=False)
    return ov.convert_model(traced, example_input=example, input=[shape])


def _convolutions(model: ov.Model) -> list[ov.Node]:
    """Return all convolutions but the first."""
    return [op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"][1:]


def _activations(model: ov.Model) -> list[ov.Output]:
    """Return what goes into these convolutions, all after a ReLU, each once."""
    sources = [op.input(0).get_source_output() for op in _convolutions(model)]
    return list({source.get_node().get_name(): source for source in sources}.values())


def _quantise(model: ov.Model, maxima: list[float]) -> None:
    """Mark activations and weights for 8-bit integers, in place."""
    for activation, highest in zip(_activations(model), maxima, strict=True):
        consumers = activation.get_target_inputs()
        low, high = np.float32(0), np.float32(highest)
        rounded = ops.fake_quantize(activation, low, high, low, high, ACTIVATION_LEVELS)
        for consumer in consumers:
            consumer.replace_source_output(rounded.output(0))
    for convolution in _convolutions(model):
        weights = convolution.input(1).get_source_output()
        limit = np.abs(weights.get_node().get_data()).max(axis=(1, 2, 3), keepdims=True)
        # A channel may be all zeros.
        limit = np.maximum(limit, np.finfo(np.float32).tiny)
        rounded = ops.fake_quantize(weights, -limit, limit, -limit, limit, WEIGHT_LEVELS)
        convolution.input(1).replace_source_output(rounded.output(0))


def _compile(model: ov.Model, threads: int, streams: int) -> ov.CompiledModel:
    # Single precision also where the CPU offers bfloat16, so that answers agree everywhere.
    options = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        # The same cores decode images in between.
        "ENABLE_CPU_PINNING": False,
    }
    return ov.Core().compile_model(model, "CPU", options)
