"""Scores on a Ray cluster with Ray Data, in actors that hold the model."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa

from bulk.errors import ClusterFailed, ModelUnusable
from bulk.images import table
from bulk.images.listing import ImageFile
from bulk.images.table import Engine, Refusal, Row
from handler import MODEL_NAME
from handler.errors import BadModel, UnknownEngine
from handler.prediction import ModelId

# Ray would report its use over the network.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# All that it says is in its log files, too.
os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
try:
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.util.annotations import RayDeprecationWarning
except ImportError:
    raise ClusterFailed("Ray is not installed. Install it with: pip install -e '.[ray]'") from None

# Ray Data 2.60 has no other way to bound how often a chunk is tried.
warnings.filterwarnings("ignore", "`ray_remote_args_fn`", RayDeprecationWarning)

# Chunks that are planned at a time: many, so that workers seldom start anew, and few enough
# to hold.
PORTION = 5_000
# Object store of a cluster that is started here. Only paths and rows pass through it.
STORE_BYTES = 200_000_000


class RayScorer:
    """An actor.

    Parameters
    ----------
    model_store : Path
        As the actor's machine sees it.
    """

    def __init__(self, model_store: Path) -> None:
        from bulk.images.scorer import Scorer  # noqa: PLC0415 # only the workers need the model

        try:
            self._score = Scorer(model_store).score
        except (BadModel, UnknownEngine) as error:  # Ray would print it with all its own calls
            self._problem = ModelUnusable(str(error))
            self._score = self._refuse

    def __call__(self, chunk: pa.Table) -> pa.Table:
        """Score a table of `ImageFile`."""
        images = [ImageFile(**each) for each in chunk.to_pylist()]
        return table.to_arrow(self._score(images))

    def _refuse(self, images: Sequence[ImageFile]) -> list[Row]:
        nobody = ModelId(MODEL_NAME, "", "")
        return [Row(image, Refusal.of(self._problem, nobody)) for image in images]


@contextmanager
def connected(address: str, number: int | None = None) -> Iterator[int]:
    """Connect to a cluster.

    Parameters
    ----------
    address : str
        As `ray.init` takes it: "local" starts one on this machine, "auto" finds the one that
        this machine belongs to.
    number : int, optional
        How many cores to use; all by default.

    Yields
    ------
    int
        How many cores there are to use.

    Raises
    ------
    ClusterFailed
        There is none.
    """
    own: dict[str, Any] = {}
    if address == "local":
        own = {
            "num_cpus": number or joblib.cpu_count(),
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **own,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterFailed(f"There is no Ray cluster at {address}: {error}") from None
    try:
        yield number or int(ray.cluster_resources()["CPU"])
    finally:
        ray.shutdown()


@contextmanager
def cluster(model_store: Path, address: str, number: int | None) -> Iterator[Engine]:
    """Connect to a cluster that scores images.

    Parameters
    ----------
    model_store : Path
        As the cluster's machines see it.
    address, number
        See `connected`.

    Yields
    ------
    callable
        Scores chunks of images; see `bulk.images.workers.score`.

    Raises
    ------
    ClusterFailed
        There is none, or, while it scores, the actors can't be started.
    ModelUnusable
        While it scores: an actor could not open the model.
    """
    with connected(address, number) as cores:
        yield partial(_score, model_store, cores)


def _score(
    model_store: Path, number: int, chunks: Iterator[Sequence[ImageFile]]
) -> Iterator[list[Row]]:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A chunk that ends its worker every time is left out, like any that fails.
    context.max_errored_blocks = -1
    while portion := list(islice(chunks, PORTION)):
        blocks = [
            pa.table([list(column) for column in zip(*chunk, strict=True)], ImageFile._fields)
            for chunk in portion
        ]
        scored = ray.data.from_arrow(blocks).map_batches(
            RayScorer,
            fn_constructor_args=[model_store],
            batch_size=None,
            batch_format="pyarrow",
            # One chunk at a time, so that the end of a worker harms no other chunk.
            compute=ActorPoolStrategy(
                size=min(number, len(blocks)), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=1,
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": 1},
        )
        try:
            for block in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
                rows = table.from_arrow(block)
                first = rows[0].answer
                if isinstance(first, Refusal) and first.error == ModelUnusable.__name__:
                    raise ModelUnusable(first.message)
                yield rows
        except ray.exceptions.RayError as error:
            raise ClusterFailed(f"The cluster could not do the work: {error}") from None
