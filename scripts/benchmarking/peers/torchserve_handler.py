"""TorchServe with a handler on its own vision handler: the same work as the service's."""

# First, for it declares what torchvision may lack.
from scripts.benchmarking.peers.pipeline import Pipeline  # isort: skip

from typing import Any

from torch import Tensor, nn, stack
from ts.context import Context
from ts.torch_handler.vision_handler import VisionHandler


class Classifier(VisionHandler):
    """Only told how an image is read, what the network is, and what follows it."""

    def initialize(self, context: Context) -> None:
        """Load the network as an eager model."""
        context.manifest["model"]["modelFile"] = "pipeline.py"
        super().initialize(context)

    def _load_pickled_model(self, *_: object) -> nn.Module:
        self._pipeline = Pipeline()
        return self._pipeline.network

    def preprocess(self, data: list[dict[str, Any]]) -> Tensor:
        """Read the images of a batch."""
        bodies = (row.get("data") or row.get("body") for row in data)
        return stack([self._pipeline.read(bytes(body)) for body in bodies if body])

    def postprocess(self, data: Tensor) -> list[dict[str, Any]]:
        """Give label and decision of each."""
        return self._pipeline.answer(data)
