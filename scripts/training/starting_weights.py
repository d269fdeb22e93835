"""The weights that training starts with."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

import handler.resnet  # noqa: F401 # declares what torchvision may lack, before it is imported
from scripts.errors import NoStartingWeights
from scripts.paths import SHARED


def starting_weights(path: Path | None) -> tuple[dict[str, Tensor], str]:
    """Find the weights that the trunk starts with.

    Torchvision's complete ImageNet weights where they are on disk or can be fetched,
    else those of ``../shared/weights``.

    Raises
    ------
    NoStartingWeights
    """
    if path is None:
        from torchvision.models import ResNet18_Weights  # noqa: PLC0415

        try:
            full = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
            return {k: v for k, v in full.items() if not k.startswith("fc.")}, "IMAGENET1K_V1"
        except OSError:
            found = sorted((SHARED / "weights").glob("resnet18*.safetensors"))
            if not found:
                raise NoStartingWeights(
                    "Torchvision's ImageNet weights can't be fetched. Connect to the internet, "
                    "or give a safetensors file with --weights."
                ) from None
            path = found[0]
    return load_file(path), path.name
