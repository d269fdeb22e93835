"""Fine-tune the last stage of the trunk, so that its features tell malignant from benign tissue."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from handler.features import N_FEATURES
from handler.resnet import Trunk
from scripts.training.augment import jitter_stain, training_crop
from scripts.training.breakhis import PatientGroup, Sample, group_by_patient
from scripts.training.recipe import MEAN, STD, Recipe


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
        Those of the training patients only.
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
        features, *_ = trunk(pixels)
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
