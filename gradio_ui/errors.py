"""Every way in which the page itself refuses, as a class."""


class UnreadableUpload(Exception):
    """An uploaded file can't be read; the message says what to do."""


class NoExamples(Exception):
    """The folder that examples should come from holds none."""
