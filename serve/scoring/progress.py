"""Shows how far scoring is: as a bar, or as lines where there is no terminal."""

import time
from types import TracebackType

from rich import progress
from rich.console import Console
from rich.text import Text

# Seconds between two lines.
INTERVAL = 10


class Rate(progress.ProgressColumn):
    """Files a second."""

    def render(self, task: progress.Task) -> Text:
        """Return the rate of the last while."""
        return Text("" if task.speed is None else f"{task.speed:.1f} files/s")


class Progress:
    """Counts files.

    Parameters
    ----------
    total : int
        Files to score.
    console : Console
    """

    def __init__(self, total: int, console: Console) -> None:
        self._console = console
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            Rate(),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("Scoring", total=total)
        self._next_line = time.monotonic() + INTERVAL

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, files: int) -> None:
        """Count files as done."""
        self._bar.advance(self._task, files)
        task = self._bar.tasks[0]
        if self._console.is_terminal or not task.speed or time.monotonic() < self._next_line:
            return
        self._next_line = time.monotonic() + INTERVAL
        self._console.print(
            f"{task.completed:,.0f} of {task.total:,.0f} files, {task.speed:.1f} files/s, "
            f"{task.time_remaining or 0:,.0f} s left",
            highlight=False,
        )
