"""What the page does not do, though Gradio would: ask other hosts, and take calls of no use to it.

A visitor who sends an address instead of a file would make this server ask that address, and
`/gradio_api/file=ADDRESS` would make it a proxy for everybody.
"""

import re
from typing import Never

import gradio as gr
from gradio import processing_utils
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# In turn: what asks other hosts, what hands an upload to ffmpeg, what keeps a visitor's results.
UNUSED = re.compile(r"/gradio_api/(file=\w+:|proxy=|process_recording|deep_link)", re.IGNORECASE)
# Gradio's scripts and styles lie within the page. `frame-ancestors` is left open: a Space is shown
# in a frame.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """Refuses what the page has no use for: ASGI middleware around Gradio's application.

    It also tells browsers to ask no other host for the page.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 404."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        unused = scope["type"] == "http" and UNUSED.search(scope["path"])
        app = PlainTextResponse("This page does not offer that.", 404) if unused else self._app
        await app(scope, receive, with_headers)


def fetch_no_address() -> None:
    """Make Gradio refuse an address in the place of an upload, in whichever input it stands."""
    processing_utils.async_ssrf_protected_download = _refuse


async def _refuse(url: str, cache_dir: str) -> Never:
    raise gr.Error(
        "Upload the file itself: this page asks no other host for it.", print_exception=False
    )
