"""The images of one patient, one after the other."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from gradio_ui.errors import UnreadableUpload
from gradio_ui.picture import shrink
from gradio_ui.uploads import Upload
from handler.prediction import Prediction
from serve.client import Client
from serve.errors import RequestRefused

# Enough to keep the service's batches filled, few enough to leave room for other visitors.
IN_FLIGHT = 4


@dataclass(frozen=True)
class JudgedImage:
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


def score_images(client: Client, uploads: Sequence[Upload]) -> Iterator[JudgedImage]:
    """Judge images in their order, a few at a time.

    Raises
    ------
    ServiceDown, ServiceBusy, TokenRefused, NotRunning
        The rest can't be judged now.
    """
    pool = ThreadPoolExecutor(IN_FLIGHT)
    waiting: deque[Future[JudgedImage]] = deque()
    try:
        for upload in uploads:
            waiting.append(pool.submit(_score, client, upload))
            if len(waiting) > IN_FLIGHT:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _score(client: Client, upload: Upload) -> JudgedImage:
    try:
        answer = client.predict(upload.read(), heatmap=True)
    except (UnreadableUpload, RequestRefused) as error:
        return JudgedImage(upload.name, reason=str(error))
    return JudgedImage(upload.name, replace(answer, heatmap=None), shrink(answer.heatmap or b""))
