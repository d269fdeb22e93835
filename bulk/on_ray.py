"""Works on a Ray cluster."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import islice
from typing import Any

import joblib

from bulk.errors import ClusterFailed
from bulk.work import Engine, Item, Judge, Result

# Ray would report its use over the network.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# All that it says is in its log files, too.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
try:
    import ray
except ImportError:
    raise ClusterFailed("Ray is not installed. Install it with: pip install -e '.[ray]'") from None

# What is said of a task whose worker has ended, or was ended for want of memory.
ENDED = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.NodeDiedError,
)
# Object store of a cluster that is started here. Only paths and results pass through it.
STORE_BYTES = 200_000_000


@contextmanager
def cluster(
    judge: Judge[Item, Result], address: str, number: int | None = None
) -> Iterator[Engine[Item, Result]]:
    """Connect to a cluster.

    Parameters
    ----------
    judge : callable
        See `bulk.work.Judge`. Paths in it are those that the cluster's machines see.
    address : str
        As `ray.init` takes it: "local" starts one on this machine, "auto" finds the one that
        this machine belongs to.
    number : int, optional
        How many cores to use; all by default.

    Yields
    ------
    callable
        Works with the judge, a chunk on a core. What the judge raises, it raises.

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
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterFailed(f"There is no Ray cluster at {address}: {error}") from None
    try:
        yield partial(_work, judge, number or int(ray.cluster_resources()["CPU"]))
    finally:
        ray.shutdown()


def _work(
    judge: Judge[Item, Result], number: int, chunks: Iterator[Sequence[Item]]
) -> Iterator[list[Result]]:
    # A chunk whose worker ends is left out, and tried again by who has given it.
    task: Any = ray.remote(num_cpus=1, max_retries=0)(_judge)
    running = [task.remote(judge, chunk) for chunk in islice(chunks, number)]
    while running:
        try:
            (done,), running = ray.wait(running)
            running += [task.remote(judge, chunk) for chunk in islice(chunks, 1)]
            yield ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ENDED:
            continue
        except ray.exceptions.RayError as error:
            raise ClusterFailed(f"The cluster could not do the work: {error}") from None


@cache
def _kept(judge: Callable[..., Any]) -> Callable[..., Any]:
    """Return the judge of this worker, equal to the one that was sent, with its model open."""
    return judge


def _judge(judge: Judge[Item, Result], chunk: Sequence[Item]) -> list[Result]:
    return _kept(judge)(chunk)
