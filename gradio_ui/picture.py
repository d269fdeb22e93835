"""Pictures and files as HTML that holds them: nothing of them is kept on disk."""

import base64
import io
from collections.abc import Iterable
from html import escape

import numpy as np
from PIL import Image

LEGEND = (
    "Orange places moved the decision towards malignant, blue ones towards benign. The scale is "
    "the same for every field: what has no colour moved it little."
)
# A small picture, in pixels: half of a BreakHis field.
SMALL = (350, 350)


def jpeg(pixels: np.ndarray, most: tuple[int, int] | None = None) -> bytes:
    """Encode RGB pixels, at most so many across and down."""
    image = Image.fromarray(pixels)
    if most:
        image.thumbnail(most)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def shrink(picture: bytes) -> bytes:
    """Make a small JPEG of a picture that the service or the project made."""
    with Image.open(io.BytesIO(picture)) as image:
        return jpeg(np.asarray(image.convert("RGB")), SMALL)


def data_url(content: bytes, media_type: str = "image/jpeg") -> str:
    """Return a URL that holds the content itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def figure(picture: str, caption: str) -> str:
    """Return a picture, by its URL, with its caption, in plain text."""
    return (
        f'<figure><img loading="lazy" decoding="async" alt="" src="{picture}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def gallery(title: str, about: str, figures: Iterable[str]) -> str:
    """Return figures under a heading; nothing where there is none."""
    shown = "".join(figures)
    return f'<h3>{title}</h3><p>{about}</p><div class="pictures">{shown}</div>' if shown else ""


def download_links(files: Iterable[tuple[str, str, bytes, str]]) -> str:
    """Return links that hold files themselves: name, media type, content, and what is said."""
    return "".join(
        f'<a class="download" download="{name}" href="{data_url(content, kind)}">{text}</a>'
        for name, kind, content, text in files
    )
