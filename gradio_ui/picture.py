"""Pictures as HTML that holds them: nothing of them is kept in a file."""

import base64
import io
from html import escape

from PIL import Image

# How opaque the heat map over a field is, in percent.
OPACITY = 70
LEGEND = (
    "Compared with an average field, orange tissue moved the decision towards malignant, "
    "blue towards benign; what has no colour moved it little."
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


def over_field(field: bytes, heatmap: bytes, name: str) -> str:
    """Lay a heat map over its field.

    Parameters
    ----------
    field : bytes
        JPEG.
    heatmap : bytes
        PNG of the same size.
    name : str
        The file's, in plain text.
    """
    return layers(
        field,
        heatmap,
        opacity=OPACITY,
        shows=f"The field {name}",
        heatmap_shows="Heat map: where the model looked",
        legend=LEGEND,
    )


def layers(
    below: bytes, heatmap: bytes, *, opacity: int, shows: str, heatmap_shows: str, legend: str
) -> str:
    """Lay a heat map over a picture, with a slider for its opacity.

    Parameters
    ----------
    below : bytes
        JPEG.
    heatmap : bytes
        PNG of the same size.
    opacity : int
        How opaque the heat map is, in percent, until the reader moves the slider.
    shows, heatmap_shows, legend : str
        What is seen, in plain text.
    """
    # The slider works in the page alone: no request is sent.
    slide = "this.closest('.picture').style.setProperty('--opacity', this.value / 100)"
    return (
        f'<figure class="picture" style="--opacity: {opacity / 100}"><div class="layers">'
        f'<img src="{data_url(below, "image/jpeg")}" alt="{escape(shows)}">'
        f'<img class="heatmap" src="{data_url(heatmap, "image/png")}" '
        f'alt="{escape(heatmap_shows)}"></div>'
        f'<label>Opacity of the heat map <input type="range" min="0" max="100" value="{opacity}" '
        f'oninput="{slide}"></label>'
        f"<figcaption>{escape(legend)}</figcaption></figure>"
    )
