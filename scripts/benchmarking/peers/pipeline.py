"""The model as its parts are used everywhere: Pillow, eager PyTorch, scikit-learn."""

import io
import json
import pickle
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from handler import MANIFEST
from handler.decision import DecisionRule
from handler.resnet import Trunk
from handler.weights import Weights
from scripts.paths import MODEL_STORE


class Pipeline:
    """Decodes, resizes, normalises, and gives label and decision: the service's own work.

    The size, the weights, the scaler, the SVM and its threshold are the committed model's.
    """

    def __init__(self) -> None:
        manifest = json.loads((MODEL_STORE / MANIFEST).read_text("utf-8"))
        prepare, files = manifest["preprocessing"], manifest["files"]
        self.size = (prepare["width"], prepare["height"])
        self._mean, self._std = (
            torch.tensor(prepare[name]).view(3, 1, 1) for name in ("mean", "std")
        )
        weights = (MODEL_STORE / files["weights"]["name"]).read_bytes()
        # From normalised pictures of (n, 3, height, width) to (n, 512).
        self.network = Trunk.of(Weights.read(weights, prepare["mean"], prepare["std"])).resnet
        self._svm = pickle.loads((MODEL_STORE / files["svm"]["name"]).read_bytes())
        self._rule = DecisionRule(**manifest["decision_rule"])

    def read(self, data: bytes) -> Tensor:
        """Decode an image, resize and normalise it: float32 of (3, height, width)."""
        image = Image.open(io.BytesIO(data)).convert("RGB").resize(self.size)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
        return (pixels - self._mean) / self._std

    @torch.inference_mode()
    def extract(self, fields: Tensor) -> Tensor:
        """Compute the features of many fields that were read: float32 of (n, 512)."""
        return self.network(fields)

    def answer(self, features: Tensor) -> list[dict[str, Any]]:
        """Put features through scaler and SVM: label and decision of each field."""
        decisions = self._svm.decision_function(features.numpy()).tolist()
        return [{"label": self._rule.label(each), "decision": each} for each in decisions]
