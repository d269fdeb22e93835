"""All pictures that a training learns from or judges, once through the frozen layers.

A fold, and each of its fine-tunings, takes from them what is its patients'.
"""

import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from handler.images import resize
from handler.light import in_standard_light
from handler.magnification import MAGNIFICATION, NO_TISSUE
from handler.resnet import Trunk
from scripts.training.augment import (
    TYPICAL_SOFTENING_UM,
    jitter_stain,
    mosaic,
    soften,
    training_crop,
)
from scripts.training.breakhis import Sample
from scripts.training.magnification import Seen
from scripts.training.no_tissue import draw_no_tissue
from scripts.training.recipe import MAGNIFICATIONS, MEAN, STD, Recipe

# Passed through at a time: small pieces stay in the processor's cache.
BATCH = 16


class GroupKey(NamedTuple):
    """What the fields of a group have in common."""

    patient: str
    magnification: int
    malignant: bool


Groups = dict[GroupKey, list[np.ndarray]]


class Frozen(NamedTuple):
    """What layer3 gives for n pictures of one size, and their textures.

    Attributes
    ----------
    maps : Tensor of float32, shape (n, 256, rows, columns)
    textures : ndarray of float32, shape (n, 448)
        See `handler.features.Features`.
    """

    maps: Tensor
    textures: np.ndarray


class _FrozenLayers:
    """The trunk up to layer3, which training leaves as it is."""

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
        """Pass on pictures of uint8 or float, 0 to 255, shape (n, h, w, 3)."""
        starts = range(0, len(pictures), BATCH)
        in_log = not sys.stdout.isatty()  # where a bar that goes away would leave an empty line
        pieces = [
            self._trunk.up_to_layer3(torch.as_tensor(pictures[i : i + BATCH]).to(self._device))
            for i in track(starts, "Frozen layers", transient=True, disable=in_log)
        ]
        maps, textures = (torch.cat(column).cpu() for column in zip(*pieces, strict=True))
        return Frozen(maps, textures.numpy())


@dataclass(frozen=True)
class Pictures:
    """What is learnt from and what is judged.

    Attributes
    ----------
    groups : dict of GroupKey to list of ndarray of uint8, shape (h, w, 3)
        Fields of the magnifications that the SVM learns from.
    crops : dict of GroupKey to Tensor of float16, shape (recipe.crops, 256, rows, columns)
        What layer3 gives for the training crops of each group.
    fields : Frozen
        Whole fields for the SVM.
    rows : list of GroupKey
        That each of these is of.
    judged : dict of int to (ndarray of int, Frozen)
        By magnification: places in the list of samples, and the whole fields.
    seen : Seen
        What the magnification is learnt from.
    as_sent : ndarray of float32, shape (n, 448)
        Textures of all samples, sent as if each were a 40X field.
    """

    groups: Groups
    crops: dict[GroupKey, Tensor]
    fields: Frozen
    rows: list[GroupKey]
    judged: dict[int, tuple[np.ndarray, Frozen]]
    seen: Seen
    as_sent: np.ndarray


def prepare(samples: list[Sample], start: dict[str, Tensor], recipe: Recipe) -> Pictures:
    """Compute them.

    Parameters
    ----------
    samples : list of Sample
        Of all magnifications.
    start : dict of str to Tensor
        Starting weights.
    recipe : Recipe
    """
    frozen = _FrozenLayers(start)
    groups = group_by_patient([s for s in samples if s.image.magnification in MAGNIFICATIONS])
    crops = _draw_crops(groups, frozen, recipe)
    pictures, rows = training_fields(groups, recipe)
    fields = frozen(np.stack(pictures))
    judged = {}
    for magnification in MAGNIFICATIONS:
        places = [i for i, s in enumerate(samples) if s.image.magnification == magnification]
        if places:
            whole = [_whole_field(samples[i], recipe) for i in places]
            judged[magnification] = np.array(places), frozen(np.stack(whole))
    as_sent = frozen(np.stack([sample.as_sent for sample in samples])).textures
    no_tissue = frozen(_draw_no_tissue(recipe)).textures
    # Fields of higher magnifications put together show cells as a 40X field does; copies with
    # fewer pixels are nothing that a microscope gives.
    pseudo = [i for i, row in enumerate(rows) if row.magnification != MAGNIFICATION]
    originals = [i for i, sample in enumerate(samples) if sample.is_original]
    images = [samples[i].image for i in originals]
    learnt = [(i.magnification, str(i.magnification), i.patient) for i in images]
    learnt += [(MAGNIFICATION, "pseudo-field", rows[i].patient) for i in pseudo]
    learnt += [(NO_TISSUE, "no tissue", "")] * len(no_tissue)
    textures = np.concatenate([as_sent[originals], fields.textures[pseudo], no_tissue])
    seen = Seen(textures, *map(np.array, zip(*learnt, strict=True)))
    return Pictures(groups, crops, fields, rows, judged, seen, as_sent)


def group_by_patient(samples: list[Sample]) -> Groups:
    """Group their fields by patient and magnification."""
    groups: Groups = {}
    for sample in samples:
        image = sample.image
        key = GroupKey(image.patient, image.magnification, image.malignant)
        groups.setdefault(key, []).append(sample.pixels)
    return groups


def training_fields(groups: Groups, recipe: Recipe) -> tuple[list[np.ndarray], list[GroupKey]]:
    """Make the whole fields that are learnt from.

    40X fields are taken as they are. The fields of higher magnifications are put
    together to pseudo-fields of the same size, patient by patient, so that the
    features are averaged over as much tissue as those of a 40X field.

    Returns
    -------
    fields : list of ndarray of uint8, shape (height, width, 3)
    rows : list of GroupKey
        The group of each.
    """
    rng = np.random.default_rng(recipe.seed)
    fields, rows = [], []
    for key in sorted(groups):
        pictures = groups[key]
        if key.magnification != MAGNIFICATION:
            size = (recipe.height, recipe.width)
            pictures = [
                soften(mosaic(pictures, *size, rng), TYPICAL_SOFTENING_UM, recipe.um_per_pixel)
                for _ in range(recipe.mosaics)
            ]
        fields += pictures
        rows += [key] * len(pictures)
    return fields, rows


def _whole_field(sample: Sample, recipe: Recipe) -> np.ndarray:
    """Return what is judged of an image, uint8 of shape (h, w, 3).

    A field of higher magnification is made as soft as one of 40X, and continued by its
    mirror image to twice its size, so that the trunk's zero padding weighs less.
    """
    if sample.image.magnification == MAGNIFICATION:
        return sample.pixels
    soft = soften(sample.pixels, TYPICAL_SOFTENING_UM, recipe.um_per_pixel)
    h, w = soft.shape[:2]
    return np.pad(soft, ((0, h), (0, w), (0, 0)), mode="symmetric")


def _draw_crops(groups: Groups, frozen: _FrozenLayers, recipe: Recipe) -> dict[GroupKey, Tensor]:
    rng = np.random.default_rng(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    crops = {}
    for key in track(sorted(groups), "Crops      "):
        is_40x = key.magnification == MAGNIFICATION
        pictures = [
            training_crop(groups[key], is_40x, recipe.crop, recipe.um_per_pixel, rng)
            for _ in range(recipe.crops)
        ]
        stained = jitter_stain(torch.from_numpy(np.stack(pictures)).float(), generator)
        crops[key] = frozen(stained).maps.half()
    return crops


def _draw_no_tissue(recipe: Recipe) -> np.ndarray:
    rng = np.random.default_rng(recipe.seed)
    size = recipe.width, recipe.height
    return np.stack(
        [in_standard_light(resize(draw_no_tissue(rng), *size)) for _ in range(recipe.no_tissue)]
    )
