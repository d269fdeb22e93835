"""LitServe with dynamic batching.

python -m scripts.benchmarking.peers.litserve_app PORT WORKERS THREADS
"""

import sys
from typing import Any

import litserve
import torch
from fastapi import Request
from torch import Tensor

from scripts.benchmarking.peers import resnet


class Features(litserve.LitAPI):
    """Features of the image in a form's part ``image``."""

    def __init__(self, threads: int) -> None:
        super().__init__(max_batch_size=8, batch_timeout=0.005)
        self._threads = threads

    def setup(self, device: str) -> None:
        """Load the network in a worker."""
        torch.set_num_threads(self._threads)
        self._network = resnet.load()

    def decode_request(self, request: Request) -> Tensor:
        """Read the image."""
        return resnet.read(request["image"].file.read())

    @torch.inference_mode()
    def predict(self, x: Tensor) -> Tensor:
        """Compute the features."""
        return self._network(x)

    def encode_response(self, output: Tensor) -> dict[str, Any]:
        """Answer with some features."""
        return {"features": output[:5].tolist()}


if __name__ == "__main__":
    port, workers, threads = map(int, sys.argv[1:])
    server = litserve.LitServer(Features(threads), accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, generate_client_file=False)
