import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import psutil
import pytest
import yaml
from PIL import ExifTags, Image

from handler.errors import BadImage, ImageTooLarge, UnsupportedImage
from handler.images import read_field, resize
from handler.limits import Limits, TimeLeft, decoding_bytes
from serve.drawn_tissue import draw_field, encode
from tests.conftest import ROOT
from tests.handler import hostile_images as hostile
from tests.handler.image_variants import PIXELS, variants

VARIANTS = variants()
# Width and height of the model's input, or of another's.
SEEN_AT = (224, 148)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_honest_variant_is_read_right(name):
    variant = VARIANTS[name]
    field = read_field(variant.data)
    assert field.pixels.shape == variant.pixels.shape
    assert np.abs(field.pixels.astype(int) - variant.pixels).max() <= variant.tolerance
    assert tuple(warning.code for warning in field.warnings) == variant.warnings


def test_jpeg_is_read_up_to_its_own_loss():
    pixels = read_field(encode(PIXELS, "JPEG", quality=95)).pixels
    assert np.abs(pixels.astype(int) - PIXELS).mean() < 10


def test_the_name_and_declared_type_play_no_part_in_telling_formats_apart():
    bmp = encode(PIXELS, "BMP")
    assert np.array_equal(read_field(bmp).pixels, PIXELS)


def test_large_fields_are_shrunk_and_keep_their_shape():
    pixels = read_field(encode(np.full((300, 4000, 3), 90, np.uint8))).pixels
    assert pixels.shape == (105, 1400, 3)
    assert (pixels == 90).all()


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Add a chunk to a PNG, before its pixels."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    chunk = struct.pack(">I", len(content)) + kind + content + checksum
    # The signature takes 8 bytes, the header 25.
    return png[:33] + chunk + png[33:]


def upright(orientation: int) -> Image.Exif:
    """EXIF data with nothing but how to turn the picture upright."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def test_a_png_is_turned_as_its_orientation_says():
    exif = upright(6).tobytes().removeprefix(b"Exif\0\0")
    png = with_chunk(encode(PIXELS), b"eXIf", exif)
    assert np.array_equal(read_field(png).pixels, np.rot90(PIXELS, -1))


def test_the_one_transparent_colour_of_a_png_shows_white_glass():
    red, green, blue = (int(value) for value in PIXELS[50, 70])
    png = with_chunk(encode(PIXELS), b"tRNS", struct.pack(">HHH", red, green, blue))
    assert (read_field(png).pixels[50, 70] == 255).all()


def test_gamma_and_remarks_in_a_png_change_no_pixel():
    png = with_chunk(encode(PIXELS), b"gAMA", struct.pack(">I", 100000))
    png = with_chunk(png, b"tEXt", b"Software\0camera")
    assert np.array_equal(read_field(png).pixels, PIXELS)


def test_a_large_jpeg_is_read_as_if_it_had_been_shrunk_first():
    pixels = cv2.resize(PIXELS, (2800, 1840), interpolation=cv2.INTER_CUBIC)
    large = read_field(encode(pixels, "JPEG", quality=95)).pixels
    shrunk = resize(pixels, 1400, 920)
    assert large.shape == shrunk.shape
    assert np.abs(large.astype(int) - shrunk).mean() < 1


@pytest.mark.parametrize("exif", [{}, {"exif": upright(6)}])
@pytest.mark.parametrize("size", [(700, 460), (460, 700), (2800, 1840), (250, 150)])
def test_of_a_jpeg_no_more_is_decoded_than_is_seen(size, exif):
    pixels = cv2.resize(PIXELS, size, interpolation=cv2.INTER_CUBIC)
    jpeg = encode(pixels, "JPEG", quality=95, **exif)
    field = read_field(jpeg, seen_at=SEEN_AT)
    short, long = sorted(field.pixels.shape[:2])
    assert long >= SEEN_AT[0]
    assert short >= SEEN_AT[1]
    assert long / 2 < SEEN_AT[0] or short / 2 < SEEN_AT[1]
    both = read_field(jpeg, seen_at=SEEN_AT, with_picture=True)
    assert np.array_equal(both.pixels, field.pixels)
    assert np.array_equal(both.picture, read_field(jpeg).pixels)
    shrunk = resize(both.picture, *field.pixels.shape[1::-1])
    assert np.abs(shrunk.astype(int) - field.pixels).mean() < 3


def test_what_is_no_jpeg_is_decoded_once_for_the_model_and_for_people():
    field = read_field(encode(PIXELS), seen_at=SEEN_AT, with_picture=True)
    assert field.picture is field.pixels


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


HOSTILE = {
    "PNG of profiles that inflate": (hostile.png_of_profiles(200), Limits(max_seconds=1e-3)),
    "PNG of empty chunks": (hostile.png_of_empty_chunks(20_000), Limits(max_seconds=1e-3)),
    "BMP of single pixels": (hostile.bmp_of_runs(500), Limits(max_seconds=1e-3)),
    "JPEG of many scans": (hostile.progressive_jpeg(128, 200), Limits()),
    "JPEG of many EXIF segments": (hostile.jpeg_of_exif(20_000, b"1234567"), Limits()),
    "JPEG whose EXIF tags share a value": (hostile.jpeg_of_one_large_exif(500_000), Limits()),
    "TIFF whose tags share a value": (hostile.tiff_of_shared_values(400_000), Limits()),
    "TIFF of many strips": (hostile.tiff_of_strips(2_500_000), Limits()),
    "TIFF of one huge number": (hostile.tiff_of_numbers(1_500_000), Limits()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_take_too_long_or_too_much_memory_is_refused(name):
    data, limits = HOSTILE[name]
    with pytest.raises(BadImage) as refusal:
        read_field(data, limits)
    assert refusal.value.code == 400
    # Not found out by breaking down, but refused by a rule of its own.
    assert "damaged" not in str(refusal.value)
    assert "not an image" not in str(refusal.value)


def test_an_honest_png_has_time_enough_and_none_when_none_is_given():
    png = VARIANTS["PNG RGBA"].data
    read_field(png)
    with pytest.raises(BadImage, match="too long to decode"):
        read_field(png, Limits(max_seconds=0))


def test_images_that_share_time_leave_less_of_it_to_the_next():
    time_left = TimeLeft(10)
    with time_left.spend() as first, pytest.raises(BadImage):
        assert first == 10
        read_field(b"no image")
    with time_left.spend() as second:
        assert second < first


def test_memory_is_limited_by_the_header():
    with pytest.raises(ImageTooLarge, match="memory") as refusal:
        read_field(hostile.tiff_of_a_huge_tile(40_000))
    assert refusal.value.code == 413


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("PNG grey", "PNG RGB"),
        ("PNG RGB", "PNG RGBA"),
        ("PNG RGB", "WEBP RGB"),
        ("TIFF RGB", "TIFF 16-bit RGB"),
        ("JPEG RGB", "JPEG progressive"),
    ],
)
def test_memory_is_counted_by_mode_depth_and_decoder(less, more):
    few, many = (
        decoding_bytes(Image.open(io.BytesIO(VARIANTS[name].data))) for name in (less, more)
    )
    assert few < many


def test_more_pixels_than_the_limit_are_refused_and_as_many_are_not():
    field = encode(np.zeros((100, 200, 3), np.uint8))
    assert read_field(field, Limits(max_pixels=20_000)).pixels.shape == (100, 200, 3)
    with pytest.raises(ImageTooLarge, match=r"200 x 100 pixels; the limit is 19,999 pixels"):
        read_field(field, Limits(max_pixels=19_999))


def test_40_million_pixels_of_rgb_are_allowed_in_every_format():
    for name in ("PNG 16-bit RGB", "TIFF 16-bit RGB", "WEBP RGB", "JPEG progressive", "BMP RGB"):
        with Image.open(io.BytesIO(VARIANTS[name].data)) as image:
            a_pixel = decoding_bytes(image) / (image.width * image.height)
        assert a_pixel * Limits().max_pixels <= Limits().max_memory, name


SHORT_OF_MEMORY = """
import resource, sys
from psutil import Process
from handler.errors import RequestError
from handler.images import read_field

data = sys.stdin.buffer.read()
resource.setrlimit(resource.RLIMIT_AS, (Process().memory_info().vms + 30_000_000,) * 2)
try:
    read_field(data)
except RequestError as error:
    print(error.code, type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("TIFF", "RGB", {"compression": "tiff_deflate"}),
        ("WEBP", "RGB", {"method": 0}),
        ("WEBP", "RGB", {"method": 0, "lossless": True}),
        ("WEBP", "RGBA", {"method": 0, "exif": b"Exif\0\0"}),
    ],
)
def test_a_sound_image_for_which_memory_is_short_is_not_called_damaged(format, mode, options):
    buffer = io.BytesIO()
    Image.new(mode, (6000, 6000)).save(buffer, format, **options)
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY],
        input=buffer.getvalue(),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.stdout.startswith(b"507 OutOfMemory "), done.stdout + done.stderr
    assert b"damaged" not in done.stdout
    assert b"again" in done.stdout


def test_a_long_chain_of_pages_is_not_walked():
    """The last page links to a place beyond the file's end; nobody goes there."""
    field = read_field(hostile.tiff_of_pages(20_000))
    assert [warning.code for warning in field.warnings] == ["several_pages"]


def test_the_decoder_that_inflates_all_that_follows_gets_small_files_only(monkeypatch):
    """It would take most of a minute for the 15 GB that a file of the largest size may hold."""
    decoded = []
    decode = imagecodecs.png_decode

    def note(data, **options):
        decoded.append(data)
        return decode(data, **options)

    monkeypatch.setattr(imagecodecs, "png_decode", note)
    small, large = VARIANTS["PNG RGB"].data, hostile.png_with_a_long_stream(1500)
    assert read_field(large).pixels.shape == (128, 128, 3)
    assert decoded == []
    read_field(small)
    assert decoded == [small]


def test_nothing_of_a_damaged_image_reaches_a_log(caplog):
    secret = b"a name in a colour profile"
    png = with_chunk(encode(PIXELS), b"iCCP", secret + b"\0\0" + zlib.compress(bytes(200)))
    read_field(png)
    assert caplog.text == ""


def test_truncated_pngs_leave_no_memory_taken():
    """The faster decoder leaks its result when it fails: half a megabyte of each of these."""
    png = encode(draw_field(1))
    process = psutil.Process()
    readings = []
    for _ in range(200):
        with pytest.raises(BadImage):
            read_field(png[: len(png) // 2])
        readings.append(process.memory_info().rss)
    assert readings[-1] - readings[50] < 20_000_000


def test_the_model_s_configuration_states_the_limits():
    config = yaml.safe_load(Path("handler/model-config.yaml").read_text())
    assert Limits(**config["handler"]["image_limits"]) == Limits()


def test_resize_keeps_the_mean_colour():
    small = resize(PIXELS, 35, 23)
    assert small.shape == (23, 35, 3)
    assert np.abs(small.mean((0, 1)) - PIXELS.mean((0, 1))).max() < 0.6
