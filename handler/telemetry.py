"""What an operator sees of the service: Prometheus metrics, and a log line for each request.

Both go to standard output, from where TorchServe takes them. Neither holds anything of an
image, a file name or a token.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ts.metrics.metric_type_enum import MetricTypes

from handler.errors import RequestError
from handler.prediction import Prediction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RequestRecord:
    """One request and its answers.

    Attributes
    ----------
    request_id : str
        As in the response's header ``x-request-id``.
    status : int
        HTTP status.
    size : int
        Size of its images, in bytes.
    answers : sequence of Prediction or RequestError
    """

    request_id: str
    status: int
    size: int
    answers: Sequence[Prediction | RequestError]

    @property
    def verdicts(self) -> Counter[str]:
        """How often each verdict was given."""
        return Counter(a.verdict for a in self.answers if isinstance(a, Prediction))

    @property
    def refusals(self) -> Counter[str]:
        """How often an image was refused for each reason, the name of a class of errors."""
        return Counter(type(a).__name__ for a in self.answers if isinstance(a, RequestError))


@dataclass(frozen=True)
class Seconds:
    """How long a batch took: to decode, to judge, and in all."""

    decode: float
    inference: float
    total: float


class Telemetry:
    """Counts and writes down what was answered.

    Parameters
    ----------
    metrics : ts.metrics.metric_cache_yaml_impl.MetricsCacheYamlImpl
        TorchServe's; a front end shows those of them that its ``metrics.yaml`` names.
    version : str
        The model's.
    """

    def __init__(self, metrics: Any, version: str) -> None:
        self._version = version

        def metric(name: str, unit: str, kind: MetricTypes, *dimensions: str) -> Any:
            return metrics.add_metric_to_cache(
                metric_name=f"breakhis_{name}",
                unit=unit,
                dimension_names=["version", *dimensions],
                metric_type=kind,
            )

        self._verdicts = metric("verdicts_total", "Count", MetricTypes.COUNTER, "verdict")
        self._refusals = metric("refusals_total", "Count", MetricTypes.COUNTER, "reason")
        self._batch_requests = metric("batch_requests", "Count", MetricTypes.HISTOGRAM)
        self._seconds = {
            part: metric(f"{part}_seconds", "Seconds", MetricTypes.HISTOGRAM)
            for part in ("decode", "inference", "total")
        }

    def record(self, batch: Sequence[RequestRecord], seconds: Seconds) -> None:
        """Count a batch, and write a line of JSON for each of its requests.

        Parameters
        ----------
        batch : sequence of RequestRecord
        seconds : Seconds
            Times of the whole batch; each of its requests took as long.
        """
        for verdict, number in sum((each.verdicts for each in batch), Counter()).items():
            self._verdicts.add_or_update(number, [self._version, verdict])
        for reason, number in sum((each.refusals for each in batch), Counter()).items():
            self._refusals.add_or_update(number, [self._version, reason])
        self._batch_requests.add_or_update(len(batch), [self._version])
        for part, value in vars(seconds).items():
            self._seconds[part].add_or_update(value, [self._version])

        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        for request in batch:
            line = {
                "request_id": request.request_id,
                "time": now,
                "version": self._version,
                "status": request.status,
                "images": len(request.answers),
                "bytes": request.size,
                "verdicts": request.verdicts,
                "refusals": request.refusals,
                "batch": len(batch),
                **{f"{part}_ms": round(1000 * value, 1) for part, value in vars(seconds).items()},
            }
            logger.info(json.dumps(line))
