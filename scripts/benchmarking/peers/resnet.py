"""The same ResNet18 weights in the usual pipeline: squash to 224 x 224, normalise, eager."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from handler.resnet import Trunk
from handler.weights import Weights
from scripts.paths import MODEL_STORE
from scripts.training.recipe import MEAN, STD


def load() -> nn.Module:
    """Return the network, from normalised pictures of (n, 3, 224, 224) to (n, 512)."""
    weights = (MODEL_STORE / "weights.safetensors").read_bytes()
    return Trunk.of(Weights.read(weights, MEAN, STD)).resnet.eval()


def read(data: bytes) -> Tensor:
    """Decode an image, squash it and normalise it: float32 of (3, 224, 224)."""
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
