import os
from collections.abc import Iterator

import pytest
from rich.console import Console


@pytest.fixture
def console(capfd) -> Iterator[Console]:
    """The terminal, for progress, without what libtiff has to say about each file."""
    with capfd.disabled():
        terminal = os.fdopen(os.dup(1), "w")
    with terminal:
        yield Console(file=terminal)
