"""Works on this machine, in processes of one core each."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from traceback import format_exc
from typing import Any, cast

from bulk.errors import ModelUnusable
from bulk.work import Item, Judge, Result

# Workers are copies of one process that has imported what they need.
FORK_SERVER = get_context("forkserver")
FORK_SERVER.set_forkserver_preload(["handler.settings", "handler.openvino_engine"])


def prepare() -> None:
    """Start the process that workers are copies of; it imports while this one goes on."""
    resource_tracker.ensure_running()  # else it is started in between, and lifts the block
    # Ctrl-C goes to all processes of a terminal, and is this one's to answer. What is blocked
    # here stays so in a process that is started meanwhile, and in its copies.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def work(
    judge: Judge[Item, Result], number: int, chunks: Iterator[Sequence[Item]]
) -> Iterator[list[Result]]:
    """Judge chunks in several processes; see `bulk.work.Engine`.

    A worker that ends is replaced.

    Parameters
    ----------
    judge : callable
        Opens its model when it is first called, with an empty chunk.
    number : int
        How many workers, at most.
    chunks : iterator of sequence

    Yields
    ------
    list
        The results of one chunk.

    Raises
    ------
    ModelUnusable
        A worker ended while it opened the model.
    Exception
        What the judge raises.
    """
    prepare()
    # What each worker is given once its model is open.
    first = {_start(judge): chunk for chunk in islice(chunks, number)}
    busy = set(first)

    def replace(worker: Connection, chunk: Sequence[Item] | None) -> None:
        worker.close()
        busy.remove(worker)
        if chunk:
            new = _start(judge)
            first[new] = chunk
            busy.add(new)

    try:
        while busy:
            for worker in cast(list[Connection], wait([*busy])):
                try:
                    results = worker.recv()
                except (EOFError, ConnectionError):
                    if worker in first:
                        raise ModelUnusable(
                            "A worker ended while it opened the model, perhaps for want of "
                            "memory. Try again with fewer --workers."
                        ) from None
                    replace(worker, next(chunks, None))
                    continue
                if isinstance(results, Exception):
                    raise results
                chunk = first.pop(worker, None) or next(chunks, None)
                try:
                    worker.send(chunk)
                except ConnectionError:  # it has ended since its last answer
                    replace(worker, chunk)
                else:
                    if chunk is None:
                        replace(worker, None)
                if results:  # none, if it has just opened the model
                    yield results
    finally:
        for worker in busy:
            worker.close()


def _start(judge: Judge[Any, Any]) -> Connection:
    ours, its_own = FORK_SERVER.Pipe()
    FORK_SERVER.Process(target=_serve, args=(judge, its_own), daemon=True).start()
    its_own.close()
    return ours


def _serve(judge: Judge[Any, Any], parent: Connection) -> None:
    """Answer chunks, until the other end is closed by who has it, or with their end."""
    results: list[Any] | Exception
    chunk: Sequence[Any] = []
    with suppress(EOFError, ConnectionError):
        while True:
            try:
                results = judge(chunk)
            except Exception as error:
                error.add_note(format_exc())
                results = error
            parent.send(results)
            chunk = parent.recv()
