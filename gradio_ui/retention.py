"""An upload lives in a folder of its own until the request that uses it ends.

By itself Gradio keeps equal files of the same name in one place, whoever sent them, so that one
visitor's could not be deleted without another's; and it forgets what came of an upload that broke
off. Uploads that no request uses are deleted by age; see `gradio_ui.page`.
"""

import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gradio import Blocks, route_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradio_ui.uploads import UploadedFile


class _Part(route_utils.GradioUploadFile):
    """A file that is being sent; Gradio moves it to a folder that is named by its `sha`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sha.update(secrets.token_bytes(16))
        _parts.get().append(self)

    def delete(self) -> None:
        """Delete it, wherever it has come to."""
        path = Path(self.file.name)
        path.unlink(missing_ok=True)
        shutil.rmtree(path.parent / self.sha.hexdigest(), ignore_errors=True)


_delete_created = route_utils.delete_files_created_by_app


def _delete_old(blocks: Blocks, age: int | None) -> None:
    # It stumbles over a file that comes in meanwhile, and Gradio would never call it again.
    with suppress(RuntimeError):
        _delete_created(blocks, age)


_parts: ContextVar[list[_Part]] = ContextVar("parts")


class OwnFolders:
    """Gives each upload a folder of its own: ASGI middleware around Gradio's application.

    Of a request that fails or breaks off, nothing is left.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        route_utils.GradioUploadFile = _Part  # type: ignore[misc]
        route_utils.delete_files_created_by_app = _delete_old

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        parts: list[_Part] = []
        taken = False

        def delete_refused() -> None:
            for part in [] if taken else parts:
                part.delete()

        async def note(message: Message) -> None:
            nonlocal taken
            taken = taken or message.get("status") == 200
            delete_refused()  # first, so that who reads the answer finds nothing left
            await send(message)

        before = _parts.set(parts)
        try:
            await self._app(scope, receive, note)
        finally:
            _parts.reset(before)
            delete_refused()


def delete(files: Iterable[UploadedFile]) -> None:
    """Delete uploads after use, with the folder of each."""
    for file in files:
        file.path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds something else, or is gone
            file.path.parent.rmdir()
