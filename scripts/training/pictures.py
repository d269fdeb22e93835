"""All pictures that a training learns from or judges, once through the frozen layers."""

from dataclasses import dataclass

import numpy as np
from rich.progress import Progress
from torch import Tensor

from handler.images import resize
from handler.light import in_standard_light
from scripts.training.breakhis import PatientGroup, Sample, group_by_patient
from scripts.training.field_svm import training_fields, whole_field
from scripts.training.frozen_layers import Frozen, FrozenLayers, draw_crops
from scripts.training.magnification import Seen, gather
from scripts.training.no_tissue import draw_no_tissue
from scripts.training.recipe import MAGNIFICATIONS, Recipe


@dataclass(frozen=True)
class Pictures:
    """What is learnt from and what is judged; folds take what is their patients'.

    Attributes
    ----------
    groups : dict of (patient, magnification) to PatientGroup
    crops : dict of (patient, magnification) to Tensor
        See `scripts.training.frozen_layers.draw_crops`.
    fields : Frozen
        Whole fields for the SVM.
    rows : list of tuple
        Patient, magnification and whether malignant, of each.
    judged : dict of int to (ndarray of int, Frozen)
        By magnification: places in the list of samples, and the whole fields.
    seen : Seen
        What the magnification is learnt from.
    as_sent : ndarray of float32, shape (n, 448)
        Textures of all samples, sent as if each were a 40X field.
    """

    groups: dict[tuple[str, int], PatientGroup]
    crops: dict[tuple[str, int], Tensor]
    fields: Frozen
    rows: list[tuple[str, int, bool]]
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
    frozen = FrozenLayers(start)
    used = [s for s in samples if s.image.magnification in MAGNIFICATIONS]
    groups = group_by_patient(used)
    with Progress() as progress:
        task = progress.add_task("Frozen layers", total=len(groups) + len(MAGNIFICATIONS) + 3)

        def advance() -> None:
            progress.advance(task)

        crops = draw_crops(groups, frozen, recipe, advance)
        pictures, rows = training_fields(used, recipe)
        fields = frozen(np.stack(pictures))
        advance()
        judged = {}
        for magnification in MAGNIFICATIONS:
            places = [i for i, s in enumerate(samples) if s.image.magnification == magnification]
            if places:
                whole = [whole_field(samples[i], recipe) for i in places]
                judged[magnification] = np.array(places), frozen(np.stack(whole))
            advance()
        as_sent = frozen(np.stack([sample.as_sent for sample in samples])).textures
        advance()
        no_tissue = frozen(_no_tissue(recipe)).textures
        advance()
    pseudo = [i for i, (_, magnification, _) in enumerate(rows) if magnification != 40]
    seen = gather(
        samples, as_sent, fields.textures[pseudo], [rows[i][0] for i in pseudo], no_tissue
    )
    return Pictures(groups, crops, fields, rows, judged, seen, as_sent)


def _no_tissue(recipe: Recipe) -> np.ndarray:
    rng = np.random.default_rng(recipe.seed)
    size = recipe.width, recipe.height
    return np.stack(
        [in_standard_light(resize(draw_no_tissue(rng), *size)) for _ in range(recipe.no_tissue)]
    )
