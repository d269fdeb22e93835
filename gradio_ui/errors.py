"""Every way in which the page itself refuses, as a class."""


class UnreadableUpload(Exception):
    """An uploaded file can't be read; the message says what to do."""


class ModelChanged(Exception):
    """The fields of one run were judged by several models, or by one that runs no more."""

    def __init__(self) -> None:
        super().__init__(
            "The model changed during the run, so nothing can be said of all together. Send the "
            "files again."
        )


class NoExamples(Exception):
    """The folder that examples should come from holds none."""
