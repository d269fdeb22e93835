"""Which engine runs the trunk here."""

import logging

from handler.errors import UnknownEngine
from handler.features import Engine
from handler.weights import Weights

logger = logging.getLogger(__name__)

REFERENCE = "torch-fp32"
AUTO = "auto"
CHOICES = (AUTO, REFERENCE, "torch-fp16", "openvino-fp32", "openvino-int8")


def open_engine(
    choice: str,
    weights: Weights,
    *,
    size: tuple[int, int],
    maxima: list[float],
    device: str,
    threads: int,
) -> Engine:
    """Open the engine that was chosen, or the fastest one.

    Only the library that runs it is imported: PyTorch and torchvision take three seconds.

    Parameters
    ----------
    choice : str
        One of `CHOICES`. ``"auto"`` is PyTorch in half precision on a GPU, and OpenVINO
        with 8-bit integers on a CPU: the fastest whose verdicts agree with the reference.
    weights : Weights
    size : tuple of 2 int
        Width and height of the input, in pixels.
    maxima : list of float
        See `handler.openvino_graph.trunk_graph`.
    device : str
        A torch device. OpenVINO runs on the CPU whatever it is.
    threads : int

    Returns
    -------
    Engine
        The reference engine where OpenVINO is not installed or does not run here.

    Raises
    ------
    UnknownEngine
        There is no engine of this name.
    BadModel
        The weights are not those of a ResNet18.
    """
    if choice not in CHOICES:
        raise UnknownEngine(f"There is no engine {choice!r}. Choose one of: {', '.join(CHOICES)}.")
    if choice == AUTO:
        choice = "openvino-int8" if device == "cpu" else "torch-fp16"
    if choice.startswith("torch"):
        return _open_torch(weights, device, half=choice == "torch-fp16")
    try:
        # Optional: the archive also serves where only PyTorch is installed.
        from handler.openvino_engine import OpenVinoEngine  # noqa: PLC0415

        return OpenVinoEngine(weights, size, threads, maxima if choice == "openvino-int8" else None)
    except (ImportError, RuntimeError) as error:
        logger.warning("%s does not run here (%s); PyTorch is used, more slowly.", choice, error)
        return _open_torch(weights, device)


def _open_torch(weights: Weights, device: str, *, half: bool = False) -> Engine:
    from handler.resnet import Trunk  # noqa: PLC0415
    from handler.torch_engine import TorchEngine  # noqa: PLC0415

    return TorchEngine(Trunk.of(weights), device, half=half)
