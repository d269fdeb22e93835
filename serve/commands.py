"""Command line: start, stop and ask TorchServe."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from handler import RESEARCH_ONLY
from handler.prediction import Prediction
from serve.client import Client
from serve.deploy import drain_all
from serve.errors import ImageRefused, NotRunning, UnreadableFile
from serve.management import Management
from serve.settings import Settings
from serve.tokens import Kind, tokens_for
from serve.torchserve import TorchServe

app = typer.Typer()

Answer = Prediction | ImageRefused | UnreadableFile
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def serve(
    background: Annotated[
        bool, typer.Option("--background", help="Return as soon as it is ready.")
    ] = False,
) -> None:
    """Start TorchServe and stay until told to end; then stop it.

    An interrupt (Ctrl-C) stops it at once; a termination (SIGTERM), when it has given the
    last answers.
    """
    settings = Settings.from_environment()
    service = TorchServe(settings)
    if not background:  # a shell may have the one ignored, and a container's first process has both
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("Starting TorchServe, which takes some seconds ...", flush=True)
    service.start()
    if background:
        _tell(settings)
    else:
        _stay(service)


def _tell(settings: Settings) -> None:
    print(
        f"Inference   {settings.inference_url}\n"
        f"Management  {settings.management_url}\n"
        f"Metrics     {settings.metrics_url}\n"
        f"Tokens      {'none' if settings.open_to_network else settings.key_file}\n"
        f"{RESEARCH_ONLY}",
        flush=True,
    )


def _stay(service: TorchServe) -> None:
    try:
        _tell(service.settings)
        service.wait()
    except (KeyboardInterrupt, SystemExit) as told:
        try:
            if isinstance(told, SystemExit):
                print("Waiting for the last answers ...", flush=True)
                drain_all(service.settings)
        finally:  # also when told again
            service.stop()
            print("Stopped.")
        return
    print("TorchServe ended by itself; see the logs in", service.settings.run_dir / "logs")
    raise typer.Exit(1)


@app.command()
def stop() -> None:
    """Stop TorchServe and its workers."""
    TorchServe(Settings.from_environment()).stop()
    print("Stopped.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Tell what is served, and where."""
    settings = Settings.from_environment()
    if TorchServe(settings).process() is None:
        raise NotRunning("TorchServe is not running here. Start it with: breakhis serve")
    description = Management.from_settings(settings).describe()
    own = description["customizedMetadata"]
    facts = {
        "inference": settings.inference_url,
        "management": settings.management_url,
        "metrics": settings.metrics_url,
        **own["model"],
        "engine": own["engine"],
        "workers": ", ".join(worker["status"] for worker in description["workers"]),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        print("\n".join(f"{name:<11} {value}" for name, value in facts.items()))


@app.command()
def health(
    live: Annotated[
        bool, typer.Option("--live", help="... or if TorchServe answers at all.")
    ] = False,
) -> None:
    """Exit with 0 if the model is ready to answer, else with 1."""
    management = Management.from_settings(Settings.from_environment())
    is_live = management.is_live()
    is_ready = is_live and management.is_ready()
    print(f"live   {'yes' if is_live else 'no'}\nready  {'yes' if is_ready else 'no'}")
    raise typer.Exit(0 if (is_live if live else is_ready) else 1)


@app.command()
def token(
    kind: Annotated[
        Kind, typer.Argument(metavar="API", help="Which it is for: inference or management.")
    ] = "inference",
) -> None:
    """Print a valid token, for programs such as curl."""
    print(tokens_for(Settings.from_environment()).get(kind))


@app.command()
def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", help="PNG, JPEG, TIFF, BMP or WebP.")
    ],
    as_json: AsJson = False,
) -> None:
    """Classify images one by one; exit with 3 if one is refused, or its file can't be read."""
    client = Client.from_settings(Settings.from_environment())
    console = Console(stderr=True)
    answers: list[tuple[str, Answer]] = []
    for path in track(
        images, "Classifying", console=console, transient=True, disable=not console.is_terminal
    ):
        answer: Answer
        try:
            answer = client.predict(path)
        except ImageRefused as refusal:
            answer = refusal
        except OSError as error:
            answer = UnreadableFile(
                f"{error.strerror}. Nothing was sent. Check the path, and whether you may read it."
            )
        answers.append((str(path), answer))
    if as_json:
        print(json.dumps([{"file": file, **a.to_json()} for file, a in answers], indent=2))
    else:
        Console().print(_table(answers))
        print(RESEARCH_ONLY)
    if not all(isinstance(answer, Prediction) for _, answer in answers):
        raise typer.Exit(3)


def _table(answers: list[tuple[str, Answer]]) -> Table:
    table = Table(Column("File", overflow="fold"), "Verdict", "P(malignant)", "Decision", "Remarks")
    for file, answer in answers:
        if not isinstance(answer, Prediction):
            verdict = "refused" if isinstance(answer, ImageRefused) else "not read"
            table.add_row(file, verdict, "", "", str(answer))
        else:
            remarks = " ".join(warning.message for warning in answer.warnings)
            probability, decision = f"{answer.probability:.3f}", f"{answer.decision:+.3f}"
            table.add_row(file, answer.verdict, probability, decision, remarks)
    return table
