"""ResNet18 without its classification layer.

Reference: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition",
CVPR 2016, doi:10.1109/CVPR.2016.90. Weights, their names and what a seed draws are
those of torchvision, which would take a worker more than two seconds to import.
"""

import torch
from torch import Tensor, nn

N_FEATURES = 512
N_IMAGENET = 1000


class Block(nn.Module):
    """Two 3 x 3 convolutions, and a shortcut around them."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample: nn.Module | None = None
        if stride != 1:
            shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Compute a map of shape (n, n_out, ceil(height / stride), ceil(width / stride))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """From normalised pictures, shape (n, 3, height, width), to the last feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = nn.Sequential(Block(64, 64), Block(64, 64))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256))
        self.layer4 = nn.Sequential(Block(256, N_FEATURES, 2), Block(N_FEATURES, N_FEATURES))
        # Thrown away, but torchvision draws it before what follows.
        nn.Linear(N_FEATURES, N_IMAGENET)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Compute the map, of shape (n, 512, ceil(height / 32), ceil(width / 32))."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class Trunk(nn.Module):
    """ResNet18 up to and including its average pooling.

    Parameters
    ----------
    mean, std : sequence of 3 floats
        Of the input's RGB channels on the 0..1 scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features and the map they are the average of.

        Parameters
        ----------
        pixels : Tensor of uint8 or float, shape (n, height, width, 3)
            RGB, 0 to 255.

        Returns
        -------
        features : Tensor, shape (n, 512)
        feature_map : Tensor, shape (n, 512, ceil(height / 32), ceil(width / 32))
        """
        feature_map = self.resnet((pixels.permute(0, 3, 1, 2) - self.mean) / self.std)
        return feature_map.mean(dim=(2, 3)), feature_map
