"""Fine-tune the last stage of the trunk, so that its features tell malignant from benign tissue."""

import sys
from dataclasses import replace

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn

from handler.features import N_FEATURES
from handler.magnification import MAGNIFICATION
from handler.resnet import Trunk
from scripts.training.pictures import GroupKey, Pictures
from scripts.training.recipe import MEAN, STD, Recipe


def fine_tune(
    pictures: Pictures, patients: set[str], start: dict[str, Tensor], recipe: Recipe
) -> Trunk:
    """Fine-tune the last stage a few times, each with another seed, and average the weights.

    The classification layer it is trained through is thrown away. All up to layer3 stays
    as it is: with few patients, moving it as well did not help those held out. Averages of
    fine-tunings from one start judge better, and vary less, than each of them. Reference:
    Wortsman et al., "Model soups", ICML 2022.

    Parameters
    ----------
    pictures : Pictures
    patients : set of str
        Those that are learnt from.
    start : dict of str to Tensor
        ImageNet weights with torchvision's key names; what is missing starts fresh.
    recipe : Recipe
    """
    trunk = Trunk(MEAN, STD)
    trunk.resnet.load_state_dict(start, strict=False)
    soup: dict[str, Tensor] = {}
    for i in range(recipe.soup):
        seeded = replace(recipe, seed=recipe.seed + 1000 * i)
        tuned = _tuned(pictures, patients, start, seeded)
        _average(soup, tuned, decay=i / (i + 1))
    trunk.resnet.layer4.load_state_dict(soup, strict=False)
    return trunk.eval()


def _tuned(
    pictures: Pictures, patients: set[str], start: dict[str, Tensor], recipe: Recipe
) -> dict[str, Tensor]:
    """Fine-tune layer4 once; return its weights, averaged over the last steps.

    Batch normalisation keeps the starting statistics except in a fresh layer4. (The lower
    rate of a layer4 that is not fresh has not been measured.)
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    keys = sorted(key for key in pictures.groups if key.patient in patients)
    chances = _chances(keys, [len(pictures.groups[key]) for key in keys])
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
    in_log = not sys.stdout.isatty()  # where a bar that goes away would leave an empty line
    for step in track(range(recipe.steps), "Fine-tuning", transient=True, disable=in_log):
        drawn = [keys[i] for i in rng.choice(len(keys), recipe.batch, p=chances)]
        maps = torch.stack([pictures.crops[key][rng.integers(recipe.crops)] for key in drawn])
        mirrored = [axis for axis in (2, 3) if rng.random() < 0.5]
        maps = maps.flip(mirrored).to(device, torch.float32, memory_format=torch.channels_last)
        malignant = torch.tensor([float(key.malignant) for key in drawn], device=device)
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
    return {name: value.cpu() for name, value in average.items()}


def _has_bfloat16(device: str) -> bool:
    """Tell whether the processor multiplies bfloat16 itself, which halves the time of a step."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()


def _chances(keys: list[GroupKey], n_fields: list[int]) -> np.ndarray:
    """Probability of drawing each group: classes equal, patients nearly so.

    A patient with more images counts a little more (cube root), and 40X twice as
    much as any other magnification of the same patient.
    """
    patients = np.array([key.patient for key in keys])
    is_same = patients[:, None] == patients
    share = np.array([2.0 if key.magnification == MAGNIFICATION else 1.0 for key in keys])
    chances = share / (is_same @ share) * np.cbrt(is_same @ np.array(n_fields))
    malignant = np.array([key.malignant for key in keys])
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
