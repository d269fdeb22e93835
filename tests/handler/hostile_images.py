"""Small files made to cost a decoder much time or memory."""

import io
import struct
import zlib

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(*chunks: bytes, side: int = 128, depth: int = 8, colour: int = 2) -> bytes:
    """A black PNG with chunks before its pixels; colour is 0 grey, 2 RGB, 6 RGBA."""
    row = 1 + side * {0: 1, 2: 3, 4: 2, 6: 4}[colour] * depth // 8
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0))
    compressor = zlib.compressobj(9)
    pixels = b"".join(compressor.compress(bytes(row)) for _ in range(side)) + compressor.flush()
    content = (PNG_SIGNATURE, header, *chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"".join(content)


def png_of_empty_chunks(count: int) -> bytes:
    """Each empty chunk of pixels costs a turn of Pillow's loop."""
    return png(png_chunk(b"IDAT", b"") * count, colour=6)


def png_of_profiles(count: int) -> bytes:
    """Each colour profile inflates to a megabyte."""
    profile = b"x\0\0" + zlib.compress(bytes(2**20 - 1), 9)
    return png(png_chunk(b"iCCP", profile) * count, colour=6)


def png_with_a_long_stream(megabytes: int) -> bytes:
    """The compressed pixels go on after the last row."""
    compressor = zlib.compressobj(9)
    stream = compressor.compress(bytes(2**20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    more = zlib.compressobj(9, wbits=-15)
    block = more.compress(bytes(2**20)) + more.flush(zlib.Z_FULL_FLUSH)
    pixels = png_chunk(b"IDAT", stream + block * megabytes)
    return png()[:33] + pixels + png_chunk(b"IEND", b"")


def progressive_jpeg(side: int, scans: int) -> bytes:
    """A grey progressive JPEG, whose every scan refines nothing in all blocks."""
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    jpeg = buffer.getvalue()
    blocks = ((side + 7) // 8) ** 2
    # One Huffman code, of one bit, for an end of band that runs over 2**14 blocks and more.
    table = b"\xff\xc4" + struct.pack(">HB", 20, 0x10) + b"\1" + bytes(15) + b"\xe0"
    runs = range(0, blocks - 2**14, 2**15 - 1)
    bits = "".join("0" + format(min(blocks - at, 2**15 - 1) - 2**14, "014b") for at in runs)
    bits += "1" * (8 - len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 1, 0x00) + coded
    return jpeg[:-2] + table + scan * scans + b"\xff\xd9"


def jpeg_of_exif(segments: int, content: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    segment = b"\xff\xe1" + struct.pack(">H", len(content) + 8) + b"Exif\0\0" + content
    return jpeg[:2] + segment * segments + jpeg[2:]


def jpeg_of_one_large_exif(size: int) -> bytes:
    """Every tag of the Exif data claims the same half of it as its value."""
    exif = tiff_of_shared_values(size)
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    parts = [exif[at : at + 60_000] for at in range(0, len(exif), 60_000)]
    segments = [b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts]
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def tiff_of_shared_values(size: int) -> bytes:
    """A TIFF directory, whose every tag has the same large value."""
    count = min(65535, size // 24)
    shared = size - 14 - 12 * count
    entries = b"".join(
        struct.pack("<HHII", 40000 + i % 25000, 7, shared, 14 + 12 * count) for i in range(count)
    )
    head = b"II*\0" + struct.pack("<IH", 8, count) + entries + struct.pack("<I", 0)
    return head + bytes(size - len(head))


def tiff(tags: dict[int, tuple[int, tuple]], pixels: bytes, order: str = "<") -> bytes:
    """A TIFF of one page; a tag is its type and its values; the pixels lie at byte 8."""
    sizes = {3: "H", 4: "I"}
    pixels += bytes(len(pixels) % 2)
    start = 8 + len(pixels)
    values_at = start + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, (kind, value) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(value)}{sizes[kind]}", *value)
        if len(packed) > 4:
            inline = struct.pack(f"{order}I", values_at + len(values))
            values += packed + bytes(len(packed) % 2)
        else:
            inline = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(value)) + inline
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    count = struct.pack(f"{order}H", len(tags))
    return head + pixels + count + entries + bytes(4) + values


def grey_tags(width: int, height: int, bits: int = 8) -> dict[int, tuple[int, tuple]]:
    return {
        256: (4, (width,)),
        257: (4, (height,)),
        258: (3, (bits,)),
        259: (3, (1,)),
        262: (3, (1,)),
        277: (3, (1,)),
        278: (4, (height,)),
        273: (4, (8,)),
        279: (4, (width * height * bits // 8,)),
    }


def tiff_of_strips(count: int) -> bytes:
    """Every strip is the same row."""
    tags = grey_tags(128, 128) | {278: (4, (1,)), 273: (3, (8,) * count)}
    return tiff(tags, bytes(128 * 128))


def tiff_of_numbers(count: int) -> bytes:
    """Its resolution, one number, is given as many."""
    return tiff(grey_tags(128, 128) | {282: (4, (1,) * count)}, bytes(128 * 128))


def tiff_of_pages(count: int) -> bytes:
    """A chain of directories, each of which is a page."""
    page = struct.pack("<H", 9)
    first = tiff(grey_tags(128, 128), bytes(128 * 128))
    at = len(first)
    entries = first[8 + 128 * 128 + 2 : 8 + 128 * 128 + 2 + 9 * 12]
    size = 2 + len(entries) + 4
    pages = [page + entries + struct.pack("<I", at + (i + 1) * size) for i in range(count - 1)]
    pages.append(page + entries + struct.pack("<I", 2**31))
    link = 8 + 128 * 128 + 2 + 9 * 12
    return first[:link] + struct.pack("<I", at) + first[link + 4 :] + b"".join(pages)


def tiff_of_a_huge_tile(side: int) -> bytes:
    """A small picture in the corner of one tile."""
    coded = zlib.compress(bytes(1000))
    tags = grey_tags(128, 128)
    for tag in (273, 278, 279):
        del tags[tag]
    tags |= {259: (3, (8,)), 322: (4, (side,)), 323: (4, (side,))}
    tags |= {324: (4, (8,)), 325: (4, (len(coded),))}
    return tiff(tags, coded)


def bmp_of_runs(side: int) -> bytes:
    """Each pixel is a run of its own, for a decoder written in Python."""
    rows = (b"\1\7" * side + b"\0\0") * side + b"\0\1"
    palette = bytes(range(256)) * 4
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    at = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(rows), 0, 0, at) + head + palette + rows


def bmp_of_jumps(side: int) -> bytes:
    """Each jump writes 255 empty rows, and four bytes say so."""
    rows = b"\0\2\0\xff" * 4000
    palette = bytes(range(256)) * 4
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    at = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(rows), 0, 0, at) + head + palette + rows
