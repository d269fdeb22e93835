"""The images that are sent."""

from pathlib import Path

import cv2

from handler.images import read_field
from scripts.errors import DataSetError
from scripts.training.breakhis import FIELD_SIZE, BreakHis
from serve.drawn_tissue import draw_field, encode

N_IMAGES = 32


def write_images(data: Path, folder: Path) -> tuple[Path, Path, str]:
    """Write fields of one size as PNG, and as JPEG of high quality.

    Returns
    -------
    png, jpeg : Path
        A folder each.
    origin : str
        What they are, in words.
    """
    try:
        at_40x = [image for image in BreakHis(data).images if image.magnification == 40]
        pngs = [image.path.read_bytes() for image in at_40x]
        pngs = [p for p in pngs if read_field(p).pixels.shape[1::-1] == FIELD_SIZE][:N_IMAGES]
        origin = "BreakHis, 40X"
    except DataSetError:
        pngs = [encode(draw_field(seed)) for seed in range(N_IMAGES)]
        origin = "drawn fields"
    for kind in ("png", "jpeg"):
        (folder / kind).mkdir()
    for i, png in enumerate(pngs):
        (folder / "png" / f"{i:02}.png").write_bytes(png)
        pixels = cv2.cvtColor(read_field(png).pixels, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
        (folder / "jpeg" / f"{i:02}.jpg").write_bytes(jpeg.tobytes())
    return folder / "png", folder / "jpeg", origin
