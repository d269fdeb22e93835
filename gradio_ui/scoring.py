"""The images of one patient, one after the other, and their score together."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from gradio_ui.errors import UnreadableUpload
from gradio_ui.picture import shrink
from gradio_ui.uploads import Upload
from serve.client import Client, Prediction
from serve.description import Description
from serve.errors import RequestRefused

# Enough to keep the service's batches filled, few enough to leave room for other visitors.
IN_FLIGHT = 4


@dataclass(frozen=True)
class Scored:
    """One image of a patient.

    Attributes
    ----------
    name : str
    answer : Prediction or None
        Without its pictures; None where the image could not be judged.
    thumbnail : bytes
        JPEG of the heat map over the field; empty where there is no answer.
    reason : str
        Why there is no answer; empty where there is one.
    """

    name: str
    answer: Prediction | None = None
    thumbnail: bytes = b""
    reason: str = ""

    @property
    def used(self) -> Prediction | None:
        """The answer, unless it is missing or rejects the image."""
        return self.answer if self.answer and self.answer.verdict != "rejected" else None


@dataclass(frozen=True)
class PatientScore:
    """The images of a patient together.

    Attributes
    ----------
    verdict : str
        "benign", "malignant" or "uncertain": the mean decision read as an image's is.
    decision, probability : float
        Means over the images.
    images : int
        How many were averaged.
    called_malignant : int
        How many of them are labelled malignant.
    """

    verdict: str
    decision: float
    probability: float
    images: int
    called_malignant: int


def score_images(client: Client, uploads: Sequence[Upload]) -> Iterator[Scored]:
    """Judge images, a few at a time.

    Parameters
    ----------
    client : Client
    uploads : sequence of Upload

    Yields
    ------
    Scored
        In the order of `uploads`.

    Raises
    ------
    ServiceDown, ServiceBusy, TokenRefused, NotRunning
        The rest can't be judged now.
    """
    pool = ThreadPoolExecutor(IN_FLIGHT)
    waiting: deque[Future[Scored]] = deque()
    try:
        for upload in uploads:
            waiting.append(pool.submit(_score, client, upload))
            if len(waiting) > IN_FLIGHT:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def score_patient(scored: Sequence[Scored], model: Description) -> PatientScore | None:
    """Average the decisions of the images that got a verdict.

    The mean is the sum rule of Kittler, Hatef, Duin, Matas, "On combining classifiers",
    IEEE TPAMI 1998, doi:10.1109/34.667881; the model's figures by patient are measured so.

    Parameters
    ----------
    scored : sequence of Scored
    model : Description

    Returns
    -------
    PatientScore or None
        None where no image can be used: those that are rejected are left out.
    """
    used = [each.used for each in scored if each.used]
    if not used:
        return None
    decision = sum(answer.decision for answer in used) / len(used)
    return PatientScore(
        model.rule.verdict(decision),
        decision,
        sum(answer.probability for answer in used) / len(used),
        len(used),
        sum(answer.label == "malignant" for answer in used),
    )


def _score(client: Client, upload: Upload) -> Scored:
    try:
        answer = client.predict(upload.read(), heatmap=True)
    except (UnreadableUpload, RequestRefused) as error:
        return Scored(upload.name, reason=str(error))
    return Scored(upload.name, replace(answer, heatmap=None), shrink(answer.heatmap or b""))
