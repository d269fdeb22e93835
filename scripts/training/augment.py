"""Training pictures: 40X-like crops out of fields of every magnification.

A 100X or 200X field, resampled to the pixel size of the model's input, is tissue
at 40X scale, but a smaller piece of it, taken with sharper optics. Mosaics of one
patient's fields make the piece larger; `soften` takes the sharpness away.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

# Against 100X fields of the same 17 patients, resampled to the same scale, 40X
# fields have 0.8 of the amplitude at low spatial frequencies, falling with
# frequency as under a Gaussian of about 0.5 um.
TYPICAL_SOFTENING_UM = 0.5
SOFTENING_UM = (0.35, 0.70)
CONTRAST = (0.75, 1.00)

# Real 40X pictures differ in focus; a little more blur, now and then.
DEFOCUS_UM = (0.10, 0.40)

SCALE = (0.8, 1.25)

# Optical density of haematoxylin, eosin and a residual, red, green and blue.
# Reference: Ruifrok, Johnston, "Quantification of histochemical staining by color
# deconvolution", Anal. Quant. Cytol. Histol. 23, 2001.
STAINS = torch.nn.functional.normalize(
    torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]]), dim=1
)


def mosaic(
    fields: list[np.ndarray], height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Fill a canvas with randomly mirrored fields of one patient, and cut out of it.

    Parameters
    ----------
    fields : list of ndarray of uint8, shape (h, w, 3)
        Fields of one patient and magnification, so of one shape.
    height, width : int
        Size of the result, in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    h, w = fields[0].shape[:2]
    rows = [
        np.concatenate(
            [_mirrored(fields[rng.integers(len(fields))], rng) for _ in range(-(-width // w) + 1)],
            1,
        )
        for _ in range(-(-height // h) + 1)
    ]
    canvas = np.concatenate(rows)
    return _cut(canvas, height, width, rng)


def soften(pixels: np.ndarray, sigma_um: float, um_per_pixel: float) -> np.ndarray:
    """Blur as a microscope of lower aperture does.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
    sigma_um : float
        Width of the Gaussian, micrometres in the specimen.
    um_per_pixel : float

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
    """
    sigma = sigma_um / um_per_pixel
    return cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def training_crop(
    fields: list[np.ndarray], is_40x: bool, side: int, um_per_pixel: float, rng: np.random.Generator
) -> np.ndarray:
    """Cut one training picture from the fields of one patient and magnification.

    Parameters
    ----------
    fields : list of ndarray of uint8, shape (h, w, 3)
        At the pixel size of the model's input.
    is_40x : bool
        Whether they were taken at 40X; else they are made to look so.
    side : int
        Side of the square result, in pixels.
    um_per_pixel : float
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of uint8, shape (side, side, 3)
    """
    size = round(side * np.exp(rng.uniform(*np.log(SCALE))))
    if is_40x:
        field = fields[rng.integers(len(fields))]
        size = min(size, *field.shape[:2])
        crop = _cut(field, size, size, rng)
        if rng.random() < 0.3:
            crop = soften(crop, rng.uniform(*DEFOCUS_UM), um_per_pixel)
    else:
        crop = mosaic(fields, size, size, rng)
        if rng.random() < 0.9:
            crop = soften(crop, rng.uniform(*SOFTENING_UM), um_per_pixel)
            crop = _lower_contrast(crop, rng.uniform(*CONTRAST))
    shrinks = size > side
    crop = cv2.resize(
        crop, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return _mirrored(np.rot90(crop, int(rng.integers(4))), rng)


def jitter_stain(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Vary the amounts and hues of haematoxylin and eosin, and the light.

    Parameters
    ----------
    pixels : Tensor of float, shape (n, h, w, 3)
        RGB, 0 to 255.
    generator : torch.Generator

    Returns
    -------
    Tensor of float, shape (n, h, w, 3)
    """
    n = len(pixels)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 3, generator=generator)

    # Optical density is linear in the amount of stain (Beer and Lambert).
    density = -torch.log(pixels.clamp(min=1) / 255).reshape(n, -1, 3)
    amounts = density @ torch.linalg.inv(STAINS)
    amounts = amounts * torch.exp(uniform(-0.3, 0.3)) + uniform(-0.03, 0.03)
    hues = STAINS + 0.03 * torch.randn(n, 3, 3, generator=generator)
    hues = torch.nn.functional.normalize(hues, dim=2)
    light = 255 * torch.exp(-(amounts @ hues)) * uniform(0.96, 1.04)
    return light.clamp(0, 255).reshape(pixels.shape)


def _mirrored(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return pixels[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]


def _cut(pixels: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    top = rng.integers(pixels.shape[0] - height + 1)
    left = rng.integers(pixels.shape[1] - width + 1)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _lower_contrast(pixels: np.ndarray, factor: float) -> np.ndarray:
    mean = pixels.mean(axis=(0, 1))
    return np.clip((pixels - mean) * factor + mean + 0.5, 0, 255).astype(np.uint8)
