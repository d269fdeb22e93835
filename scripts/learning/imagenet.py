"""Torchvision's ResNet18 and its ImageNet weights.

A CPU-only torch beside the stock torchvision wheel can't load torchvision's compiled
operators, and `import torchvision` then fails because two of them are not declared.
ResNet18 uses neither, so declaring them is enough; where the compiled operators do load,
declaring them a second time would be an error.
"""

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _operators = torch.library.Library("torchvision", "DEF")
    _operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision.models import ResNet18_Weights, resnet18

__all__ = ["ResNet18_Weights", "resnet18"]
