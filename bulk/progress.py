"""Shows how far scoring is, of files or of fields: a bar, or lines where there is no terminal."""

import time

from rich import progress
from rich.console import Console
from rich.text import Text

# Seconds between two lines.
INTERVAL = 10


class Rate(progress.ProgressColumn):
    """How many a second."""

    def render(self, task: progress.Task) -> Text:
        """Return the rate of the last while."""
        return Text("" if task.speed is None else f"{task.speed:.1f} {task.fields['of']}/s")


class Progress(progress.Progress):
    """Counts what is scored.

    Parameters
    ----------
    total : int
        How many there are.
    of : str
        What they are, in the plural.
    console : Console
    """

    def __init__(self, total: int, of: str, console: Console) -> None:
        super().__init__(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            Rate(),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not (console.is_terminal and total),
        )
        self.add_task("Scoring", total=total, of=of)
        self._next_line = time.monotonic() + INTERVAL

    def count(self, number: int) -> None:
        """Count some more as done."""
        (task,) = self.tasks
        self.advance(task.id, number)
        if self.console.is_terminal or not task.speed or time.monotonic() < self._next_line:
            return
        self._next_line = time.monotonic() + INTERVAL
        of = task.fields["of"]
        self.console.print(
            f"{task.completed:,.0f} of {task.total:,.0f} {of}, {task.speed:.1f} {of}/s, "
            f"{task.time_remaining or 0:,.0f} s left",
            highlight=False,
        )
