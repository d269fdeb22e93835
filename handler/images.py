"""The one gate for images: bytes in, a checked RGB field out, or a refusal.

Formats are told by content, never by name. Sizes are checked on the header, before
any pixel is decoded (`handler.limits`). Embedded colour profiles are ignored: the
training images carry none.
"""

import logging
import warnings
from dataclasses import dataclass, field, replace
from typing import cast

import cv2
import imagecodecs
import numpy as np
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from handler.errors import BadImage, OutOfMemory, RequestError, UnsupportedImage
from handler.limits import BoundedFile, Limits, check_encoded, check_header
from handler.prediction import Warning

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
# Larger fields are shrunk as they are read, so that a batch of them fits in memory:
# twice the width of a BreakHis field.
MAX_SIDE = 1400
# How every JPEG begins.
JPEG = b"\xff\xd8"
# Quality of the copy that is sent back: no difference is seen, and a fifth of the PNG's size.
JPEG_QUALITY = 90
# Chunks of a PNG after which its pixels are not all there is to the picture: orientation,
# transparency, animation. Pillow, which knows what to do, is slower.
PNG_EXTRAS = (b"eXIf", b"iTXt", b"zTXt", b"tRNS", b"acTL")
# How a text begins that holds an orientation.
PROFILE = b"Raw profile type"
# The faster PNG decoder inflates all that follows the last row, too, and can't be stopped:
# a thousand times this at most. A BreakHis field has less than this before compression.
FAST_PNG_BYTES = 1_000_000
# How to turn a picture upright, by its EXIF orientation (EXIF 2.32, 4.6.4).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Told apart from damage only to say so; never decoded.
OTHER_FORMATS = ("GIF", "JPEG2000", "AVIF", "PPM", "PSD", "ICO", "ICNS", "DDS")

# The handler passes its own pixel limit to every image before it is decoded;
# Pillow's would turn into a warning first and an exception of its own later.
Image.MAX_IMAGE_PIXELS = None
# Otherwise Pillow reads the strips of a plain TIFF one by one, however many there are.
TiffImagePlugin.READ_LIBTIFF = True
# What is wrong with a file is the sender's to know. A log would get texts out of it, and
# Python keeps each warning that was shown, of which a sender could make ever new ones.
warnings.filterwarnings("ignore", module="PIL")
for decoder in ("PIL", "imagecodecs"):
    logging.getLogger(decoder).setLevel(logging.CRITICAL)


SEVERAL_PAGES = Warning(
    "several_pages", "The file holds several pages or frames; only the first was read."
)


@dataclass(frozen=True)
class Field:
    """One microscope field, ready to be resized for the model.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB, upright, at most `MAX_SIDE` pixels wide and high. What is judged.
    warnings : list of Warning
        What had to be assumed to read it.
    large : ndarray of uint8, shape (height, width, 3), optional
        The same for people to look at, where `pixels` is smaller than the file allows.
    """

    pixels: np.ndarray
    warnings: list[Warning] = field(default_factory=list)
    large: np.ndarray | None = None

    @property
    def picture(self) -> np.ndarray:
        """The field as people look at it: `large`, or `pixels`."""
        return self.pixels if self.large is None else self.large

    def to_jpeg(self) -> bytes:
        """Encode the picture, for any program that shows pictures."""
        bgr = cv2.cvtColor(self.picture, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        return jpeg.tobytes()


def read_field(
    data: bytes,
    limits: Limits = Limits(),
    *,
    seen_at: tuple[int, int] = (MAX_SIDE, MAX_SIDE),
    with_picture: bool = False,
) -> Field:
    """Decode one image.

    Parameters
    ----------
    data : bytes
        An encoded image in one of `FORMATS`.
    limits : Limits
        What is accepted.
    seen_at : tuple of 2 int
        Width and height that will be seen of a landscape. A JPEG is decoded at the smallest
        scale that has as many pixels, which for a photograph is several times faster.
    with_picture : bool
        Whether people will look at the field, too. What is judged is the same.

    Returns
    -------
    Field

    Raises
    ------
    BadImage
        Empty, no image at all, damaged, too small, or too slow to decode.
    ImageTooLarge
        More bytes, pixels or memory than `limits` allow.
    UnsupportedImage
        An image of a format that is not accepted.
    OutOfMemory
        There is too little memory to decode it now.
    """
    check_encoded(data, limits)
    file = BoundedFile(data, limits.max_seconds)
    try:
        field = _decode(file, limits, seen_at)
        if with_picture and data.startswith(JPEG):
            return replace(field, large=_decode(file, limits, (MAX_SIDE, MAX_SIDE)).pixels)
        return field
    except RequestError:
        raise
    except Exception as error:  # parsers and decoders raise many types
        if isinstance(error, MemoryError) or _is_too_large_a_webp(data, limits):
            raise OutOfMemory(
                "The server ran out of memory while it decoded the image. Send the image again in "
                "some seconds; if that fails, too, send it in a request of its own, or a smaller "
                "copy of it."
            ) from error
        raise BadImage(
            f"The image is damaged and can't be decoded ({type(error).__name__}). "
            "Open it in a viewer, save it again and send the new file."
        ) from error


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resample a field to the model's input size, averaging over area.

    Area averaging when shrinking keeps the mean colour and adds no ringing,
    whatever the size the photograph came in.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
    width, height : int
        Size of the result, in pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _decode(file: BoundedFile, limits: Limits, seen_at: tuple[int, int]) -> Field:
    with _open(file) as image:
        check_header(image, limits)
        # Counting the pages would mean to walk through all of them.
        several_pages = getattr(image, "is_animated", False)
        pixels = _plain_png(file.getvalue(), image)
        if pixels is None:
            image.draft(None, seen_at if image.width >= image.height else seen_at[::-1])
            _expect_native_order(image)
            pixels = _to_rgb(_upright(image))
    shrink = MAX_SIDE / max(pixels.shape)
    if shrink < 1:
        height, width = (max(1, round(shrink * side)) for side in pixels.shape[:2])
        pixels = resize(pixels, width, height)
    return Field(pixels, [SEVERAL_PAGES] if several_pages else [])


def _open(file: BoundedFile) -> ImageFile.ImageFile:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        accepted = ", ".join(FORMATS)
    try:
        other = Image.open(file, formats=OTHER_FORMATS).format
    except Exception:  # whatever it is, it is not one of these either
        raise BadImage(
            "This is not an image that can be read, or a rare kind of its format. "
            f"Send 8-bit RGB in one of: {accepted}."
        ) from None
    raise UnsupportedImage(f"{other} images are not accepted. Send one of: {accepted}.")


def _is_too_large_a_webp(data: bytes, limits: Limits) -> bool:
    """Tell whether more memory than there is was needed; the decoder does not say why it failed.

    A damaged header may claim any size; within the limits, memory is there unless it is short.

    Reference: RFC 9649, 2.5 to 2.7.
    """
    if data[8:12] != b"WEBP":
        return False
    match data[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (26, 28))
    if width * height > limits.max_pixels:
        return False
    try:
        np.empty((12, height, width), np.uint8)  # see `decoding_bytes`
    except MemoryError:
        return True
    return False


def _plain_png(data: bytes, image: Image.Image) -> np.ndarray | None:
    """Decode an ordinary RGB PNG, what microscopes save; None for any other image."""
    if image.format != "PNG" or image.mode != "RGB" or len(data) > FAST_PNG_BYTES:
        return None
    # The 25th byte is the depth of a channel. Of 16 bits Pillow drops 8.
    if data[24] != 8 or _has_extras(data):
        return None
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    try:
        return imagecodecs.png_decode(data, out=pixels)
    except (imagecodecs.PngError, ValueError):
        # It keeps a reference to the array for ever, so the memory is taken from the array.
        pixels.resize(0, refcheck=False)
        return None


def _has_extras(png: bytes) -> bool:
    at = 8  # after the signature, chunks: length, kind, content, checksum
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        if kind in PNG_EXTRAS or (kind == b"tEXt" and png.startswith(PROFILE, at + 8)):
            return True
        at += 12 + length
    return False


def _expect_native_order(image: ImageFile.ImageFile) -> None:
    # libtiff gives samples in the machine's order, which Pillow allows for in 16 bits only.
    if image.format == "TIFF" and image.mode in ("I", "F"):
        rawmode, *others = cast(tuple[str, ...], image.tile[0].args)
        args = (rawmode.replace("B", "N"), *others)
        image.tile = [image.tile[0]._replace(args=args)]


def _upright(image: Image.Image) -> Image.Image:
    # Pillow's exif_transpose also writes the EXIF data anew, which may take minutes.
    image.load()
    turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = _to_8_bit(np.asarray(image))
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    if image.has_transparency_data:
        # Slides have a white background, so that is what shows through.
        glass = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(glass, image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _to_8_bit(grey: np.ndarray) -> np.ndarray:
    """Scale 16-bit, 32-bit or floating grey values to 0..255."""
    if np.issubdtype(grey.dtype, np.floating):
        grey = np.clip(np.nan_to_num(grey), 0, None)
        brightest = float(grey.max())
        full_scale = 1.0 if brightest <= 1 else max(255.0, brightest)
    else:
        grey = np.clip(grey, 0, 65535).astype(np.uint16)
        full_scale = 65535.0
    return cv2.convertScaleAbs(grey, alpha=255 / full_scale)
