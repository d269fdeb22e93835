"""Uploads are deleted after use.

Gradio keeps equal files of the same name in one place, whoever sent them: such a file is
deleted when it has been used as often as it was sent. What came of an upload that broke off lies
beside them under a name that nobody knows, and Gradio forgets it.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradio_ui.uploads import UploadedFile

_sent: Counter[Path] = Counter()
_lock = threading.Lock()


class CountUploads:
    """Counts how often each file is sent: ASGI middleware around Gradio's application.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; of an upload, read the answer, which lists the files' places."""
        if scope["type"] != "http" or not scope["path"].endswith("/upload"):
            await self._app(scope, receive, send)
            return
        answer = bytearray()
        ok = False

        async def note(message: Message) -> None:
            nonlocal ok
            if message["type"] == "http.response.start":
                ok = message["status"] == 200
            elif message["type"] == "http.response.body":
                answer.extend(message.get("body", b""))
                if ok and not message.get("more_body"):
                    with _lock:
                        _sent.update(map(Path, json.loads(answer)))
            await send(message)

        self._under_way += 1
        try:
            await self._app(scope, receive, note)
        finally:
            self._under_way -= 1
            if not self._under_way:
                _delete_broken_off(Path(scope["app"].uploaded_file_dir))


def _delete_broken_off(folder: Path) -> None:
    for part in folder.iterdir():  # whole uploads lie in folders of their own
        if part.is_file():
            part.unlink()


def delete(files: Iterable[UploadedFile]) -> None:
    """Delete files after use, but those that somebody else has sent too; see `CountUploads`."""
    with _lock:
        for file in files:
            _sent[file.path] -= 1
            if _sent[file.path] <= 0:
                del _sent[file.path]
                file.path.unlink(missing_ok=True)
