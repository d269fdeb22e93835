"""ResNet18 without its classification layer.

Reference: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition",
CVPR 2016, doi:10.1109/CVPR.2016.90, as implemented by torchvision.
"""

import torch
from torch import Tensor, nn

# A CPU-only torch beside the stock torchvision wheel can't load torchvision's
# compiled operators, and `import torchvision` then fails because two of them are
# not declared. ResNet18 uses neither, so declaring them is enough; where the
# compiled operators do load, declaring them a second time would be an error.
try:
    import torchvision  # noqa: F401
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _operators = torch.library.Library("torchvision", "DEF")
    _operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision.models import resnet18

from handler.errors import BadModel
from handler.weights import NOT_OURS, Weights


class Trunk(nn.Module):
    """ResNet18 up to and including its average pooling.

    Parameters
    ----------
    mean, std : sequence of 3 floats
        Statistics of the input's RGB channels on the 0..1 scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.resnet = resnet18(weights=None)
        self.resnet.fc = nn.Identity()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def of(cls, weights: Weights) -> "Trunk":
        """Build the trunk from its weights, for inference.

        Raises
        ------
        BadModel
            They are not those of a ResNet18.
        """
        trunk = cls(weights.mean, weights.std)
        arrays = {name: torch.tensor(array) for name, array in weights.arrays.items()}
        try:
            trunk.resnet.load_state_dict(arrays)
        except RuntimeError as error:
            raise BadModel(NOT_OURS.format(error)) from error
        return trunk.eval()

    def weights(self) -> Weights:
        """Return the weights as they are now, for any engine."""
        arrays = {name: array.numpy(force=True) for name, array in self.resnet.state_dict().items()}
        mean, std = ((values / 255).flatten().tolist() for values in (self.mean, self.std))
        return Weights(arrays, mean, std)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute features, the map they are the average of, and the same of earlier layers.

        Parameters
        ----------
        pixels : Tensor of uint8 or float, shape (n, height, width, 3)
            RGB, 0 to 255.

        Returns
        -------
        features : Tensor, shape (n, 512)
        feature_map : Tensor, shape (n, 512, ceil(height / 32), ceil(width / 32))
        textures : Tensor, shape (n, 448)
            The mean over space of what layer1, layer2 and layer3 give, one after the other.
        """
        third, textures = self.up_to_layer3(pixels)
        feature_map = self.resnet.layer4(third)
        return feature_map.mean(dim=(2, 3)), feature_map, textures

    def up_to_layer3(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what layer4 gets, shape (n, 256, rows, columns), and textures; see `forward`."""
        net = self.resnet
        x = (pixels.permute(0, 3, 1, 2) - self.mean) / self.std
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        first = net.layer1(x)
        second = net.layer2(first)
        third = net.layer3(second)
        textures = torch.cat([layer.mean(dim=(2, 3)) for layer in [first, second, third]], dim=1)
        return third, textures
