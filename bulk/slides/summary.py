"""A slide's fields together: how many got which verdict. No verdict of the slide."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

from bulk.slides.scoring import ScoredField
from handler.prediction import VERDICTS, ModelId

# Said in every output that a person sees.
EXPLORATORY = (
    "Exploratory: the model learnt on fields that pathologists had selected, not on whole slides. "
    "What it says of the rest of a slide was never measured. No diagnosis."
)


@dataclass(frozen=True)
class Summary:
    """What came of a slide's fields.

    Attributes
    ----------
    fields : int
    verdicts : dict of str to int
        Fields of each verdict.
    mean_decision, mean_probability : float or None
        Over the fields that were not rejected; None where all were.
    labelled_malignant : int
        How many of the fields that were not rejected.
    model : ModelId
    """

    fields: int
    verdicts: dict[str, int]
    mean_decision: float | None
    mean_probability: float | None
    labelled_malignant: int
    model: ModelId

    @classmethod
    def of(cls, scored: Sequence[ScoredField]) -> "Summary":
        """Sum up fields, at least one."""
        counted = Counter(each.answer.verdict for each in scored)
        used = [each.answer for each in scored if each.answer.verdict != "rejected"]
        return cls(
            fields=len(scored),
            verdicts={verdict: counted[verdict] for verdict in VERDICTS},
            mean_decision=fmean(answer.decision for answer in used) if used else None,
            mean_probability=fmean(answer.probability for answer in used) if used else None,
            labelled_malignant=sum(answer.label == "malignant" for answer in used),
            model=scored[0].answer.model,
        )

    @property
    def counts(self) -> str:
        """How many fields got which verdict, in plain text."""
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
        return f"{self.fields} fields: {counts}."

    def lines(self) -> list[str]:
        """Say it in plain text."""
        said = [self.counts]
        if self.mean_decision is None:
            said.append("Every field was rejected: this is not the tissue that the model knows.")
        else:
            used = self.fields - self.verdicts["rejected"]
            said.append(
                f"Over the {used} fields that were not rejected: mean decision "
                f"{self.mean_decision:+.2f}, mean probability of malignancy "
                f"{self.mean_probability:.0%}, {self.labelled_malignant} labelled malignant."
            )
        return said

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "Summary":
        """Read what `to_json` has returned, perhaps with more beside it."""
        known = {field.name: facts[field.name] for field in fields(cls)}
        return cls(**{**known, "model": ModelId(**facts["model"])})

    def to_json(self) -> dict[str, Any]:
        """Return everything as an object, with what it may be taken for."""
        return {**asdict(self), "note": EXPLORATORY}
