"""Where data, checkpoints and model lie."""

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL_STORE = ROOT / "model_store"
OUT_OF_FOLD = "out_of_fold.json"
OUT_OF_FOLD_KINDS = "out_of_fold_magnification.json"
CHECKPOINTS = ROOT / ".work" / "train"
SHARED = ROOT.parent / "shared"
# What measurements write, for people to read.
REPORTS = ROOT / "docs" / "reports"


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command take the folder of the data set as ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("BREAKHIS_DATA") or SHARED / "breakhis",
        help="folder with BreakHis images (default: $BREAKHIS_DATA, else ../shared/breakhis)",
    )


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command take the starting weights of a training as ``--weights``."""
    parser.add_argument(
        "--weights",
        type=Path,
        help="starting weights, safetensors with torchvision's names "
        "(default: torchvision's ImageNet weights)",
    )
