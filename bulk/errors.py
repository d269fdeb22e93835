"""Every way in which work without a service can fail, as a class."""


class BulkError(Exception):
    """Base of the errors below."""


class SlideUnreadable(BulkError):
    """The file is no slide, is damaged, or can't be opened."""


class SlideHasNoScale(BulkError):
    """The slide does not say how large its pixels are, or they can't be used."""


class NoTissueFound(BulkError):
    """Nothing on the slide is stained."""


class FolderUnusable(BulkError):
    """Results can't be written into the folder."""


class NothingToScore(BulkError):
    """There is no file or folder of this name, or no image in it."""


class TableUnusable(BulkError):
    """The file that a table should be written to is something else."""


class TableInUse(BulkError):
    """Another run writes to the same table."""


class OtherModel(BulkError):
    """A table holds verdicts of another model."""


class ModelUnusable(BulkError):
    """The model's files are missing or damaged, or a worker could not open them."""


class RayMissing(BulkError):
    """Ray is not installed."""


class ClusterFailed(BulkError):
    """The Ray cluster can't be reached, or could not run the work."""


class UnreadableFile(BulkError):
    """The operating system does not give a file."""


class WorkerEnded(BulkError):
    """Every worker that a file was given to ended."""
