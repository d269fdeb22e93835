"""Files to begin with, and what to do to them.

The mutations are our own and not hypothesis's, which remembers what it has tried, so
that the memory of a long run would grow by that.
"""

import random
import struct
import zlib

from serve.drawn_tissue import encode
from tests.handler import hostile_images as hostile
from tests.handler.image_variants import PIXELS, variants

NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)


def corpus() -> list[bytes]:
    """Every honest variant, small hostile files, and formats that are not accepted."""
    made_to_harm = [
        hostile.png_of_empty_chunks(50),
        hostile.png_of_profiles(3),
        hostile.png_with_a_long_stream(2),
        hostile.progressive_jpeg(1400, 20),
        hostile.jpeg_of_exif(20, b"1234567"),
        hostile.jpeg_of_one_large_exif(5000),
        hostile.tiff_of_shared_values(5000),
        hostile.tiff_of_strips(200),
        hostile.tiff_of_numbers(200),
        hostile.tiff_of_pages(5),
        hostile.tiff_of_a_huge_tile(1000),
        hostile.bmp_of_runs(64),
        hostile.bmp_of_jumps(64),
    ]
    refused = [encode(PIXELS, format) for format in ("GIF", "PPM", "ICO", "AVIF", "JPEG2000")]
    return [variant.data for variant in variants().values()] + made_to_harm + refused


def mutate(rng: random.Random, files: list[bytes]) -> bytes:
    """Damage one of the files in one to eight places."""
    data = bytearray(rng.choice(files))
    for _ in range(rng.randint(1, 8)):
        # What decides most lies at the beginning of a file, or, in a TIFF, at its end.
        at = rng.choice((rng.randint(0, 128), rng.randint(0, len(data)), len(data) - 200))
        at = min(max(at, 0), len(data))
        size = rng.randint(1, 16)
        match rng.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                data[at:at] = rng.randbytes(size)
            case 3:
                del data[at : at + size]
            case 4:
                number = struct.pack(rng.choice(("<I", ">I")), rng.choice(NUMBERS))
                data[at : at + 4] = number
            case 5:
                number = struct.pack(rng.choice(("<H", ">H")), rng.choice(NUMBERS) & 0xFFFF)
                data[at : at + 2] = number
            case 6 if len(data) > 1:
                start = rng.randrange(len(data))
                data[at:at] = data[start : start + rng.randint(1, 2000)]
            case 7 if rng.random() < 0.2:
                other = rng.choice(files)
                data[at:] = other[rng.randrange(len(other)) :]
    if rng.random() < 0.2:
        del data[rng.randint(0, len(data)) :]
    if data.startswith(hostile.PNG_SIGNATURE) and rng.random() < 0.8:
        data = _mend_checksums(data)
    return bytes(data)


def _mend_checksums(png: bytearray) -> bytearray:
    """Otherwise nearly every damaged PNG is refused before its content is looked at."""
    at = 8
    while at + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, at)
        end = at + 8 + size
        if end + 4 > len(png):
            break
        struct.pack_into(">I", png, end, zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return png
