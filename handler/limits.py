"""What reading one image may cost: bytes, pixels, memory and time.

Most is checked on the header, before a pixel is decoded. Pillow reads a file in blocks
and gives each to a native decoder; time is checked between them, since a thread can't
be interrupted within one. What one block can cost is bounded by the other checks.
"""

import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from PIL import Image

from handler.errors import BadImage, ImageTooLarge

# A progressive JPEG has about 10 scans, and each goes over the whole picture. libjpeg-turbo's
# own programs stop at a number that the user gives; libtiff stops at 100, too.
MAX_SCANS = 100
# Two full segments of a JPEG. Pillow copies out each tag's value, and tags may share one, so
# that reading the tags takes up to a 48th of the square of this.
MAX_EXIF_BYTES = 131_072
# Enough for the places of tiles of 16 x 16 pixels, and for a colour profile.
MAX_TIFF_TAG_BYTES = 4_000_000
SCAN = b"\xff\xda"
EXIF_SEGMENT = re.compile(rb"\xff\xe1(..)Exif\0\0", re.DOTALL)
# The TIFF tags of a tile's width and height, and of the bits of each sample.
TILE_WIDTH, TILE_LENGTH, BITS_PER_SAMPLE, SAMPLES_PER_PIXEL = 322, 323, 258, 277
# Bytes a pixel of Pillow's modes; all others take 4.
SMALL_MODES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16N": 2, "I;16L": 2}


@dataclass(frozen=True)
class Limits:
    """What is accepted of one image.

    Attributes
    ----------
    max_bytes : int
        Largest encoded size, in bytes.
    max_pixels : int
        Largest width times height.
    max_memory : int
        Most bytes that decoding may need; see `decoding_bytes`. The default has room for
        `max_pixels` of RGB in every format, and for fewer of a transparent WebP or of
        many channels of 32 bits.
    max_seconds : float
        Longest time that decoding may take; the handler lets the images of one request
        share it, so that no batch takes longer than TorchServe waits. A decoder that
        takes a whole file at once (TIFF, WebP) is not stopped, but the limits above bound
        its work.
    min_side : int
        Shortest side, in pixels; below it there is no tissue to see.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 40_000_000
    max_memory: int = 1_200_000_000
    max_seconds: float = 10.0
    min_side: int = 64


class TimeLeft:
    """The time that the images of one request share. May be used by threads.

    Parameters
    ----------
    seconds : float
        For all of them.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = Lock()

    @contextmanager
    def spend(self) -> Iterator[float]:
        """Take the time of what is done within; gives the seconds that are left for it."""
        start = time.monotonic()
        try:
            yield self._seconds
        finally:
            with self._lock:
                self._seconds -= time.monotonic() - start


class BoundedFile(io.BytesIO):
    """An image file that refuses to be read on when its time is over.

    Parameters
    ----------
    data : bytes
        The encoded image.
    seconds : float
        From now on.

    Raises
    ------
    BadImage
        On reading, when time is over or too many bytes of TIFF tags were read.
    """

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self._deadline = time.monotonic() + seconds
        # Pillow itself reads a TIFF's tags only; libtiff gets the whole file for the pixels.
        is_tiff = data[:2] in (b"II", b"MM")
        self._bytes_left = MAX_TIFF_TAG_BYTES if is_tiff else None

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file."""
        if time.monotonic() > self._deadline:
            raise BadImage(
                "The image, or the images of one request together, take too long to decode. "
                "Send fewer at once, and as ordinary PNG or JPEG files."
            )
        content = super().read(size)
        if self._bytes_left is not None:
            self._bytes_left -= len(content)
            if self._bytes_left < 0:
                raise BadImage(
                    "The TIFF's tags (layers, profiles, places of strips) are larger than "
                    f"{MAX_TIFF_TAG_BYTES:,} bytes. Save it again, flat and without them."
                )
        return content


def check_size(size: int, limits: Limits) -> None:
    """Check how many bytes an image has, before they are read.

    Raises
    ------
    ImageTooLarge
        Too many.
    """
    if size > limits.max_bytes:
        raise ImageTooLarge(
            f"The image has {size:,} bytes; the limit is {limits.max_bytes:,}. Send a smaller file."
        )


def check_encoded(data: bytes, limits: Limits) -> None:
    """Check an encoded image before any of it is parsed.

    Raises
    ------
    BadImage
        Empty, or a JPEG that no camera or program writes.
    ImageTooLarge
        Too many bytes.
    """
    if not data:
        raise BadImage("The image is empty. Send the bytes of an image file.")
    check_size(len(data), limits)
    if data.startswith(b"\xff\xd8"):
        # Coded pixels never hold the marker of a scan.
        if data.count(SCAN) > MAX_SCANS:
            raise BadImage(
                f"The JPEG has more than {MAX_SCANS} scans. "
                "Open it in a viewer, save it again and send the new file."
            )
        # Pillow joins the segments, and parses them as it opens the file.
        segments = EXIF_SEGMENT.findall(data)
        _check_exif(sum(int.from_bytes(size, "big") for size in segments))


def check_header(image: Image.Image, limits: Limits) -> None:
    """Check an image that was opened but not decoded.

    Raises
    ------
    BadImage
        Too small, or too much EXIF data.
    ImageTooLarge
        More pixels, or more memory for them, than `limits` allow.
    """
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"The image is {width} x {height} pixels; the limit is {limits.max_pixels:,} pixels. "
            "Send one microscope field, not a whole slide."
        )
    needed = decoding_bytes(image)
    if needed > limits.max_memory:
        raise ImageTooLarge(
            f"The image takes {needed:,} bytes of memory to decode; the limit is "
            f"{limits.max_memory:,}. Send fewer pixels, 8 bits a channel, and no tiles."
        )
    if min(width, height) < limits.min_side:
        raise BadImage(
            f"The image is {width} x {height} pixels; the shorter side must be at least "
            f"{limits.min_side}. Send the whole field, as the microscope camera saved it."
        )
    # A PNG may hold it as text in hexadecimal digits.
    as_text = image.info.get("Raw profile type exif", "")
    _check_exif(max(len(image.info.get("exif", b"")), len(as_text) // 2))


def decoding_bytes(image: Image.Image) -> int:
    """Return the most memory that decoding takes, in bytes, from the header alone.

    It is the sum of what the decoder keeps (a TIFF's tiles or strips, a progressive JPEG's
    coefficients, a WebP's canvases), the picture in Pillow's memory, a copy that is upright
    or RGB, the array of the pixels with the pieces that it is joined from, and white glass.
    """
    pixels = image.width * image.height
    picture = SMALL_MODES.get(image.mode, 4)
    glass = 8 if image.has_transparency_data else 0
    return pixels * (picture + 4 + 6 + glass) + _decoder_bytes(image)


def _decoder_bytes(image: Image.Image) -> int:
    width, height = image.size
    if image.format == "WEBP":
        return 12 * width * height  # two canvases and the frame, of RGBA
    if image.format in ("JPEG", "MPO"):
        return 2 * len(image.getbands()) * width * height if "progressive" in image.info else 0
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return 0
    bits = max(tags.get(BITS_PER_SAMPLE, (1,))) * tags.get(SAMPLES_PER_PIXEL, 1)
    # Tiles are decoded whole, also where they reach beyond the picture.
    across, down = tags.get(TILE_WIDTH, 1), tags.get(TILE_LENGTH, 1)
    return -(-width // across) * across * -(-height // down) * down * bits // 8


def _check_exif(size: int) -> None:
    if size > MAX_EXIF_BYTES:
        raise BadImage(
            f"The image carries {size:,} bytes of EXIF data; the limit is {MAX_EXIF_BYTES:,}. "
            "Save it without previews and maker's notes."
        )
