"""Command line: start, stop and ask TorchServe."""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from handler import RESEARCH_ONLY
from handler.prediction import Prediction
from serve.client import Client
from serve.deploy import drain_all
from serve.errors import ImageRefused, NotRunning
from serve.management import Management
from serve.settings import Settings
from serve.tokens import Kind, tokens_for
from serve.torchserve import TorchServe


def start(settings: Settings, foreground: bool) -> int:
    """Start TorchServe; in the foreground, stay until told to end, then stop it.

    An interrupt (Ctrl-C) stops it at once; a termination (SIGTERM), when it has given the
    last answers.
    """
    service = TorchServe(settings)
    if foreground:  # a shell may have the one ignored, and a container's first process has both
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("Starting TorchServe, which takes some seconds ...", flush=True)
    service.start()
    print(
        f"Inference   {settings.inference_url}\n"
        f"Management  {settings.management_url}\n"
        f"Metrics     {settings.metrics_url}\n"
        f"Tokens      {'none' if settings.open_to_network else settings.key_file}\n"
        f"{RESEARCH_ONLY}",
        flush=True,
    )
    if foreground:
        try:
            service.wait()
        except (KeyboardInterrupt, SystemExit) as told:
            try:
                if isinstance(told, SystemExit):
                    print("Waiting for the last answers ...", flush=True)
                    drain_all(settings)
            finally:  # also when told again
                service.stop()
                print("Stopped.")
            return 0
        print("TorchServe ended by itself; see the logs in", settings.run_dir / "logs")
        return 1
    return 0


def stop(settings: Settings) -> int:
    """Stop TorchServe."""
    TorchServe(settings).stop()
    print("Stopped.")
    return 0


def status(settings: Settings, as_json: bool) -> int:
    """Print what is served, or that nothing is."""
    if TorchServe(settings).process() is None:
        raise NotRunning("TorchServe is not running here. Start it with: python -m breakhis start")
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
    return 0


def health(settings: Settings, live: bool) -> int:
    """Print whether TorchServe lives and whether it is ready; for probes."""
    management = Management.from_settings(settings)
    is_live = management.is_live()
    is_ready = is_live and management.is_ready()
    print(f"live   {'yes' if is_live else 'no'}\nready  {'yes' if is_ready else 'no'}")
    return 0 if (is_live if live else is_ready) else 1


def token(settings: Settings, kind: Kind) -> int:
    """Print a valid token, for programs such as curl."""
    print(tokens_for(settings).get(kind))
    return 0


def predict(settings: Settings, paths: Sequence[Path], as_json: bool) -> int:
    """Classify images one by one and print the answers."""
    client = Client.from_settings(settings)
    console = Console(stderr=True)
    answers: dict[str, Prediction | ImageRefused] = {}
    for path in track(
        paths, "Classifying", console=console, transient=True, disable=not console.is_terminal
    ):
        try:
            answers[str(path)] = client.predict(path)
        except ImageRefused as refusal:
            answers[str(path)] = refusal
        except OSError as error:
            answers[str(path)] = ImageRefused(400, "UnreadableFile", f"{error.strerror}.")
    if as_json:
        print(json.dumps([{"file": file, **a.to_json()} for file, a in answers.items()], indent=2))
    else:
        Console().print(_table(answers))
        print(RESEARCH_ONLY)
    return 2 if any(isinstance(answer, ImageRefused) for answer in answers.values()) else 0


def _table(answers: dict[str, Prediction | ImageRefused]) -> Table:
    table = Table(Column("File", overflow="fold"), "Verdict", "P(malignant)", "Decision", "Remarks")
    for file, answer in answers.items():
        if isinstance(answer, ImageRefused):
            table.add_row(file, "refused", "", "", str(answer))
        else:
            remarks = " ".join(warning.message for warning in answer.warnings)
            probability, decision = f"{answer.probability:.3f}", f"{answer.decision:+.3f}"
            table.add_row(file, answer.verdict, probability, decision, remarks)
    return table


def add_commands(commands: Any) -> None:
    """Add what starts, stops and asks TorchServe to the command line.

    Parameters
    ----------
    commands : argparse's sub-parsers
    """
    command = commands.add_parser("start", help="start TorchServe and wait until it is ready")
    command.add_argument("--foreground", action="store_true", help="stay until Ctrl-C")
    command.set_defaults(run=lambda settings, given: start(settings, given.foreground))

    command = commands.add_parser("stop", help="stop TorchServe and its workers")
    command.set_defaults(run=lambda settings, given: stop(settings))

    command = commands.add_parser("status", help="tell what is served, and where")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=lambda settings, given: status(settings, given.json))

    command = commands.add_parser("health", help="exit with 0 if the model is ready to answer")
    command.add_argument("--live", action="store_true", help="... or if TorchServe answers at all")
    command.set_defaults(run=lambda settings, given: health(settings, given.live))

    command = commands.add_parser("token", help="print a valid token")
    command.add_argument(
        "kind", nargs="?", choices=get_args(Kind), default="inference", help="which API it is for"
    )
    command.set_defaults(run=lambda settings, given: token(settings, given.kind))

    command = commands.add_parser("predict", help="classify images")
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=lambda settings, given: predict(settings, given.images, given.json))
