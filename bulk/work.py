"""Many things to judge, by workers that may end: what they are given, and what is tried again."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Judge = Callable[[Sequence[Item]], list[Result]]
"""Judges a chunk. It is hashable, and sent to workers before it has opened its model."""

Engine = Callable[[Iterator[Sequence[Item]]], Iterator[list[Result]]]
"""Judges chunks, and takes the next one when a worker has nothing to do. The results of chunks
come as they are done; a chunk that ended its worker is left out."""

Pending = Callable[[int], Iterator[Sequence[Item]]]
"""Returns what has no result so far, in chunks of at most as many as it is told."""


def work_through(
    pending: Pending[Item],
    size: int,
    judge: Judge[Item, Result],
    *,
    here: Engine[Item, Result],
    ray: str | None,
    number: int | None = None,
) -> Generator[list[Result], None, None]:
    """Judge what is pending, in chunks, and what was left out one by one, twice.

    Twice, because the end of a worker need not have been the doing of what it worked on. Closing
    the generator ends the work.

    Parameters
    ----------
    pending : Pending
    size : int
        How many in a chunk at first.
    judge : Judge
    here : Engine
        Works with the judge on this machine.
    ray : str or None
        Address of the Ray cluster to work on instead; see `bulk.on_ray.cluster`.
    number : int, optional
        How many cores of the cluster to use.

    Yields
    ------
    list
        The results of a chunk.
    """
    engine: AbstractContextManager[Engine[Item, Result]] = nullcontext(here)
    if ray is not None:
        from bulk import on_ray  # noqa: PLC0415 # an optional extra

        engine = on_ray.cluster(judge, ray, number)
    with engine as judge_all:
        for each in (size, 1, 1):
            yield from judge_all(pending(each))
