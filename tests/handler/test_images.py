import io
import struct
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from handler.errors import BadImage, ImageTooLarge, RequestError, UnsupportedImage
from handler.images import Limits, read_field, resize
from scripts.drawn_fields import draw_field, encode

PIXELS = draw_field(3, 140, 92)


def save(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("TIFF", {}), ("BMP", {}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_keep_every_pixel(format, options):
    field = read_field(encode(PIXELS, format, **options))
    assert np.array_equal(field.pixels, PIXELS)
    assert field.warnings == []


def test_jpeg_is_read_up_to_its_own_loss():
    pixels = read_field(encode(PIXELS, "JPEG", quality=95)).pixels
    assert np.abs(pixels.astype(int) - PIXELS).mean() < 10


def test_the_name_and_declared_type_play_no_part_in_telling_formats_apart():
    bmp = encode(PIXELS, "BMP")
    assert np.array_equal(read_field(bmp).pixels, PIXELS)


def test_16_bit_grey_is_scaled_to_8_bit():
    grey = np.arange(128 * 128, dtype=np.uint16).reshape(128, 128) * 4
    pixels = read_field(save(Image.fromarray(grey), "PNG")).pixels
    assert pixels.shape == (128, 128, 3)
    assert np.abs(pixels[..., 0] - grey / 257.0).max() <= 0.5 + 1e-9


def test_transparency_shows_white_glass():
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    rgba[:50, :, 3] = 0
    pixels = read_field(save(Image.fromarray(rgba), "PNG")).pixels
    assert (pixels[:50] == 255).all()
    assert np.array_equal(pixels[50:], PIXELS[50:])


def test_palette_grey_and_cmyk_become_rgb():
    image = Image.fromarray(PIXELS)
    for mode, format in [("P", "PNG"), ("L", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("LA", "PNG")]:
        pixels = read_field(save(image.convert(mode), format)).pixels
        assert pixels.shape == PIXELS.shape, mode
        assert pixels.dtype == np.uint8


def test_large_fields_are_shrunk_and_keep_their_shape():
    pixels = read_field(encode(np.full((300, 4000, 3), 90, np.uint8))).pixels
    assert pixels.shape == (105, 1400, 3)
    assert (pixels == 90).all()


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    data = save(Image.fromarray(PIXELS), "PNG", exif=exif)
    assert np.array_equal(read_field(data).pixels, np.rot90(PIXELS, -1))


def test_first_page_is_read_with_a_warning():
    first, second = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    field = read_field(save(first, "TIFF", save_all=True, append_images=[second]))
    assert np.array_equal(field.pixels, PIXELS)
    assert [warning.code for warning in field.warnings] == ["several_pages"]


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Add a chunk to a PNG, before its pixels."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    chunk = struct.pack(">I", len(content)) + kind + content + checksum
    # The signature takes 8 bytes, the header 25.
    return png[:33] + chunk + png[33:]


def test_a_png_is_turned_as_its_orientation_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    png = with_chunk(encode(PIXELS), b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    assert np.array_equal(read_field(png).pixels, np.rot90(PIXELS, -1))


def test_the_one_transparent_colour_of_a_png_shows_white_glass():
    red, green, blue = (int(value) for value in PIXELS[50, 70])
    png = with_chunk(encode(PIXELS), b"tRNS", struct.pack(">HHH", red, green, blue))
    assert (read_field(png).pixels[50, 70] == 255).all()


def test_gamma_and_remarks_in_a_png_change_no_pixel():
    png = with_chunk(encode(PIXELS), b"gAMA", struct.pack(">I", 100000))
    png = with_chunk(png, b"tEXt", b"Software\0camera")
    assert np.array_equal(read_field(png).pixels, PIXELS)


def test_16_bit_colour_is_read_as_8_bit():
    deep = PIXELS.astype(np.uint16) * 257
    assert np.array_equal(read_field(imagecodecs.png_encode(deep)).pixels, PIXELS)


def test_a_large_jpeg_is_read_as_if_it_had_been_shrunk_first():
    pixels = cv2.resize(PIXELS, (2800, 1840), interpolation=cv2.INTER_CUBIC)
    large = read_field(encode(pixels, "JPEG", quality=95)).pixels
    shrunk = resize(pixels, 1400, 920)
    assert large.shape == shrunk.shape
    assert np.abs(large.astype(int) - shrunk).mean() < 1


def test_text_named_png_is_refused_as_no_image():
    with pytest.raises(BadImage) as refusal:
        read_field(b"just some text\n" * 50)
    assert refusal.value.code == 400
    assert "PNG" in str(refusal.value)


def test_a_format_that_is_not_accepted_is_named():
    with pytest.raises(UnsupportedImage, match="GIF"):
        read_field(encode(PIXELS, "GIF"))


def test_empty_truncated_and_tiny_images_are_refused():
    png = encode(PIXELS)
    for data in (b"", png[: len(png) // 2], png[:30], encode(PIXELS[:20, :20])):
        with pytest.raises(BadImage) as refusal:
            read_field(data)
        assert refusal.value.code == 400


def test_bytes_are_limited_before_anything_is_read():
    with pytest.raises(ImageTooLarge) as refusal:
        read_field(encode(PIXELS), Limits(max_bytes=1000))
    assert refusal.value.code == 413


def test_a_decompression_bomb_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    png += struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(bytes(100_000))
    png += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    with pytest.raises(ImageTooLarge) as refusal:
        read_field(png)
    assert refusal.value.code == 413


def test_resize_keeps_the_mean_colour():
    small = resize(PIXELS, 35, 23)
    assert small.shape == (23, 35, 3)
    assert np.abs(small.mean((0, 1)) - PIXELS.mean((0, 1))).max() < 0.6


SEEDS = [encode(PIXELS, f) for f in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6),
    length=st.floats(0.01, 1),
)
def test_damaged_images_are_read_or_refused_and_nothing_else(seed, edits, length):
    data = bytearray(seed)
    for place, value in edits:
        at = int(place * (len(data) - 1))
        data[at : at + len(value)] = value
    data = bytes(data[: max(1, int(length * len(data)))])
    try:
        pixels = read_field(data, Limits(max_pixels=1_000_000)).pixels
    except RequestError as error:
        assert error.to_json()["message"]
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
