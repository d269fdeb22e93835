"""The same small field in every odd but honest way of storing it."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from serve.drawn_tissue import draw_field, encode
from tests.handler.hostile_images import grey_tags, tiff

PIXELS = draw_field(3, 140, 92)
HEIGHT, WIDTH = PIXELS.shape[:2]
GREY = np.asarray(Image.fromarray(PIXELS).convert("L"))
# Where it is transparent, white glass shows.
ALPHA = np.where(np.arange(HEIGHT)[:, None] < 40, 0, 255).astype(np.uint8).repeat(WIDTH, 1)
# As EXIF numbers them: how the stored picture follows from the upright one.
STORED = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p, -1),
}


@dataclass(frozen=True)
class Variant:
    """A file, the pixels to be read from it, how far each may be off, and its warnings."""

    data: bytes
    pixels: np.ndarray
    tolerance: int = 0
    warnings: tuple[str, ...] = ()


def variants() -> dict[str, Variant]:
    """Every variant by name."""
    return dict(
        [*_channels(), *_depths(), *_turned(), *_several_pages(), *_tiffs(), *_bmps(), *_profiles()]
    )


def save(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def rgb(grey: np.ndarray) -> np.ndarray:
    return grey[..., None].repeat(3, 2)


def on_glass(pixels: np.ndarray) -> np.ndarray:
    return np.where(ALPHA[..., None] == 0, 255, pixels).astype(np.uint8)


def _channels() -> Iterator[tuple[str, Variant]]:
    image = Image.fromarray(PIXELS)
    rgba = Image.fromarray(np.dstack([PIXELS, ALPHA]))
    la = Image.fromarray(np.dstack([GREY, ALPHA]))
    palette = image.quantize(64)
    bilevel = image.convert("1")
    for format in ("PNG", "TIFF", "BMP"):
        yield (
            f"{format} palette",
            Variant(save(palette, format), np.asarray(palette.convert("RGB"))),
        )
        black_and_white = rgb(np.asarray(bilevel.convert("L")))
        yield f"{format} 1 bit", Variant(save(bilevel, format), black_and_white)
    for format in ("PNG", "TIFF", "BMP", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        yield f"{format} grey", Variant(save(Image.fromarray(GREY), format, **options), rgb(GREY))
        yield f"{format} RGB", Variant(save(image, format, **options), PIXELS)
    for format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        yield f"{format} RGBA", Variant(save(rgba, format, **options), on_glass(PIXELS))
    for format in ("PNG", "TIFF"):
        yield f"{format} grey and alpha", Variant(save(la, format), on_glass(rgb(GREY)))
    shown = np.asarray(palette.convert("RGB"))
    glass = np.where((np.asarray(palette) == 7)[..., None], 255, shown)
    yield (
        "PNG palette with a transparent entry",
        Variant(save(palette, "PNG", transparency=7), glass),
    )
    yield (
        "PNG interlaced",
        Variant(
            cv2.imencode(".png", PIXELS[..., ::-1], (cv2.IMWRITE_PNG_STRATEGY, 2))[1].tobytes(),
            PIXELS,
        ),
    )
    cmyk = image.convert("CMYK")
    yield "TIFF CMYK", Variant(save(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB")))
    # Pillow writes CMYK inverted and with Adobe's marker, as Photoshop does.
    yield "JPEG CMYK", Variant(save(cmyk, "JPEG", quality=100, subsampling=0), PIXELS, 8)
    yield "JPEG grey", Variant(save(Image.fromarray(GREY), "JPEG", quality=100), rgb(GREY), 3)
    yield "JPEG RGB", Variant(save(image, "JPEG", quality=100, subsampling=0), PIXELS, 5)
    yield "JPEG without YCbCr", Variant(save(image, "JPEG", quality=100, keep_rgb=True), PIXELS, 3)
    yield (
        "JPEG progressive",
        Variant(save(image, "JPEG", quality=100, subsampling=0, progressive=True), PIXELS, 5),
    )


def _depths() -> Iterator[tuple[str, Variant]]:
    deep, deep_grey = PIXELS.astype(np.uint16) * 257, GREY.astype(np.uint16) * 257
    deep_alpha = ALPHA.astype(np.uint16) * 257
    arrays = {
        "16-bit grey": (deep_grey, rgb(GREY)),
        "16-bit RGB": (deep, PIXELS),
        "16-bit RGBA": (np.dstack([deep, deep_alpha]), on_glass(PIXELS)),
    }
    for name, (array, shown) in arrays.items():
        yield f"PNG {name}", Variant(imagecodecs.png_encode(array), shown)
        bgr = array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]
        yield f"TIFF {name}", Variant(cv2.imencode(".tif", bgr)[1].tobytes(), shown)
    grey_alpha = np.dstack([deep_grey, deep_alpha])
    yield (
        "PNG 16-bit grey and alpha",
        Variant(imagecodecs.png_encode(grey_alpha), on_glass(rgb(GREY))),
    )
    for order, ends in (("<", "little"), (">", "big")):
        for bits, format, values, name in (
            (16, 1, deep_grey, "16-bit grey"),
            (16, 2, np.minimum(deep_grey, 32767).astype(np.int16), "signed 16-bit grey"),
            (32, 2, deep_grey.astype(np.int32), "signed 32-bit grey"),
            (32, 3, GREY.astype(np.float32) / 255, "float"),
        ):
            data = values.astype(values.dtype.newbyteorder(order)).tobytes()
            tags = grey_tags(WIDTH, HEIGHT, bits) | {339: (3, (format,))}
            shown = np.minimum(GREY, 127) if "signed 16" in name else GREY
            yield f"TIFF {name}, {ends} end first", Variant(tiff(tags, data, order), rgb(shown), 1)
    bright = GREY.astype(np.float32) * 100
    tags = grey_tags(WIDTH, HEIGHT, 32) | {339: (3, (3,))}
    stretched = rgb(np.round(bright / bright.max() * 255).astype(np.uint8))
    yield "TIFF float beyond 255", Variant(tiff(tags, bright.tobytes()), stretched, 1)


def _turned() -> Iterator[tuple[str, Variant]]:
    for orientation, stored in STORED.items():
        image = Image.fromarray(np.ascontiguousarray(stored(PIXELS)))
        exif = Image.Exif()
        exif[0x0112] = orientation
        for format, tolerance, options in (
            ("PNG", 0, {}),
            ("TIFF", 0, {}),
            ("WEBP", 0, {"lossless": True}),
            ("JPEG", 12, {"quality": 100, "subsampling": 0}),
        ):
            data = save(image, format, exif=exif, **options)
            yield f"{format} turned, {orientation}", Variant(data, PIXELS, tolerance)


def _several_pages() -> Iterator[tuple[str, Variant]]:
    first, second = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    for format, tolerance, options in (
        ("TIFF", 0, {}),
        ("PNG", 0, {}),
        ("WEBP", 0, {"lossless": True}),
        ("MPO", 5, {"quality": 100, "subsampling": 0}),
    ):
        data = save(first, format, save_all=True, append_images=[second], **options)
        yield f"{format} of two", Variant(data, PIXELS, tolerance, ("several_pages",))


def _tiffs() -> Iterator[tuple[str, Variant]]:
    image = Image.fromarray(PIXELS)
    for compression in ("packbits", "tiff_lzw", "tiff_adobe_deflate", "lzma", "zstd"):
        yield f"TIFF {compression}", Variant(save(image, "TIFF", compression=compression), PIXELS)
    jpeg = save(image, "TIFF", compression="jpeg", quality=100)
    yield "TIFF jpeg", Variant(jpeg, PIXELS, 12)
    bilevel = image.convert("1")
    black_and_white = rgb(np.asarray(bilevel.convert("L")))
    for compression in ("group3", "group4", "tiff_ccitt"):
        data = save(bilevel, "TIFF", compression=compression)
        yield f"TIFF {compression}", Variant(data, black_and_white)
    ycbcr = image.convert("YCbCr")
    yield "TIFF YCbCr", Variant(save(ycbcr, "TIFF"), PIXELS, 4)
    yield "BigTIFF", Variant(save(image, "TIFF", big_tiff=True), PIXELS)
    many = {"tiffinfo": {278: 8}}
    yield "TIFF of several strips", Variant(save(image, "TIFF", **many), PIXELS)
    rgb_tags = grey_tags(WIDTH, HEIGHT) | {
        258: (3, (8, 8, 8)),
        262: (3, (2,)),
        277: (3, (3,)),
        279: (4, (PIXELS.size,)),
    }
    for order, ends in (("<", "little"), (">", "big")):
        yield (
            f"TIFF RGB, {ends} end first",
            Variant(tiff(rgb_tags, PIXELS.tobytes(), order), PIXELS),
        )
    planes = PIXELS.transpose(2, 0, 1).tobytes()
    size = WIDTH * HEIGHT
    planar = rgb_tags | {284: (3, (2,)), 279: (4, (size,) * 3)}
    planar[273] = (4, (8, 8 + size, 8 + 2 * size))
    yield "TIFF in planes", Variant(tiff(planar, planes), PIXELS)
    tiles = np.zeros((96, 144, 3), np.uint8)
    tiles[:HEIGHT, :WIDTH] = PIXELS
    coded = tiles.reshape(6, 16, 9, 16, 3).swapaxes(1, 2).tobytes()
    tiled = {tag: value for tag, value in rgb_tags.items() if tag not in (273, 278, 279)}
    tiled |= {322: (3, (16,)), 323: (3, (16,)), 325: (4, (768,) * 54)}
    tiled[324] = (4, tuple(range(8, 8 + 54 * 768, 768)))
    yield "TIFF in tiles", Variant(tiff(tiled, coded), PIXELS)
    white_is_zero = grey_tags(WIDTH, HEIGHT) | {262: (3, (0,))}
    yield "TIFF where white is 0", Variant(tiff(white_is_zero, (255 - GREY).tobytes()), rgb(GREY))


def _bmps() -> Iterator[tuple[str, Variant]]:
    bottom_up = save(Image.fromarray(PIXELS[::-1]), "BMP")
    top_down = bottom_up[:22] + struct.pack("<i", -HEIGHT) + bottom_up[26:]
    yield "BMP top down", Variant(top_down, PIXELS)
    five = (PIXELS.astype(np.uint16) + 4) * 31 // 263
    words = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2])[::-1].astype("<u2")
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 16, 0, words.nbytes, 0, 0, 0, 0)
    shown = (five * 255 / 31).astype(np.uint8)
    yield "BMP 16 bit", Variant(bmp(head, b"", words.tobytes()), shown, 1)
    runs = b"".join(b"".join(bytes((1, value)) for value in row) + b"\0\0" for row in GREY[::-1])
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(runs), 0, 0, 256, 0)
    greys = b"".join(bytes((i, i, i, 0)) for i in range(256))
    yield "BMP of runs", Variant(bmp(head, greys, runs + b"\0\1"), rgb(GREY))


def bmp(head: bytes, palette: bytes, rows: bytes) -> bytes:
    at = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(rows), 0, 0, at) + head + palette + rows


def _profiles() -> Iterator[tuple[str, Variant]]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for format in ("PNG", "TIFF"):
        yield (
            f"{format} with a profile",
            Variant(encode(PIXELS, format, icc_profile=profile), PIXELS),
        )
