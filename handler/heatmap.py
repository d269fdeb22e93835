"""Where the SVM looked: Grad-CAM of its decision function, in closed form.

The features are the spatial mean of the last feature map, so the gradient of the
decision with respect to the features gives Grad-CAM's channel weights exactly, and
no backward pass is needed. The gradient is averaged over the path from the mean
training field, and the map is taken relative to that field, so that the places sum
to the decision: what a place adds is what it moved.

References: Selvaraju et al., "Grad-CAM", ICCV 2017, doi:10.1109/ICCV.2017.74;
Sattarzadeh et al., "Integrated Grad-CAM", ICASSP 2021,
doi:10.1109/ICASSP39728.2021.9415064. Grad-CAM's rectification is left out: both
signs are shown, because both are evidence.
"""

import cv2
import numpy as np

# Orange for malignant and blue for benign can be told apart by colour-blind people
# (Okabe and Ito's vermillion and blue).
MALIGNANT_RGB = np.array([213, 94, 0], dtype=np.float32)
BENIGN_RGB = np.array([0, 114, 178], dtype=np.float32)
MAX_OPACITY = 0.7
# Where the manifest keeps the value drawn in full colour: the 95 % quantile, over the 40X training
# fields, of each field's strongest place.
HEATMAP_SCALE = "heatmap_scale"


def grad_cam(weights: np.ndarray, feature_map: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Weigh the feature map by what moves the decision.

    Parameters
    ----------
    weights : ndarray, shape (512,)
        Gradient of the decision function with respect to the features.
    feature_map : ndarray, shape (512, rows, columns)
    reference : ndarray, shape (512,)
        Features of the field that the decision is compared with.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        Positive where the tissue speaks for malignant, negative for benign; its mean
        is the scalar product of the weights with the features less the reference.
    """
    return (np.tensordot(weights, feature_map, axes=1) - weights @ reference).astype(np.float32)


def overlay(pixels: np.ndarray, cam: np.ndarray, scale: float) -> bytes:
    """Draw the heat map over its field.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.
    cam : ndarray of float32, shape (rows, columns)
        From `grad_cam`.
    scale : float
        Value of `cam` that is drawn in full colour, above 0, and the same for every field: what
        moved the decision little stays pale.

    Returns
    -------
    bytes
        A PNG of the field's size: the field in grey, so that all colour is evidence,
        orange for malignant and blue for benign, opaque in proportion to it.
    """
    height, width = pixels.shape[:2]
    places = np.ascontiguousarray(cam) / scale
    strength = cv2.resize(places, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    strength = np.clip(strength, -1, 1)
    colour = np.where(strength > 0, MALIGNANT_RGB, BENIGN_RGB)
    opacity = MAX_OPACITY * np.abs(strength)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
    blend = grey * (1 - opacity) + colour * opacity
    _, png = cv2.imencode(".png", cv2.cvtColor(blend.astype(np.uint8), cv2.COLOR_RGB2BGR))
    return png.tobytes()
