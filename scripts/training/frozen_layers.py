"""What the frozen layers give: computed once, for every fold, seed and later use."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from handler.resnet import Trunk
from scripts.training.augment import jitter_stain, training_crop
from scripts.training.breakhis import PatientGroup
from scripts.training.recipe import MEAN, STD, Recipe

# Passed through at a time: small pieces stay in the processor's cache.
BATCH = 16


@dataclass(frozen=True)
class Frozen:
    """What layer3 gives for n pictures of one size, and their textures.

    Attributes
    ----------
    maps : Tensor of float32, shape (n, 256, rows, columns)
    textures : ndarray of float32, shape (n, 448)
        See `handler.features.Features`.
    """

    maps: Tensor
    textures: np.ndarray


class FrozenLayers:
    """The trunk up to layer3, which training leaves as it is.

    Parameters
    ----------
    start : dict of str to Tensor
        Starting weights, with torchvision's names.
    """

    def __init__(self, start: dict[str, Tensor]) -> None:
        self._trunk = Trunk(MEAN, STD)
        # As they are served, in half precision.
        rounded = {
            name: v.half().float() if v.is_floating_point() else v for name, v in start.items()
        }
        self._trunk.resnet.load_state_dict(rounded, strict=False)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._trunk.eval().to(self._device)
        self._trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray | Tensor) -> Frozen:
        """Compute them for pictures of uint8 or float, 0 to 255, shape (n, h, w, 3)."""
        pieces = [
            self._trunk.up_to_layer3(torch.as_tensor(pictures[i : i + BATCH]).to(self._device))
            for i in range(0, len(pictures), BATCH)
        ]
        maps, textures = (torch.cat(column).cpu() for column in zip(*pieces, strict=True))
        return Frozen(maps, textures.numpy())


def draw_crops(
    groups: dict[tuple[str, int], PatientGroup],
    frozen: FrozenLayers,
    recipe: Recipe,
    on_group: Callable[[], None],
) -> dict[tuple[str, int], Tensor]:
    """Draw the training crops of every patient and magnification, and pass them on to layer3.

    A fold, and each of its fine-tunings, draws from those of its own patients.

    Parameters
    ----------
    groups : dict of (patient, magnification) to PatientGroup
    frozen : FrozenLayers
    recipe : Recipe
    on_group : callable
        Called after each group.

    Returns
    -------
    dict of (patient, magnification) to Tensor of float16, shape (recipe.crops, 256, rows, columns)
    """
    rng = np.random.default_rng(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    crops = {}
    for key in sorted(groups):
        pictures = [
            training_crop(groups[key].fields, key[1] == 40, recipe.crop, recipe.um_per_pixel, rng)
            for _ in range(recipe.crops)
        ]
        stained = jitter_stain(torch.from_numpy(np.stack(pictures)).float(), generator)
        crops[key] = frozen(stained).maps.half()
        on_group()
    return crops
