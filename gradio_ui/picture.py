"""Pictures as HTML that holds them: nothing of them is kept in a file."""

import base64
import io
from html import escape

from PIL import Image

LEGEND = (
    "Orange places moved the decision towards malignant, blue ones towards benign. The scale is "
    "the same for every field: what has no colour moved it little."
)
# A small picture, in pixels: half of a BreakHis field.
SMALL = (350, 350)


def shrink(picture: bytes) -> bytes:
    """Make a JPEG of at most `SMALL` pixels of a picture that the service or the project made."""
    with Image.open(io.BytesIO(picture)) as image:
        image.thumbnail(SMALL)
        small = io.BytesIO()
        image.convert("RGB").save(small, "JPEG", quality=85)
    return small.getvalue()


def thumbnail(picture: bytes, name: str) -> str:
    """Return a small picture with its name."""
    url, name = data_url(shrink(picture), "image/jpeg"), escape(name)
    return (
        f'<figure class="example"><img src="{url}" alt=""><figcaption>{name}</figcaption></figure>'
    )


def data_url(content: bytes, media_type: str) -> str:
    """Return a URL that holds the content itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
