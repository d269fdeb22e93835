"""The settings of a training."""

from dataclasses import dataclass, replace

from scripts.training.breakhis import FIELD_SIZE, UM_PER_PIXEL

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
        Side of the training crops, in pixels.
    crops : int
        How many are drawn of each patient and magnification.
    steps, batch : int
        Gradient steps of a fine-tuning, and crops in each; see `for_images`.
    soup : int
        Fine-tunings whose weights are averaged.
    learning_rate : float
        Highest, of the classification layer and a fresh layer4.
    no_tissue : int
        Pictures of no tissue that are learnt from.
    mosaics : int
        Pseudo-fields for the SVM, from each patient and higher magnification.
    seed : int
    """

    width: int = 224
    height: int = 148
    crop: int = 128
    crops: int = 48
    steps: int = 100
    batch: int = 32
    soup: int = 3
    learning_rate: float = 3e-4
    no_tissue: int = 150
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
