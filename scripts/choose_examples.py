"""Find the drawn fields that the committed model gives the verdicts its examples should show.

    python -m scripts.choose_examples

Prints, for each entry of ``FIELDS`` in ``gradio_ui/example_fields.py``, the seed whose field is
the clearest case of the verdict named there; change the seeds by hand.
"""

from rich.progress import track

from gradio_ui.example_fields import FIELDS, Drawn
from handler.images import Field
from handler.model import Model
from handler.prediction import Prediction, Verdict
from scripts.paths import MODEL_STORE
from serve.drawn_tissue import draw_field

SEEDS = 20
# The probability of malignancy that is the clearest case.
CLEAREST: dict[Verdict, float] = {"benign": 0.0, "uncertain": 0.5, "malignant": 1.0}


def main() -> None:
    """Run the command line."""
    model = Model.open(MODEL_STORE)
    for name, field in FIELDS.items():
        print(f"{name}: {_choose(model, name, field)}")


def _choose(model: Model, name: str, field: Drawn) -> str:
    """Say which seed is the clearest case of a field, and how often the model answers so."""
    right: dict[int, Prediction] = {}
    for seed in track(range(SEEDS), name):
        (answer,) = model.classify([Field(draw_field(seed, tissue=field.tissue))])
        if answer.verdict == field.verdict and not answer.warnings:
            right[seed] = answer
    if not right:
        return f"none of {SEEDS} seeds is {field.verdict}; try another kind of tissue."
    best = min(right, key=lambda seed: abs(right[seed].probability - CLEAREST[field.verdict]))
    return (
        f"seed {best} is {field.verdict}, probability {right[best].probability:.2f}; "
        f"so are {len(right)} of {SEEDS}."
    )


if __name__ == "__main__":
    main()
