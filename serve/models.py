"""Command line: the versions of the model in a running service."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from serve import deploy
from serve.archive import Archive
from serve.management import Management, Version
from serve.probe import probe
from serve.settings import Settings


class Steps:
    """Shows steps on standard error, each with its outcome and how long it took."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[outcome]:>6}"),
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> deploy.Step:
        self._progress.start()
        return self._step

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def _step(self, description: str) -> Iterator[None]:
        task = self._progress.add_task(description, total=1, outcome="")
        try:
            yield
        except BaseException:
            self._end(task, "failed")
            raise
        self._end(task, "done")

    def _end(self, task: TaskID, outcome: str) -> None:
        self._progress.update(task, completed=1, outcome=outcome)


def list_versions(settings: Settings, given: argparse.Namespace) -> int:
    """Print the registered versions."""
    versions = Management.from_settings(settings).versions()
    if given.json:
        print(json.dumps([asdict(version) for version in versions]))
        return 0
    table = Table("Version", "Default", "Archive", "Workers", "Waiting requests")
    for each in versions:
        default, workers = "yes" if each.default else "", ", ".join(each.workers.values())
        table.add_row(each.version, default, each.archive, workers, str(each.queued))
    Console().print(table)
    return 0


def describe(settings: Settings, given: argparse.Namespace) -> int:
    """Print what is known of one version."""
    management = Management.from_settings(settings)
    version = management.version(given.version) if given.version else management.default()
    description = management.describe(version.version)
    if given.json:
        print(json.dumps(description))
        return 0
    table = Table("Version", version.version)
    for name, value in _facts(version, description).items():
        table.add_row(name, str(value))
    Console().print(table)
    return 0


def _facts(version: Version, description: dict[str, Any]) -> dict[str, Any]:
    own = description["customizedMetadata"]
    return {
        "default": "yes" if version.default else "no",
        "archive": version.archive,
        "manifest sha256": own["model"]["sha256"],
        "engine": own["engine"],
        "batch size": description["batchSize"],
        "waiting requests": version.queued,
        "places in the queue": description["jobQueueStatus"]["remainingCapacity"],
        **{
            f"worker {worker['pid']}": f"{worker['status']}, since {worker['startTime']}"
            for worker in description["workers"]
        },
    }


def register(settings: Settings, given: argparse.Namespace) -> int:
    """Register the version in an archive, beside those that are served."""
    archive = Archive.open(settings.model_store, given.archive)
    with Steps() as step, step(f"Register version {archive.version}"):
        Management.from_settings(settings).register(archive.file)
    print(f"Version {archive.version} is registered. It answers only who asks for it by number.")
    return 0


def test(settings: Settings, given: argparse.Namespace) -> int:
    """Send drawn fields to a version and check the answers."""
    version = Management.from_settings(settings).version(given.version)
    archive = Archive.open(settings.model_store, version.archive)
    with Steps() as step, step(f"Test version {version.version}"):
        probe(settings, archive)
    print(f"Version {version.version} answers as it should.")
    return 0


def default(settings: Settings, given: argparse.Namespace) -> int:
    """Make a registered version the default."""
    deploy.make_default(settings, given.version)
    print(f"Version {given.version} is the default, also after a restart.")
    return 0


def rollback(settings: Settings, given: argparse.Namespace) -> int:
    """Serve again what was served before."""
    with Steps() as step:
        version = deploy.roll_back(settings, step)
    print(f"Version {version} is served, also after a restart.")
    return 0


def scale(settings: Settings, given: argparse.Namespace) -> int:
    """Give a version more or fewer workers."""
    with Steps() as step:
        deploy.scale(settings, given.version, given.workers, step)
    print(f"Version {given.version} has {given.workers} worker(s).")
    return 0


def unregister(settings: Settings, given: argparse.Namespace) -> int:
    """Unregister a version once it has answered its requests."""
    with Steps() as step:
        deploy.retire(settings, given.version, step)
    print(f"Version {given.version} is unregistered. Its archive stays in the model store.")
    return 0


def deploy_archive(settings: Settings, given: argparse.Namespace) -> int:
    """Replace the served version by the one in an archive."""
    with Steps() as step:
        version = deploy.deploy(settings, given.archive, step)
    print(f"Version {version} is served, also after a restart.")
    return 0


def add_commands(commands: Any) -> None:
    """Add ``models`` and ``deploy`` to the command line.

    Parameters
    ----------
    commands : argparse's sub-parsers
    """
    archive = {"metavar": "ARCHIVE", "help": "a .mar file in the model store"}
    version = {"metavar": "VERSION", "help": "such as 1.2"}

    deployment = commands.add_parser(
        "deploy",
        help="replace the served version, without losing a request",
        description="Register, probe, make default, wait for the old version's last answers "
        "and unregister it; roll back if the new version fails.",
    )
    deployment.add_argument("archive", **archive)
    deployment.set_defaults(run=deploy_archive)

    models = commands.add_parser("models", help="list, register, test, switch, scale versions")
    commands = models.add_subparsers(required=True)

    command = commands.add_parser("list", help="list the registered versions")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=list_versions)

    command = commands.add_parser("describe", help="describe one version")
    command.add_argument("version", nargs="?", metavar="VERSION", help="the default if not given")
    command.add_argument("--json", action="store_true", help="print all that TorchServe says")
    command.set_defaults(run=describe)

    command = commands.add_parser("register", help="register the version in an archive")
    command.add_argument("archive", **archive)
    command.set_defaults(run=register)

    command = commands.add_parser("test", help="check the answers of a registered version")
    command.add_argument("version", **version)
    command.set_defaults(run=test)

    command = commands.add_parser("default", help="let a version answer who names none")
    command.add_argument("version", **version)
    command.set_defaults(run=default)

    command = commands.add_parser(
        "rollback",
        help="serve again what was served before",
        description="Make the version that was served before the default, deploying its archive "
        "again where it is no longer registered.",
    )
    command.set_defaults(run=rollback)

    command = commands.add_parser("scale", help="change how many workers a version has")
    command.add_argument("version", **version)
    command.add_argument("workers", type=_workers, metavar="WORKERS", help="how many processes")
    command.set_defaults(run=scale)

    command = commands.add_parser("unregister", help="remove a version that is not the default")
    command.add_argument("version", **version)
    command.set_defaults(run=unregister)


def _workers(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
