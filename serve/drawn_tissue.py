"""Draws fields that look roughly like H&E-stained tissue, from a seed."""

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image

# Pale and soft, as 40X fields are: the model must not take a drawn field for something unknown.
GLASS = np.array([225, 222, 222], dtype=np.float32)
EOSIN = np.array([205, 160, 190], dtype=np.float32)
HAEMATOXYLIN = np.array([135, 105, 160], dtype=np.float32)
SOFTNESS = 1.2


def draw_field(seed: int, width: int = 700, height: int = 460) -> np.ndarray:
    """Return one RGB field: pink stroma, pale gaps, violet nuclei."""
    rng = np.random.default_rng(seed)
    stroma = _clouds(rng, width, height, 12)
    field = np.where((stroma > 0.3)[..., None], EOSIN, GLASS)
    field += 22 * (_clouds(rng, width, height, 3)[..., None] - 0.5)
    nuclei = np.zeros((height, width), np.uint8)
    density = rng.uniform(0.0015, 0.005)
    for _ in range(int(density * width * height)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(2, 6)), int(rng.integers(2, 5)))
        cv2.ellipse(nuclei, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    nuclei[stroma <= 0.3] = 0
    share = cv2.GaussianBlur(nuclei, (0, 0), SOFTNESS)[..., None] / 255
    field = cv2.GaussianBlur(field * (1 - share) + HAEMATOXYLIN * share, (0, 0), SOFTNESS)
    return np.clip(field + rng.normal(0, 2, field.shape), 0, 255).astype(np.uint8)


def encode(pixels: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """Encode a picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def _clouds(rng: np.random.Generator, width: int, height: int, size: int) -> np.ndarray:
    coarse = rng.random((height // size + 2, width // size + 2)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
