"""What the running model says of itself: its rule, figures, plots and card."""

from dataclasses import dataclass
from typing import Any

from handler.decision import DecisionRule
from handler.manifest import TrainingField
from handler.prediction import ModelId
from serve.errors import VersionError
from serve.management import Management


@dataclass(frozen=True)
class Description:
    """The model's description; see ``handler.model.Model.describe``.

    Attributes
    ----------
    model : ModelId
    engine : str
    manifest : dict
    evaluation : dict
        The figures.
    card : str
        The model card, Markdown without its front matter.
    plots : dict of str to str
        SVG by the file name that the card uses.
    """

    model: ModelId
    engine: str
    manifest: dict[str, Any]
    evaluation: dict[str, Any]
    card: str
    plots: dict[str, str]

    @classmethod
    def from_json(cls, own: dict[str, Any]) -> "Description":
        """Read what the service answers."""
        return cls(
            ModelId(**own["model"]),
            own["engine"],
            own["manifest"],
            own["evaluation"],
            own["card"].split("---\n", 2)[-1].strip(),
            own["plots"],
        )

    @property
    def rule(self) -> DecisionRule:
        """How a decision is read."""
        return DecisionRule(**self.manifest["decision_rule"])

    @property
    def tolerated_risk(self) -> float:
        """Chance of being wrong above which no verdict is given, 0 to 1."""
        return self.manifest["training"]["tolerated_risk"]

    @property
    def min_tissue(self) -> float:
        """Share of a field that must be stained, 0 to 1."""
        return self.manifest["tissue_limits"]["min_tissue"]

    @property
    def training_field(self) -> TrainingField:
        """What the model takes for one whole field.

        Raises
        ------
        VersionError
            The model is of a version before 1.4, which does not say so.
        """
        if "field" not in self.manifest:
            raise VersionError(
                f"Version {self.model.version} of the model does not say how large its fields "
                "are, so none can be cut from a slide. Version 1.4 and later do."
            )
        return TrainingField(**self.manifest["field"])


class RunningModel:
    """The description of the model that runs, asked for again when another one answers.

    May be shared by threads.

    Parameters
    ----------
    management : Management
    """

    def __init__(self, management: Management) -> None:
        self._management = management
        self._latest: Description | None = None

    def describe(self) -> Description:
        """Ask the service.

        Raises
        ------
        ServeError
            It does not answer.
        """
        own = self._management.describe()["customizedMetadata"]
        self._latest = description = Description.from_json(own)
        return description

    def behind(self, sha256: str) -> Description | None:
        """Return the description of the model that gave an answer; None if it runs no more.

        Parameters
        ----------
        sha256 : str
            From the answer.

        Raises
        ------
        ServeError
            The service does not answer.
        """
        known = self._latest
        if known is None or known.model.sha256 != sha256:
            known = self.describe()
        return known if known.model.sha256 == sha256 else None
