"""Fine-tune the last stage of the trunk, so that its features tell malignant from benign tissue."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from handler.features import N_FEATURES
from handler.resnet import Trunk
from scripts.training.breakhis import PatientGroup
from scripts.training.recipe import MEAN, STD, Recipe

Groups = Mapping[tuple[str, int], PatientGroup]


def fine_tune(
    crops: Mapping[tuple[str, int], Tensor],
    groups: Groups,
    start: dict[str, Tensor],
    recipe: Recipe,
    on_step: Callable[[], None],
) -> Trunk:
    """Fine-tune the last stage a few times, each with another seed, and average the weights.

    The classification layer it is trained through is thrown away. All up to layer3 stays
    as it is: with few patients, moving it as well did not help those held out. Averages of
    fine-tunings from one start judge better, and vary less, than each of them. Reference:
    Wortsman et al., "Model soups", ICML 2022.

    Parameters
    ----------
    crops : mapping of (patient, magnification) to Tensor
        See `scripts.training.frozen_layers.draw_crops`; those of `groups` are used.
    groups : mapping of (patient, magnification) to PatientGroup
        Those of the training patients only.
    start : dict of str to Tensor
        ImageNet weights with torchvision's key names; what is missing starts fresh.
    recipe : Recipe
    on_step : callable
        Called after each step.
    """
    trunk = Trunk(MEAN, STD)
    trunk.resnet.load_state_dict(start, strict=False)
    soup: dict[str, Tensor] = {}
    for i in range(recipe.soup):
        seeded = replace(recipe, seed=recipe.seed + 1000 * i)
        tuned = _tuned(crops, groups, start, seeded, on_step)
        _average(soup, tuned, decay=i / (i + 1))
    trunk.resnet.layer4.load_state_dict(soup, strict=False)
    return trunk.eval()


def _tuned(
    crops: Mapping[tuple[str, int], Tensor],
    groups: Groups,
    start: dict[str, Tensor],
    recipe: Recipe,
    on_step: Callable[[], None],
) -> dict[str, Tensor]:
    """Fine-tune layer4 once; return its weights, averaged over the last steps.

    Batch normalisation keeps the starting statistics except in a fresh layer4. (The lower
    rate of a layer4 that is not fresh has not been measured.)
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    keys = sorted(groups)
    chances = _chances(groups, keys)
    net = Trunk(MEAN, STD).resnet
    net.load_state_dict(start, strict=False)
    layer4 = net.layer4.eval().to(device)
    layer4.to(memory_format=torch.channels_last)
    fresh = "layer4.0.conv1.weight" not in start
    if fresh:
        for block in layer4:
            # At first the block is its shortcut alone, which has its ImageNet weights: the
            # features start as good ones, and training adds to them. Reference: Goyal et
            # al., "Accurate, large minibatch SGD", arXiv:1706.02677, section 5.1.
            nn.init.zeros_(block.bn2.weight)
            block.bn1.train()
            block.bn2.train()
    head = nn.Linear(N_FEATURES, 1).to(device)
    rates = {layer4: 1.0 if fresh else 0.3, head: 1.0}
    optimizer = torch.optim.AdamW(
        [{"params": p.parameters(), "lr": recipe.learning_rate * r} for p, r in rates.items()],
        weight_decay=0.05,
        fused=True,
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
        maps = torch.stack([crops[key][rng.integers(recipe.crops)] for key in drawn])
        mirrored = [axis for axis in (2, 3) if rng.random() < 0.5]
        maps = maps.flip(mirrored).to(device, torch.float32, memory_format=torch.channels_last)
        malignant = torch.tensor([float(groups[key].malignant) for key in drawn], device=device)
        with torch.autocast(device, torch.bfloat16, enabled=_has_bfloat16(device)):
            features = layer4(maps).float().mean(dim=(2, 3))
        logits = head(nn.functional.dropout(features, 0.3))[:, 0]
        smoothed = 0.9 * malignant + 0.05
        loss = nn.functional.binary_cross_entropy_with_logits(logits, smoothed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step >= 0.6 * recipe.steps:
            _average(average, layer4.state_dict(), decay=1 - 8 / recipe.steps)
        on_step()
    return {name: value.cpu() for name, value in average.items()}


def _has_bfloat16(device: str) -> bool:
    """Tell whether the processor multiplies bfloat16 itself, which halves the time of a step."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()


def _chances(groups: Groups, keys: list[tuple[str, int]]) -> np.ndarray:
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
