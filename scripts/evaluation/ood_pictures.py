"""Pictures that get no verdict from a model that knows its limits: the checks are measured on them.

Some are drawn, some come with installed packages and are read from there, and some are
made of real fields: stained otherwise, or out of focus.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import distribution
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw
from skimage import color

from handler.images import read_field
from scripts.training.breakhis import FIELD_SIZE, UM_PER_PIXEL

Pixels = np.ndarray
WIDTH, HEIGHT = FIELD_SIZE
# From dark to bright, for pictures in the colours of an H&E stain.
VIOLET_TO_WHITE = ((92, 58, 140), (214, 134, 176), (243, 240, 244))
# Drawn of each kind.
N_DRAWN = 12

# Folders and files of installed packages.
PHOTOGRAPHS = {
    ("scikit-learn", "sklearn/datasets/images"): ("china.jpg", "flower.jpg"),
    ("scikit-image", "skimage/data"): (
        *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png"),
        *("coffee.png", "coins.png", "grass.png", "gravel.png", "motorcycle_left.png"),
        *("hubble_deep_field.jpg", "moon.png", "rocket.jpg"),
    ),
    ("gradio", "gradio/media_assets/images"): (
        *("cheetah.jpg", "groot.jpeg", "lion.jpg", "tower.jpg"),
    ),
    ("matplotlib", "matplotlib/mpl-data/sample_data"): ("grace_hopper.jpg",),
}
PAGES = {("scikit-image", "skimage/data"): ("page.png", "text.png")}
# Brown stain on cells, cells without a stain, the back of an eye.
OTHER_SUBJECTS = {("scikit-image", "skimage/data"): ("ihc.png", "cell.png", "retina.jpg")}


def ood_pictures() -> dict[str, list[Pixels]]:
    """Draw and read the pictures that are not made of a real field.

    Returns
    -------
    dict of str to list of ndarray of uint8, shape (height, width, 3)
        By kind; the same at each call.
    """
    photographs, noise = _shipped(PHOTOGRAPHS), _drawn(_noise)
    return {
        "photographs": photographs,
        "photographs in pink and violet": list(map(_tinted, photographs)),
        "other stains and microscopes": _shipped(OTHER_SUBJECTS),
        "text": _drawn(_page) + _shipped(PAGES),
        "charts and shapes": _drawn(_shapes),
        "single colours and gradients": _drawn(_gradient),
        "blank glass": _drawn(_glass),
        "noise": noise,
        "noise in pink and violet": list(map(_tinted, noise)),
    }


def _shipped(names: Mapping[tuple[str, str], tuple[str, ...]]) -> list[Pixels]:
    """Read pictures out of installed packages, by package, folder and file name."""
    return [
        read_field(Path(str(distribution(package).locate_file(folder)), file).read_bytes()).pixels
        for (package, folder), files in names.items()
        for file in files
    ]


def _drawn(draw: Callable[[np.random.Generator], Pixels]) -> list[Pixels]:
    return [draw(np.random.default_rng(seed)) for seed in range(N_DRAWN)]


def _tinted(pixels: Pixels) -> Pixels:
    """Give dark places the colour of haematoxylin, middle ones that of eosin."""
    grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    table = [np.interp(np.arange(256), (0, 128, 255), c) for c in np.transpose(VIOLET_TO_WHITE)]
    return np.stack(table, axis=1).astype(np.uint8)[grey]


def _page(rng: np.random.Generator) -> Pixels:
    paper, ink = rng.integers(200, 256, 3), rng.integers(0, 120, 3)
    if rng.random() < 0.3:
        paper, ink = ink, paper
    image = Image.new("RGB", (WIDTH, HEIGHT), tuple(paper.tolist()))
    draw = ImageDraw.Draw(image)
    size = int(rng.integers(10, 40))
    for y in range(10, HEIGHT - 10, int(1.4 * size)):
        words = ("".join(map(chr, rng.integers(97, 123, rng.integers(2, 10)))) for _ in range(30))
        draw.text((10, y), " ".join(words), tuple(ink.tolist()), font_size=size)
    return np.asarray(image)


def _shapes(rng: np.random.Generator) -> Pixels:
    """Draw rectangles, discs and lines, as in a chart or a checkerboard."""
    image = np.full((HEIGHT, WIDTH, 3), rng.integers(150, 256, 3), np.uint8)
    if rng.random() < 0.3:
        side = int(rng.integers(5, 80))
        rows, columns = np.indices((HEIGHT, WIDTH)) // side
        image[(rows + columns) % 2 == 1] = rng.integers(0, 256, 3)
        return image
    for _ in range(rng.integers(5, 60)):
        colour = rng.integers(0, 256, 3).tolist()
        one, other = rng.integers(0, (WIDTH, HEIGHT), (2, 2)).tolist()
        match rng.integers(3):
            case 0:
                cv2.rectangle(image, one, other, colour, -1)
            case 1:
                cv2.circle(image, one, int(rng.integers(3, 80)), colour, -1)
            case _:
                cv2.line(image, one, other, colour, int(rng.integers(1, 6)))
    return image


def _gradient(rng: np.random.Generator) -> Pixels:
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    if rng.random() < 0.5:
        corners[:] = corners[0, 0]
    return cv2.resize(corners, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def _glass(rng: np.random.Generator) -> Pixels:
    """Draw uneven light, the camera's noise and some dust."""
    corners = (rng.uniform(190, 252) + rng.uniform(-25, 3, (2, 2, 1))) * rng.uniform(0.97, 1, 3)
    image = cv2.resize(corners, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    for _ in range(rng.integers(0, 8)):
        centre = rng.integers(0, (WIDTH, HEIGHT)).tolist()
        cv2.circle(image, centre, int(rng.integers(1, 5)), (150, 145, 140), -1)
    image = cv2.GaussianBlur(image, (0, 0), 2) + rng.normal(0, rng.uniform(0.5, 4), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator) -> Pixels:
    """Draw grey or coloured noise, from fine to coarse."""
    noise = rng.normal(0, 1, (HEIGHT, WIDTH, 3 if rng.random() < 0.7 else 1))
    sigma = rng.choice((0, 1, 3, 10))
    noise = np.atleast_3d(cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise)
    noise = 128 + rng.uniform(30, 90) * noise / noise.std()
    return np.broadcast_to(np.clip(noise, 0, 255), (HEIGHT, WIDTH, 3)).astype(np.uint8)


def _stained(pixels: Pixels, to_rgb: np.ndarray) -> Pixels:
    """Take haematoxylin and eosin apart, and show other stains, stronger, in their places.

    Reference: Ruifrok, Johnston, "Quantification of histochemical staining by color
    deconvolution", Anal. Quant. Cytol. Histol. 23, 2001; the stains are scikit-image's.
    """
    glass = np.percentile(pixels, 98, axis=(0, 1))
    amounts = color.separate_stains(np.minimum(pixels / glass, 1), color.hed_from_rgb)
    amounts[..., 2] = 0
    return (glass * color.combine_stains(1.5 * amounts, to_rgb) + 0.5).astype(np.uint8)


def _blurred(pixels: Pixels, um: float) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), um / UM_PER_PIXEL[40])


# What is made of a real 40X field, by its kind.
CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "haematoxylin and DAB": partial(_stained, to_rgb=color.rgb_from_hdx),
    "methyl blue and Ponceau fuchsin": partial(_stained, to_rgb=color.rgb_from_bpx),
    "methylene blue and eosin": partial(_stained, to_rgb=color.rgb_from_bex),
    "haematoxylin and PAS": partial(_stained, to_rgb=color.rgb_from_hpx),
    "Feulgen and light green": partial(_stained, to_rgb=color.rgb_from_fgx),
    "grey": lambda pixels: cv2.cvtColor(
        cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB
    ),
    "inverted": lambda pixels: 255 - pixels,
    "out of focus, sigma 2 um": partial(_blurred, um=2),
    "out of focus, sigma 4 um": partial(_blurred, um=4),
    "out of focus, sigma 8 um": partial(_blurred, um=8),
}
