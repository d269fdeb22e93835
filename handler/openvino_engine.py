"""The fast engine for CPUs: OpenVINO, in single precision or with 8-bit integers."""

from collections.abc import Iterable
from functools import cache

import numpy as np
import openvino as ov

from handler.features import Features
from handler.openvino_graph import brightest_sum, trunk_graph
from handler.weights import Weights


class OpenVinoEngine:
    """The trunk, compiled for images one by one.

    Each image is a request of its own, so no batch is a new shape. A lone image gets all
    threads; of several, each gets one, which is faster for all of them together.

    Parameters
    ----------
    weights : Weights
    size : tuple of 2 int
        Width and height of the input, in pixels.
    threads : int
    maxima : list of float, optional
        See `handler.openvino_graph.trunk_graph`; without them the engine computes in single
        precision.
    """

    def __init__(
        self,
        weights: Weights,
        size: tuple[int, int],
        threads: int,
        maxima: list[float] | None = None,
    ) -> None:
        self.name = "openvino-fp32" if maxima is None else "openvino-int8"
        model = trunk_graph(weights, size, maxima, no_overflow=has_no_overflow())
        self._threads = threads
        # With one thread it would be the same as those below.
        if threads > 1:
            self._alone = _compile(model, threads, streams=1).create_infer_request()
        # Twice as many requests as streams, so that no stream waits for its next image.
        self._together = ov.AsyncInferQueue(_compile(model, threads, streams=threads), 2 * threads)

    def extract(self, fields: Iterable[np.ndarray]) -> Features:
        """Compute the features of many fields; see `handler.features.Engine`."""
        answers: list[Features] = []

        def keep(request: ov.InferRequest, i: int) -> None:
            answers[i] = Features(*(output.data.copy() for output in request.output_tensors))

        self._together.set_callback(keep)
        waiting = None
        try:
            for field in fields:
                if waiting is not None:
                    self._together.start_async(waiting, len(answers) - 1)
                answers.append(None)  # type: ignore[arg-type]
                waiting = field[None]
            # One image that is left over would keep one thread busy and the others idle.
            left_over = len(answers) % self._threads == 1
            if not left_over:
                self._together.start_async(waiting, len(answers) - 1)
        finally:
            # Also if a field could not be made: no answer may come during the next call.
            self._together.wait_all()
        if left_over:
            self._alone.infer(waiting)
            keep(self._alone, len(answers) - 1)
        return Features(*(np.concatenate(output) for output in zip(*answers, strict=True)))


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


@cache
def has_no_overflow() -> bool:
    """Tell by trying whether OpenVINO adds products of 8-bit integers without overflow here.

    It does with VNNI, if the CPU has that and OpenVINO is not told to leave it alone.
    """
    compiled = ov.Core().compile_model(brightest_sum(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    white = np.full(compiled.input().shape, 255, np.uint8)
    return bool(np.allclose(compiled(white)[0], 1, atol=0.02))
