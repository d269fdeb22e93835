"""The images that are sent."""

from pathlib import Path

from handler.images import read_field
from scripts.errors import DataSetError
from scripts.training.breakhis import FIELD_SIZE, BreakHis
from serve.drawn_tissue import draw_field, encode

N_IMAGES = 32
# Drawing takes longer than finding, and drawn fields are much alike.
N_DRAWN = 8


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
        pngs = [encode(draw_field(seed)) for seed in range(N_DRAWN)]
        origin = "drawn fields"
    jpegs = [encode(read_field(png).pixels, "JPEG", quality=95) for png in pngs]
    for kind, images in (("png", pngs), ("jpeg", jpegs)):
        (folder / kind).mkdir()
        for i, image in enumerate(images):
            (folder / kind / f"{i:02}.{kind}").write_bytes(image)
    return folder / "png", folder / "jpeg", origin
