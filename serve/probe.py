"""Asks a version of the model, through its own path, whether it answers as it should."""

import io
import math

import numpy as np
from PIL import Image

from handler import MODEL_NAME
from handler.prediction import CLASSES, VERDICTS, ModelId, Prediction
from serve.archive import Archive
from serve.client import Client
from serve.drawn_tissue import draw_field, encode
from serve.errors import ImageRefused, ServeError, VersionError
from serve.settings import Settings

NO_IMAGE = b"This is no image."


def probe(settings: Settings, archive: Archive) -> None:
    """Send drawn fields and a file that is no image to a registered version.

    Parameters
    ----------
    settings : Settings
    archive : Archive
        From which the version was registered.

    Raises
    ------
    VersionError
        An answer is missing, misses something, is another version's, or the file that
        is no image was not refused.
    """
    client = Client.from_settings(settings, archive.version)
    try:
        first = client.predict(encode(draw_field(0)), features=True, heatmap=True)
        second = client.predict(encode(draw_field(1)), features=True, heatmap=True)
        _check(first, archive)
        _check(second, archive)
        _require(first.decision != second.decision, "two fields get the same answer")
        try:
            client.predict(NO_IMAGE)
        except ImageRefused:
            return
        _require(False, "a file that is no image was not refused")
    # An answer of another shape can fail in any of these ways while it is read.
    except (ServeError, LookupError, TypeError, ValueError, OSError) as error:
        raise VersionError(
            f"The probe of version {archive.version} failed: {error}\n"
            "See logs/model.log in the run folder."
        ) from error


def _check(answer: Prediction, archive: Archive) -> None:
    expected = ModelId(MODEL_NAME, archive.version, archive.manifest_sha256)
    _require(answer.model == expected, f"{answer.model} answered instead of {expected}")
    _require(answer.label in CLASSES, f"the label is {answer.label!r}")
    _require(answer.verdict in VERDICTS, f"the verdict is {answer.verdict!r}")
    _require(0 <= answer.probability <= 1, f"the probability is {answer.probability}")
    _require(math.isfinite(answer.decision), f"the decision is {answer.decision}")
    features = answer.features
    _require(
        features is not None and features.shape == (512,) and bool(np.isfinite(features).all()),
        "the features are not 512 numbers",
    )
    with Image.open(io.BytesIO(answer.heatmap or b"")) as heatmap:
        _require(heatmap.format == "PNG", "the heat map is no PNG")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(f"{otherwise}.")
