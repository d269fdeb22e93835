"""Fine-tune the last stage of the trunk, so that its features tell malignant from benign tissue."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from handler.resnet import N_FEATURES, Trunk
from scripts.learning.augment import jitter_stain, training_crop
from scripts.learning.breakhis import FIELD_SIZE, UM_PER_PIXEL, FieldImage

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

# A 400X field is 40 pixels wide at the scale of the input: too little tissue to
# learn from, and to judge.
MAGNIFICATIONS = (40, 100, 200)

# About as many as the recipe was chosen on; more are learnt from in more steps.
FEW_IMAGES = 1600


@dataclass(frozen=True)
class Recipe:
    """Settings of one training, each chosen by patient-wise cross-validation.

    Attributes
    ----------
    width, height : int
        The model's input, which stands for one 40X field, in pixels.
    crop : int
        Side of the training pictures, in pixels.
    steps, batch : int
        Gradient steps, and pictures in each; see `for_images`.
    learning_rate : float
        Highest, of the classification layer and a fresh layer4.
    mosaics : int
        Pseudo-fields for the SVM, from each patient and higher magnification.
    seed : int
    """

    width: int = 352
    height: int = 224
    crop: int = 128
    steps: int = 100
    batch: int = 32
    learning_rate: float = 3e-4
    mosaics: int = 5
    seed: int = 0

    def for_images(self, n: int) -> "Recipe":
        """Return the recipe for n images: steps in proportion to those above `FEW_IMAGES`."""
        return replace(self, steps=round(self.steps * max(1.0, n / FEW_IMAGES)))

    @property
    def um_per_pixel(self) -> float:
        """Micrometres a pixel, the mean of both directions (they differ by a few percent)."""
        across, down = (UM_PER_PIXEL[40] * n for n in FIELD_SIZE)
        return (across / self.width + down / self.height) / 2


@dataclass(frozen=True)
class Sample:
    """An image of the data set with its pixels at the scale of the model's input."""

    image: FieldImage
    pixels: np.ndarray


def fine_tune(
    samples: list[Sample], start: dict[str, Tensor], recipe: Recipe, on_step: Callable[[], None]
) -> Trunk:
    """Fine-tune a ResNet18 to tell malignant from benign crops.

    The classification layer it is trained through is thrown away. All up to layer3 stays
    as it is: with few patients, moving it as well did not help those held out. Batch
    normalisation keeps the starting statistics except in a fresh layer4. (The lower rate
    of a layer4 that is not fresh has not been measured.) The weights returned are averaged
    over the last steps.

    Parameters
    ----------
    samples : list of Sample
        Of the training patients only.
    start : dict of str to Tensor
        ImageNet weights with torchvision's key names; what is missing starts fresh.
    recipe : Recipe
    on_step : callable
        Called after each step.
    """
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    groups = group_by_patient(samples)
    keys = sorted(groups)
    chances = _chances(groups, keys)

    trunk = Trunk(MEAN, STD)
    net = trunk.resnet
    net.load_state_dict(start, strict=False)
    trunk.eval().to(device)
    trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fresh = "layer4.0.conv1.weight" not in start
    if fresh:
        for block in net.layer4:
            # At first the block is its shortcut alone, which has its ImageNet weights: the
            # features start as good ones, and training adds to them. Reference: Goyal et
            # al., "Accurate, large minibatch SGD", arXiv:1706.02677, section 5.1.
            nn.init.zeros_(block.bn2.weight)
            block.bn1.train()
            block.bn2.train()
    head = nn.Linear(N_FEATURES, 1).to(device)
    for part in (net.conv1, net.bn1, net.layer1, net.layer2, net.layer3):
        part.requires_grad_(False)
    rates = {net.layer4: 1.0 if fresh else 0.3, head: 1.0}
    optimizer = torch.optim.AdamW(
        [{"params": p.parameters(), "lr": recipe.learning_rate * r} for p, r in rates.items()],
        weight_decay=0.05,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [recipe.learning_rate * r for r in rates.values()],
        total_steps=recipe.steps,
        pct_start=0.15,
    )
    average: dict[str, Tensor] = {}
    for step in range(recipe.steps):
        drawn = [keys[i] for i in rng.choice(len(keys), recipe.batch, p=chances)]
        crops = np.stack(
            [
                training_crop(groups[k].fields, k[1] == 40, recipe.crop, recipe.um_per_pixel, rng)
                for k in drawn
            ]
        )
        pixels = jitter_stain(torch.from_numpy(crops).float(), generator).to(device)
        malignant = torch.tensor([float(groups[k].malignant) for k in drawn], device=device)
        features, _ = trunk(pixels)
        logits = head(nn.functional.dropout(features, 0.3))[:, 0]
        smoothed = 0.9 * malignant + 0.05
        loss = nn.functional.binary_cross_entropy_with_logits(logits, smoothed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step >= 0.6 * recipe.steps:
            _average(average, net.state_dict(), decay=1 - 8 / recipe.steps)
        on_step()
    net.load_state_dict(average, strict=False)
    return trunk.eval()


@dataclass
class PatientGroup:
    """The fields of one patient at one magnification."""

    malignant: bool
    fields: list[np.ndarray]


def group_by_patient(samples: list[Sample]) -> dict[tuple[str, int], PatientGroup]:
    """Group samples by patient and magnification."""
    groups: dict[tuple[str, int], PatientGroup] = {}
    for sample in samples:
        key = (sample.image.patient, sample.image.magnification)
        groups.setdefault(key, PatientGroup(sample.image.malignant, [])).fields.append(
            sample.pixels
        )
    return groups


def _chances(
    groups: dict[tuple[str, int], PatientGroup], keys: list[tuple[str, int]]
) -> np.ndarray:
    """Probability of drawing each group: classes equal, patients nearly so.

    A patient with more images counts a little more (cube root), and 40X twice as
    much as any other magnification of the same patient.
    """
    share = {key: 2.0 if key[1] == 40 else 1.0 for key in keys}
    shares: dict[str, float] = defaultdict(float)
    images: dict[str, int] = defaultdict(int)
    for key in keys:
        shares[key[0]] += share[key]
        images[key[0]] += len(groups[key].fields)
    chances = np.array([share[k] / shares[k[0]] * images[k[0]] ** (1 / 3) for k in keys])
    malignant = np.array([groups[k].malignant for k in keys])
    for own in (malignant, ~malignant):
        chances[own] /= 2 * chances[own].sum()
    return chances


def _average(average: dict[str, Tensor], state: dict[str, Tensor], decay: float) -> None:
    """Update a running average of all floating values in place."""
    for name, value in state.items():
        if value.is_floating_point():
            if name in average:
                average[name].lerp_(value, 1 - decay)
            else:
                average[name] = value.clone()
