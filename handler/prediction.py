"""The words of an answer, as they go over the wire and stand in tables. No torch is needed."""

import base64
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

Label = Literal["benign", "malignant"]
Verdict = Literal["malignant", "uncertain", "benign", "rejected"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
CLASSES: tuple[Label, Label] = get_args(Label)

# Extras that JSON carries as base64.
PICTURES = ("heatmap", "field")


@dataclass(frozen=True)
class ModelId:
    """Which model answered; ``sha256`` is that of its manifest, which holds the others."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Warning:
    """Something the reader of a verdict should know about the image.

    Attributes
    ----------
    code : str
    message : str
        Empty where the code alone was kept, as tables do.
    """

    code: str
    message: str = ""


@dataclass(frozen=True)
class Attribution:
    """What each place of a field adds to its decision: the numbers of the heat map.

    Attributes
    ----------
    places : ndarray of float32, shape (rows, columns)
        In units of the decision, positive = malignant; see `handler.heatmap.grad_cam`.
    base : float
        Decision of the mean training field. With the mean over the places it is the field's
        decision, as exactly as the path integral is summed.
    scale : float
        Value that heat maps draw in full colour, above 0: the same for every field.
    """

    places: np.ndarray
    base: float
    scale: float

    def to_json(self) -> dict[str, Any]:
        """Return it as an object, places as rows of numbers."""
        return {"places": self.places.tolist(), "base": self.base, "scale": self.scale}

    @classmethod
    def from_json(cls, sent: dict[str, Any]) -> "Attribution":
        """Read the object; raises LookupError, TypeError or ValueError if it is none."""
        return cls(np.array(sent["places"], dtype=np.float32), sent["base"], sent["scale"])


@dataclass(frozen=True)
class Prediction:
    """The answer for one field; the attributes are the fields of the inference contract.

    Attributes
    ----------
    label : "benign" or "malignant"
        The side of the SVM's threshold.
    probability : float
        Calibrated probability of malignancy, 0 to 1.
    verdict : "malignant", "uncertain", "benign" or "rejected"
    decision : float
        The SVM's signed distance, positive = malignant.
    warnings : list of Warning
    model : ModelId
        What answered.
    features : ndarray of float32, shape (512,), or None
    heatmap : bytes or None
        A PNG of the field's size.
    field : bytes or None
        A JPEG of the field as it was read: upright, of the heat map's size.
    attribution : Attribution or None
    """

    label: Label
    probability: float
    verdict: Verdict
    decision: float
    warnings: list[Warning]
    model: ModelId
    features: np.ndarray | None = None
    heatmap: bytes | None = None
    field: bytes | None = None
    attribution: Attribution | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's object; extras only where they were asked for."""
        answer: dict[str, Any] = {
            "label": self.label,
            "probability": self.probability,
            "verdict": self.verdict,
            "decision": self.decision,
            "warnings": [vars(warning) for warning in self.warnings],
            "model": vars(self.model),
        }
        if self.features is not None:
            answer["features"] = self.features.tolist()
        for name in PICTURES:
            picture = getattr(self, name)
            if picture is not None:
                answer[name] = base64.b64encode(picture).decode("ascii")
        if self.attribution is not None:
            answer["attribution"] = self.attribution.to_json()
        return answer

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> "Prediction":
        """Read the contract's object.

        Raises
        ------
        LookupError, TypeError, ValueError
            It is no such object.
        """
        # A later service may say more than this program knows of.
        known = {f.name: answer[f.name] for f in fields(cls) if f.name in answer}
        known["warnings"] = [Warning(w["code"], w["message"]) for w in answer["warnings"]]
        known["model"] = ModelId(*(answer["model"][f.name] for f in fields(ModelId)))
        if "features" in known:
            known["features"] = np.array(known["features"], dtype=np.float32)
        if "attribution" in known:
            known["attribution"] = Attribution.from_json(known["attribution"])
        for picture in known.keys() & PICTURES:
            known[picture] = base64.b64decode(known[picture])
        return cls(**known)
