"""What several tests of training start from."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from handler.resnet import Trunk
from scripts.training.recipe import MEAN, STD


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Random starting weights for the trunk."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file(Trunk(MEAN, STD).resnet.state_dict(), path)
    return path
