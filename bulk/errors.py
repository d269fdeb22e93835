"""The ways in which work without a service fails. The message says why, and what to do."""


class BulkError(Exception):
    """Base of the errors below."""


class NothingToScore(BulkError):
    """There is no file or folder of this name, or no image in it."""


class SlideUnusable(BulkError):
    """The file is no slide, is damaged, does not tell its scale, or holds no tissue."""


class RegionUnusable(BulkError):
    """The file of a region can't be read, or holds no polygon."""


class ModelUnusable(BulkError):
    """A worker ended while it opened the model."""


class OutputUnusable(BulkError):
    """Results can't be written there: it is something else, another run's, or another model's."""


class ClusterFailed(BulkError):
    """Ray is not installed, can't be reached, or could not do the work."""


class UnreadableFile(BulkError):
    """The operating system does not give a file. A later run tries it again."""


class WorkerEnded(BulkError):
    """Every worker that a file was given to ended. A later run tries it again."""

    def __init__(self) -> None:
        super().__init__("Every worker that read this file ended. Look at it with care.")
