"""Which engine runs the trunk here."""

import logging

from handler.errors import UnknownEngine
from handler.features import Engine, TorchEngine
from handler.resnet import Trunk

logger = logging.getLogger(__name__)

REFERENCE = "torch-fp32"
AUTO = "auto"
CHOICES = (AUTO, REFERENCE, "torch-fp16", "openvino-fp32", "openvino-int8")


def open_engine(
    choice: str,
    trunk: Trunk,
    *,
    size: tuple[int, int],
    maxima: list[float],
    device: str,
    threads: int,
) -> Engine:
    """Open the engine that was chosen, or the fastest one.

    Parameters
    ----------
    choice : str
        One of `CHOICES`. ``"auto"`` is PyTorch in half precision on a GPU, and OpenVINO
        with 8-bit integers on a CPU: the fastest whose verdicts agree with the reference.
    trunk : Trunk
    size : tuple of 2 int
        Width and height of the input, in pixels.
    maxima : list of float
        Highest activations of the trunk; see `handler.openvino_engine.Calibration`.
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
    """
    if choice not in CHOICES:
        raise UnknownEngine(f"There is no engine {choice!r}. Choose one of: {', '.join(CHOICES)}.")
    if choice == AUTO:
        choice = "openvino-int8" if device == "cpu" else "torch-fp16"
    if choice.startswith("torch"):
        return TorchEngine(trunk, device, half=choice == "torch-fp16")
    try:
        # Optional: the archive also serves where only PyTorch is installed.
        from handler.openvino_engine import OpenVinoEngine  # noqa: PLC0415

        return OpenVinoEngine(trunk, size, threads, maxima if choice == "openvino-int8" else None)
    except (ImportError, RuntimeError) as error:
        logger.warning("%s does not run here (%s); PyTorch is used, more slowly.", choice, error)
        return TorchEngine(trunk, device)
