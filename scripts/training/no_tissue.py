"""Pictures in the colours of the stain that show no tissue, for a model to learn what is none.

Reference: Hendrycks, Mazeika, Dietterich, "Deep anomaly detection with outlier exposure",
ICLR 2019. The pictures that the checks are measured on are drawn by other functions.
"""

import numpy as np

from scripts.training.breakhis import FIELD_SIZE

# Dark, middle and bright tones of fields stained with haematoxylin and eosin, and how much
# they vary.
TONES = ((92, 58, 140), (214, 134, 176), (240, 236, 240))
SPREAD = (25, 20, 8)

# Noise has the spectrum 1 / f ** power above a lowest frequency, and is blurred a little.
POWERS = (0.0, 2.5)
GRAINS = (700, 100, 30, 10)
BLURS = (0, 1, 2, 4, 8)


def draw_no_tissue(rng: np.random.Generator) -> np.ndarray:
    """Draw noise of some grain in the colours of the stain, uint8 of shape (460, 700, 3)."""
    width, height = FIELD_SIZE
    across, down = np.fft.rfftfreq(width)[None], np.fft.fftfreq(height)[:, None]
    frequency = np.hypot(across, down)
    amplitude = np.maximum(frequency, 1 / rng.choice(GRAINS)) ** -rng.uniform(*POWERS)
    amplitude *= np.exp(-2 * np.square(np.pi * frequency * rng.choice(BLURS)))
    tones = np.array(TONES) + rng.normal(0, 1, (3, 3)) * np.array(SPREAD)[:, None]
    picture = _toned(_noise(amplitude, rng), tones, rng)
    if rng.random() < 0.3:
        picture = (picture + _toned(_noise(amplitude, rng), tones, rng)) / 2
    picture += rng.normal(0, rng.uniform(0, 4), picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _noise(amplitude: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw noise of 0 to 1 with this spectrum; half of it with all levels equally frequent."""
    phase = np.exp(1j * rng.uniform(0, 2 * np.pi, amplitude.shape))
    width, height = FIELD_SIZE
    noise = np.fft.irfft2(amplitude * phase, s=(height, width))
    if rng.random() < 0.5:
        return noise.argsort(axis=None).argsort().reshape(noise.shape) / noise.size
    return np.clip(0.5 + 0.2 * (noise - noise.mean()) / noise.std(), 0, 1)


def _toned(levels: np.ndarray, tones: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    middle = rng.uniform(0.3, 0.6)
    return np.stack([np.interp(levels, (0, middle, 1), channel) for channel in tones.T], axis=-1)
