"""Command line: build versions of the model, and change what a running service serves."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from handler import MANIFEST, MODEL_NAME
from serve import deploy
from serve.archive import Archive, build
from serve.management import Management, Version
from serve.probe import probe
from serve.settings import MODEL_STORE, Settings

app = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="List, register, test, switch and scale versions.")

ArchiveFile = Annotated[
    str, typer.Argument(metavar="ARCHIVE", help="A .mar file in the model store.")
]
Number = Annotated[str, typer.Argument(metavar="VERSION", help="Such as 1.2.")]


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


@app.command("build")
def build_archive(
    versioned: Annotated[
        bool,
        typer.Option(
            "--versioned",
            help=f"Name it {MODEL_NAME}-VERSION.mar, for a service that serves another version.",
        ),
    ] = False,
) -> None:
    """Pack handler and model into an archive."""
    name = MODEL_NAME
    if versioned:
        name += "-" + json.loads((MODEL_STORE / MANIFEST).read_text("utf-8"))["version"]
    digest = build(archive=MODEL_STORE / f"{name}.mar")
    print(f"Built model_store/{name}.mar, sha256 {digest}")


@app.command("deploy")
def deploy_archive(archive: ArchiveFile) -> None:
    """Replace the served version, without losing a request.

    Registers the version in the archive, probes it, makes it the default, waits for the old
    version's last answers and unregisters that; rolls back if the new version fails.
    """
    with Steps() as step:
        version = deploy.deploy(Settings.from_environment(), archive, step)
    print(f"Version {version} is served, also after a restart.")


app.add_typer(models, name="models")


@models.command("list")
def list_versions(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered versions."""
    versions = Management.from_settings(Settings.from_environment()).versions()
    if as_json:
        print(json.dumps([asdict(version) for version in versions]))
        return
    table = Table("Version", "Default", "Archive", "Workers", "Waiting requests")
    for each in versions:
        default, workers = "yes" if each.default else "", ", ".join(each.workers.values())
        table.add_row(each.version, default, each.archive, workers, str(each.queued))
    Console().print(table)


@models.command()
def describe(
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="The default if not given.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that TorchServe says.")
    ] = False,
) -> None:
    """Describe one version."""
    management = Management.from_settings(Settings.from_environment())
    described = management.version(version) if version else management.default()
    description = management.describe(described.version)
    if as_json:
        print(json.dumps(description))
        return
    table = Table("Version", described.version)
    for name, value in _facts(described, description).items():
        table.add_row(name, str(value))
    Console().print(table)


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


@models.command()
def register(archive: ArchiveFile) -> None:
    """Register the version in an archive."""
    settings = Settings.from_environment()
    found = Archive.open(settings.model_store, archive)
    with Steps() as step, step(f"Register version {found.version}"):
        Management.from_settings(settings).register(found.file)
    print(f"Version {found.version} is registered. It answers only who asks for it by number.")


@models.command()
def test(version: Number) -> None:
    """Check the answers of a registered version."""
    settings = Settings.from_environment()
    registered = Management.from_settings(settings).version(version)
    archive = Archive.open(settings.model_store, registered.archive)
    with Steps() as step, step(f"Test version {version}"):
        probe(settings, archive)
    print(f"Version {version} answers as it should.")


@models.command()
def default(version: Number) -> None:
    """Let a registered version answer who names none."""
    deploy.make_default(Settings.from_environment(), version)
    print(f"Version {version} is the default, also after a restart.")


@models.command()
def rollback() -> None:
    """Serve again what was served before.

    Makes the version that was served before the default, deploying its archive again where it
    is no longer registered.
    """
    with Steps() as step:
        version = deploy.roll_back(Settings.from_environment(), step)
    print(f"Version {version} is served, also after a restart.")


@models.command()
def scale(
    version: Number,
    workers: Annotated[int, typer.Argument(min=1, metavar="WORKERS", help="How many processes.")],
) -> None:
    """Change how many workers a version has."""
    with Steps() as step:
        deploy.scale(Settings.from_environment(), version, workers, step)
    print(f"Version {version} has {workers} worker(s).")


@models.command()
def unregister(version: Number) -> None:
    """Remove a version that is not the default."""
    with Steps() as step:
        deploy.retire(Settings.from_environment(), version, step)
    print(f"Version {version} is unregistered. Its archive stays in the model store.")
