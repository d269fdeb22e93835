"""TorchServe's own image classifier, unchanged, at its own 224 x 224, with the same weights."""

# First, for it declares what torchvision may lack.
from scripts.benchmarking.peers.pipeline import Pipeline  # isort: skip

from torch import nn
from ts.context import Context
from ts.torch_handler.image_classifier import ImageClassifier


class StockImageClassifier(ImageClassifier):
    """Only told where the weights are."""

    def initialize(self, context: Context) -> None:
        """Load the network as an eager model."""
        context.manifest["model"]["modelFile"] = "pipeline.py"
        super().initialize(context)

    def _load_pickled_model(self, *_: object) -> nn.Module:
        return Pipeline().network
