"""The one gate for images: bytes in, a checked RGB field out, or a refusal.

Formats are told by content, never by name. Size limits are checked on the
header, before any pixel is decoded. Embedded colour profiles are ignored:
the training images carry none.
"""

import io
from dataclasses import dataclass, field

import cv2
import imagecodecs
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from handler.errors import BadImage, ImageTooLarge, UnsupportedImage

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
# Larger fields are shrunk as they are read, so that a batch of them fits in memory:
# twice the width of a BreakHis field, four times that of the model's input.
MAX_SIDE = 1400
# Of the copy that is sent back: no difference is seen, and a fifth of the PNG's size.
JPEG_QUALITY = 90
# Parts of a PNG after which its pixels are not all there is to the picture: orientation,
# transparency, animation. Pillow, which knows what to do, is slower.
PNG_EXTRAS = (b"eXIf", b"iTXt", b"Raw profile type", b"tRNS", b"acTL")
# Told apart from damage only to say so; never decoded.
OTHER_FORMATS = ("GIF", "JPEG2000", "AVIF", "PPM", "PSD", "ICO", "ICNS", "DDS")

# The handler passes its own pixel limit to every image before it is decoded;
# Pillow's would turn into a warning first and an exception of its own later.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Limits:
    """What is accepted of one image.

    Attributes
    ----------
    max_bytes : int
        Largest encoded size, in bytes.
    max_pixels : int
        Largest width times height.
    min_side : int
        Shortest side, in pixels; below it there is no tissue to see.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 40_000_000
    min_side: int = 64


@dataclass(frozen=True)
class ImageWarning:
    """Something the reader of a verdict should know about the image."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return the warning as the contract's object."""
        return {"code": self.code, "message": self.message}


SEVERAL_PAGES = ImageWarning(
    "several_pages", "The file holds several pages or frames; only the first was read."
)


@dataclass(frozen=True)
class Field:
    """One microscope field, ready to be resized for the model.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB, upright, at most `MAX_SIDE` pixels wide and high.
    warnings : list of ImageWarning
        What had to be assumed to read it.
    """

    pixels: np.ndarray
    warnings: list[ImageWarning] = field(default_factory=list)

    def to_jpeg(self) -> bytes:
        """Encode the field, for any program that shows pictures."""
        bgr = cv2.cvtColor(self.pixels, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        return jpeg.tobytes()


def read_field(data: bytes, limits: Limits = Limits()) -> Field:
    """Decode one image.

    Parameters
    ----------
    data : bytes
        An encoded image in one of `FORMATS`.
    limits : Limits
        What is accepted.

    Returns
    -------
    Field

    Raises
    ------
    BadImage
        Empty, no image at all, damaged, or too small.
    ImageTooLarge
        More bytes or pixels than `limits` allow.
    UnsupportedImage
        An image of a format that is not accepted.
    """
    if not data:
        raise BadImage("The image is empty. Send the bytes of an image file.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"The image has {len(data):,} bytes; the limit is {limits.max_bytes:,}. "
            "Send a smaller file."
        )
    with _open(data) as image:
        _check_size(image, limits)
        try:
            several_pages = getattr(image, "n_frames", 1) > 1
            pixels = _plain_png(data, image)
            if pixels is None:
                # A large JPEG is cheaper to decode at half its size or less.
                image.draft(None, (MAX_SIDE, MAX_SIDE))
                pixels = _to_rgb(ImageOps.exif_transpose(image))
        except Exception as error:  # decoders raise many types
            raise _damaged(error) from error
    shrink = MAX_SIDE / max(pixels.shape)
    if shrink < 1:
        height, width = (max(1, round(shrink * side)) for side in pixels.shape[:2])
        pixels = resize(pixels, width, height)
    return Field(pixels, [SEVERAL_PAGES] if several_pages else [])


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resample a field to the model's input size, averaging over area.

    Area averaging when shrinking keeps the mean colour and adds no ringing,
    whatever the size the photograph came in.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
    width, height : int
        Of the result, in pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        pass
    except Exception as error:  # header parsers raise many types
        raise _damaged(error) from error
    accepted = ", ".join(FORMATS)
    try:
        other = Image.open(io.BytesIO(data), formats=OTHER_FORMATS).format
    except Exception:  # whatever it is, it is not one of these either
        raise BadImage(f"This is not an image that can be read. Send one of: {accepted}.") from None
    raise UnsupportedImage(f"{other} images are not accepted. Send one of: {accepted}.")


def _damaged(error: Exception) -> BadImage:
    return BadImage(
        f"The image is damaged and can't be decoded ({type(error).__name__}). "
        "Open it in a viewer, save it again and send the new file."
    )


def _check_size(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"The image is {width} x {height} pixels; the limit is {limits.max_pixels:,} pixels. "
            "Send one microscope field, not a whole slide."
        )
    if min(width, height) < limits.min_side:
        raise BadImage(
            f"The image is {width} x {height} pixels; the shorter side must be at least "
            f"{limits.min_side}. Send the whole field, as the microscope camera saved it."
        )


def _plain_png(data: bytes, image: Image.Image) -> np.ndarray | None:
    """Decode an ordinary RGB PNG, what microscopes save; None for any other image."""
    if image.format != "PNG" or image.mode != "RGB" or any(extra in data for extra in PNG_EXTRAS):
        return None
    try:
        pixels = imagecodecs.png_decode(data)
    except imagecodecs.PngError:
        return None
    # Of 16 bits a channel otherwise, of which Pillow drops 8.
    return pixels if pixels.dtype == np.uint8 else None


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = _to_8_bit(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        # Slides have a white background, so that is what shows through.
        glass = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(glass, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _to_8_bit(grey: np.ndarray) -> np.ndarray:
    """Scale 16-bit, 32-bit or floating grey values to 0..255."""
    if np.issubdtype(grey.dtype, np.floating):
        grey = np.nan_to_num(grey)
        full_scale = 1.0 if grey.max() <= 1 else max(255.0, float(grey.max()))
    else:
        full_scale = 65535.0
    return (np.clip(grey / full_scale, 0, 1) * 255 + 0.5).astype(np.uint8)
