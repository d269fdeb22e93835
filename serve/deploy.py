"""Changes the version that is served under load, without losing a request.

TorchServe kills a version's workers when it is unregistered or scaled down: what
they work on is answered with an error or never, as is what waits in the queue of
an unregistered version. So traffic is led away first, and workers are only ended
when they have answered all that they were sent.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from serve.archive import Archive
from serve.errors import ServeError, VersionError
from serve.management import Management
from serve.probe import probe
from serve.restart import ServedArchive
from serve.settings import Settings

DRAIN_SECONDS = 120

Step = Callable[[str], AbstractContextManager[object]]


def deploy(settings: Settings, name: str | Path, step: Step) -> str:
    """Register, test and switch to the version in an archive; retire the version before it.

    If anything fails before the switch is complete, the new version is unregistered
    and the old one stays the default.

    Parameters
    ----------
    settings : Settings
    name : str or Path
        The archive, in the model store.
    step : callable
        Given what is done next, returns a context manager around it, to show progress.

    Returns
    -------
    str
        The version that is served now.

    Raises
    ------
    VersionError
        The archive can't be used, its version is registered already, could not be loaded, or
        does not answer as it should: the old version is served as before. Or the new version
        is served, but the old one has requests still; the message says which.
    """
    management = Management.from_settings(settings)
    with step("Read the archive"):
        archive = Archive.open(settings.model_store, name)
    old, new = management.default(), archive.version
    # TorchServe compares versions as numbers, to which 1.1 and 1.10 are the same.
    if float(new) in {float(each.version) for each in management.versions()}:
        raise VersionError(
            f"Version {new} is registered already. Make it the default with "
            f"breakhis models default {new}, or build another version."
        )
    try:
        with step(f"Register version {new}"):
            management.register(archive.file)
        if old.min_workers > management.version(new).min_workers:
            with step(f"Scale version {new} to {old.min_workers}"):
                management.scale(new, old.min_workers)
        with step(f"Test version {new}"):
            probe(settings, archive)
        with step(f"Make version {new} the default"):
            make_default(settings, new)
    except BaseException:  # a Ctrl-C too must leave things as they were
        with step(f"Roll back to version {old.version}"):
            _abandon(settings, new, old.version)
        raise
    try:
        retire(settings, old.version, step)
    except ServeError as error:
        raise VersionError(
            f"Version {new} is served, but version {old.version} is registered still: {error}"
        ) from error
    return new


def make_default(settings: Settings, version: str) -> None:
    """Let a registered version answer requests that name none, also after a restart.

    Raises
    ------
    VersionError
        It is not registered.
    """
    management = Management.from_settings(settings)
    management.set_default(version)
    ServedArchive.record(settings, management.version(version).archive)


def roll_back(settings: Settings, step: Step) -> str:
    """Serve again what was served before; a second time undoes it.

    Returns
    -------
    str
        The version that is served now.

    Raises
    ------
    VersionError
        No other archive was served before, or see `deploy`.
    """
    previous = ServedArchive.read(settings).previous
    if previous is None:
        raise VersionError(
            "No other archive was served before. Choose one: breakhis deploy ARCHIVE"
        )
    for each in Management.from_settings(settings).versions():
        if each.archive == previous:
            with step(f"Make version {each.version} the default"):
                make_default(settings, each.version)
            return each.version
    return deploy(settings, previous, step)


def scale(settings: Settings, version: str, workers: int, step: Step) -> None:
    """Give a version more or fewer workers.

    Raises
    ------
    VersionError
        It is not registered, its workers did not start, or requests would be lost: it is the
        default and shall have fewer workers, or has requests still.
    """
    management = Management.from_settings(settings)
    state = management.version(version)
    if workers < len(state.workers):
        if state.default:
            raise VersionError(
                f"Version {version} is the default, and TorchServe loses the requests that a "
                "worker works on when it ends it. Make another version the default first: "
                "breakhis models default VERSION"
            )
        with step(f"Wait for the last answers of version {version}"):
            drain(management, version)
    with step(f"Scale version {version} to {workers}"):
        management.scale(version, workers)


def retire(settings: Settings, version: str, step: Step) -> None:
    """Unregister a version when it has answered all that it was sent.

    Raises
    ------
    VersionError
        It is not registered, is the default, or has requests still.
    """
    management = Management.from_settings(settings)
    management.require_not_default(version)
    with step(f"Wait for the last answers of version {version}"):
        drain(management, version)
    with step(f"Unregister version {version}"):
        management.unregister(version)


def drain(management: Management, version: str) -> None:
    """Return when a version has answered all that it was sent before the call.

    A description is asked for through the queue that images wait in, which is first
    in, first out: when it is answered, all before it have been given to a worker. A
    worker takes its next batch when it has answered the last. So one that answers
    twice has answered all that it took before.

    Raises
    ------
    VersionError
        After two minutes there are still requests.
    """
    answers: Counter[int] = Counter()
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        state = management.version(version)
        if state.queued == 0 and all(answers[worker] >= 2 for worker in state.ready):
            return
        if state.ready:
            worker = management.describe(version)["customizedMetadata"].get("worker")
            # Older archives don't say which worker answers; it is plain where there is but one.
            answers.update(state.ready if len(state.ready) == 1 else [worker])
        else:
            time.sleep(0.2)
    raise VersionError(
        f"Version {version} has not answered all its requests after {DRAIN_SECONDS} seconds. "
        f"See what it does with: breakhis models describe {version}. "
        f"Try again with: breakhis models unregister {version}"
    )


def drain_all(settings: Settings) -> None:
    """Return when every version has answered all that it was sent before the call.

    Raises
    ------
    VersionError
        See `drain`.
    """
    management = Management.from_settings(settings)
    for each in management.versions():
        drain(management, each.version)


def _abandon(settings: Settings, new: str, old: str) -> None:
    """Undo what a deployment has done, however far it came."""
    management = Management.from_settings(settings)
    registered = {each.version: each for each in management.versions()}
    if new not in registered:  # TorchServe forgets by itself what it could not load
        return
    if registered[new].default:
        make_default(settings, old)
        drain(management, new)
    management.unregister(new)
