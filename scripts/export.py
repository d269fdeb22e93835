"""Export the model for other tools: WSInfer and QuPath, and anything that runs ONNX.

    python -m scripts.export FOLDER

Writes, in the form of the WSInfer model zoo, ``torchscript_model.pt`` and
``config.json``, and ``model.onnx``. Trunk, scaler, SVM and calibration are one graph.
Tissue checks, abstention and heat maps stay behind.
"""

import argparse
import io
import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from handler import MANIFEST
from handler.light import DARKEST_GLASS, GLASS_PERCENTILE, STANDARD_GLASS
from handler.manifest import TrainingField
from handler.prediction import CLASSES
from handler.resnet import Trunk
from handler.svm import Svm
from handler.weights import Weights
from handler.whole_file import write_whole
from scripts.paths import MODEL_STORE

# Side of the square that WSInfer cuts out of a slide: as high as a field, and a
# multiple of the trunk's stride.
PATCH = 224
TORCHSCRIPT, CONFIG, ONNX = "torchscript_model.pt", "config.json", "model.onnx"


class Graph(nn.Module):
    """Trunk, scaler, SVM and Platt's sigmoid as one network.

    Parameters
    ----------
    trunk : Trunk
    svm : Svm
    slope, intercept : float
        Parameters of the calibration.
    """

    centre: Tensor
    scale: Tensor
    support: Tensor
    weights: Tensor
    luminance: Tensor

    def __init__(self, trunk: Trunk, svm: Svm, slope: float, intercept: float) -> None:
        super().__init__()
        scaler, svc = (step for _, step in svm.pipeline.steps)
        for name, values in {
            "centre": scaler.mean_,
            "scale": scaler.scale_,
            "support": svc.support_vectors_,
            "weights": svc.dual_coef_[0],
            # Red, green and blue in grey, as OpenCV has it (ITU-R BT.601).
            "luminance": [0.299, 0.587, 0.114],
        }.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32))
        self.trunk = trunk
        self.gamma = svm.gamma
        self.bias = float(svc.intercept_[0])
        self.slope, self.intercept = slope, intercept
        # TorchScript reads no constants of a module.
        self.glass_percentile = GLASS_PERCENTILE
        self.standard_glass, self.darkest_glass = float(STANDARD_GLASS), float(DARKEST_GLASS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits, whose softmax are the probabilities of benign and malignant.

        Parameters
        ----------
        pixels : Tensor of float, shape (n, 3, height, width)
            RGB, 0 to 1, at the model's micrometres a pixel.

        Returns
        -------
        Tensor, shape (n, 2)
        """
        levels = torch.round(255 * pixels.permute(0, 2, 3, 1))
        features, _, _ = self.trunk(self.in_standard_light(levels))
        scaled = (features - self.centre) / self.scale
        # |z - s|^2, multiplied out: the differences themselves would be n x s x 512 numbers.
        distance = (
            scaled.square().sum(dim=1, keepdim=True)
            + self.support.square().sum(dim=1)
            - 2 * scaled @ self.support.t()
        )
        decision = torch.exp(-self.gamma * distance) @ self.weights + self.bias
        malignant = self.slope * decision + self.intercept
        return torch.stack((torch.zeros_like(malignant), malignant), dim=1)

    def in_standard_light(self, levels: Tensor) -> Tensor:
        """Do what `handler.light.in_standard_light` does, to levels of (n, height, width, 3)."""
        grey = torch.round(levels @ self.luminance).flatten(1)
        # In integers, which ONNX can keep open for other sizes of the picture.
        hundredfold = self.glass_percentile * (grey.shape[1] - 1)
        top = grey.topk(grey.shape[1] - hundredfold // 100, dim=1).values
        glass = top[:, -1] + (hundredfold % 100) / 100 * (top[:, -2] - top[:, -1])
        factor = self.standard_glass / glass.clamp(min=self.darkest_glass)
        return torch.round(levels * factor[:, None, None, None]).clamp(0, 255)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="to write into")
    args = parser.parse_args()
    export(MODEL_STORE, args.folder)
    print(f"Wrote {TORCHSCRIPT}, {CONFIG} and {ONNX} into {args.folder}.")


def export(model: Path, folder: Path) -> None:
    """Export the model in one folder into another.

    Parameters
    ----------
    model : Path
        Folder with manifest, weights and SVM.
    folder : Path
    """
    manifest = json.loads((model / MANIFEST).read_text("utf-8"))
    preprocessing, rule = manifest["preprocessing"], manifest["decision_rule"]
    width, height = preprocessing["width"], preprocessing["height"]
    weights, svm = (
        (model / manifest["files"][part]["name"]).read_bytes() for part in ("weights", "svm")
    )
    trunk = Trunk.of(Weights.read(weights, preprocessing["mean"], preprocessing["std"]))
    graph = Graph(trunk, Svm.from_pickle(svm), rule["slope"], rule["intercept"]).eval()

    script = io.BytesIO()
    torch.jit.save(torch.jit.script(graph), script)
    write_whole(folder / TORCHSCRIPT, script.getvalue())

    program = torch.onnx.export(
        nn.Sequential(graph, nn.Softmax(dim=1)).eval(),
        (torch.zeros(2, 3, height, width),),
        input_names=["pixels"],
        output_names=["probabilities"],
        dynamic_shapes=({0: "n", 2: "height", 3: "width"},),
        dynamo=True,
    )
    assert program is not None  # With dynamo=True there always is one.
    write_whole(folder / ONNX, program.model_proto.SerializeToString())

    field = TrainingField(**manifest["field"])
    # By how much a field is shrunk to the model's input, as the mean of both directions.
    shrink = math.sqrt(field.width / width * field.height / height)
    config = {
        "spec_version": "1.0",
        "architecture": "resnet18",
        "num_classes": len(CLASSES),
        "class_names": list(CLASSES),
        "patch_size_pixels": PATCH,
        "spacing_um_px": round(field.micrometres_per_pixel * shrink, 4),
        # WSInfer cuts patches at the slide's own resolution, and leaves resizing to this.
        "transform": [{"name": "Resize", "arguments": {"size": PATCH}}, {"name": "ToTensor"}],
    }
    write_whole(folder / CONFIG, json.dumps(config, indent=2).encode())


if __name__ == "__main__":
    main()
