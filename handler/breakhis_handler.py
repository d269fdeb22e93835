"""TorchServe's door: a batch of requests in, one response for each out.

TorchServe fails a whole batch when an exception escapes, so an error that
belongs to one image is answered there and never leaves it.
"""

import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from ts.context import Context

from handler.errors import RequestError
from handler.images import read_field
from handler.limits import TimeLeft
from handler.model import Include, Prepared
from handler.payload import Options, Payload, read_options, read_payload
from handler.prediction import Prediction
from handler.settings import HandlerSettings
from handler.telemetry import RequestRecord, Seconds, Telemetry

logger = logging.getLogger(__name__)


class BreakHisHandler:
    """Entry point named in the archive's manifest."""

    def initialize(self, context: Context) -> None:
        """Open the model that lies in the archive's folder."""
        settings = HandlerSettings.from_config(context.model_yaml_config)
        self._max_images = settings.max_images
        self._limits = settings.limits
        self._pool = ThreadPoolExecutor(settings.threads)
        properties = context.system_properties
        self._model = settings.open_model(Path(properties["model_dir"]), properties.get("gpu_id"))
        self._telemetry = Telemetry(context.metrics, self._model.identity.version)
        logger.info("Loaded %s", self._model.identity)

    def handle(self, data: list[dict[str, Any]], context: Context) -> list[str | bytes]:
        """Answer a batch of requests in one pass.

        Parameters
        ----------
        data : list of dict
            The parts of each request.
        context : Context
            Holds the headers of each request, and takes status and content type.

        Returns
        -------
        list of str or bytes
            JSON, or a PNG where an explanation was asked for as one.
        """
        began = perf_counter()
        options = [read_options(context.get_all_request_header(i)) for i in range(len(data))]
        payloads = [self._take(*request) for request in zip(data, options, strict=True)]
        every_image = []
        for payload, asked in zip(payloads, options, strict=True):
            time_left = TimeLeft(self._limits.max_seconds)
            include = Include(asked.features, asked.heatmap, asked.field, asked.attribution)
            every_image += [(image, time_left, include) for image in payload.images]
        read: list[Prepared | RequestError] = []
        decoded = began

        def readable() -> Iterator[Prepared]:
            nonlocal decoded
            for each in self._pool.map(lambda asked: self._read_image(*asked), every_image):
                read.append(each)
                if isinstance(each, Prepared):
                    yield each
            decoded = perf_counter()

        judged = iter(self._model.judge(readable()))
        answers = iter([next(judged) if isinstance(r, Prepared) else r for r in read])
        classified = perf_counter()

        responses, records = [], []
        for i, payload in enumerate(payloads):
            of_request = list(islice(answers, len(payload.images)))
            responses.append(self._respond(context, i, of_request, payload, options[i]))
            size = sum(len(image) for image in payload.images if isinstance(image, bytes))
            status, _ = context.get_response_status(i)
            records.append(RequestRecord(context.get_request_id(i), status, size, of_request))
        seconds = Seconds(decoded - began, classified - decoded, perf_counter() - began)
        self._telemetry.record(records, seconds)
        return responses

    def _take(self, parts: dict[str, Any], options: Options) -> Payload:
        if options.describe:
            return Payload([], False)
        try:
            return read_payload(parts, options, self._max_images)
        except RequestError as error:
            return Payload([error], False)

    def _read_image(
        self, image: bytes | RequestError, time_left: TimeLeft, include: Include
    ) -> Prepared | RequestError:
        if isinstance(image, RequestError):
            return image
        try:
            with time_left.spend() as seconds:
                field = read_field(
                    image,
                    replace(self._limits, max_seconds=seconds),
                    seen_at=self._model.size,
                    with_picture=include.picture,
                )
        except RequestError as error:
            return error
        return self._model.prepare(field, include)

    def _respond(
        self,
        context: Context,
        i: int,
        answers: list[Prediction | RequestError],
        payload: Payload,
        options: Options,
    ) -> str | bytes:
        context.set_response_content_type(i, "application/json")
        if options.describe:
            # TorchServe lists its workers by process; only they can say which of them answers.
            return json.dumps({**self._model.describe(), "worker": os.getpid()})
        if payload.many:
            predictions = [answer.to_json() for answer in answers]
            if payload.inference is None:
                return json.dumps({"predictions": predictions})
            model = self._model.identity
            inferred = payload.inference.answer(model.name, model.version, predictions)
            context.set_response_content_type(i, inferred.content_type)
            for name, value in inferred.headers.items():
                context.set_response_header(i, name, value)
            return inferred.body
        (answer,) = answers
        if isinstance(answer, RequestError):
            context.set_response_status(answer.code, HTTPStatus(answer.code).phrase, i)
        elif options.png and answer.heatmap is not None:
            context.set_response_content_type(i, "image/png")
            return answer.heatmap
        return json.dumps(answer.to_json())
