"""LitServe with dynamic batching.

python -m scripts.benchmarking.peers.litserve_app PORT WORKERS THREADS
"""

import sys
from typing import Any

import litserve
import torch
from fastapi import Request
from torch import Tensor

from scripts.benchmarking.peers.pipeline import Pipeline


class Classifier(litserve.LitAPI):
    """Label and decision for an image in a form's part ``image``."""

    def __init__(self, threads: int) -> None:
        super().__init__(max_batch_size=8, batch_timeout=0.005)
        self._threads = threads

    def setup(self, device: str) -> None:
        """Load the model in a worker."""
        torch.set_num_threads(self._threads)
        self._pipeline = Pipeline()

    def decode_request(self, request: Request) -> Tensor:
        """Read the image."""
        return self._pipeline.read(request["image"].file.read())

    def predict(self, x: Tensor) -> list[dict[str, Any]]:
        """Judge a batch."""
        return self._pipeline.answer(self._pipeline.extract(x))

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Answer."""
        return output


# LitServe knows an older MCP library than the page has, and would not start with it.
litserve.server._MCP_AVAILABLE = False

if __name__ == "__main__":
    port, workers, threads = map(int, sys.argv[1:])
    server = litserve.LitServer(Classifier(threads), accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, generate_client_file=False)
