"""Every way in which serving and calling the service can fail, as a class."""


class ServeError(Exception):
    """Base of the errors below."""


class PortTaken(ServeError):
    """A port that the service needs is in use by another program."""

    def __init__(self, purpose: str, port: int, setting: str) -> None:
        super().__init__(
            f"Port {port} ({purpose}) is in use by another program. "
            f"Stop that program, or set {setting} to a free port."
        )


class BadSetting(ServeError):
    """An environment variable has a value that can't be used."""


class AlreadyRunning(ServeError):
    """TorchServe was already started from this run folder."""


class NotRunning(ServeError):
    """TorchServe was not started from this run folder."""


class StartFailed(ServeError):
    """TorchServe ended, or did not become ready in time."""


class ServiceDown(ServeError):
    """Nothing answers at the service's address."""


class ServiceBusy(ServeError):
    """The queue was full, or the worker ended, at every attempt."""


class TokenRefused(ServeError):
    """The service does not accept the token, not even a renewed one."""


class RequestRefused(ServeError):
    """The service answered a request with an error.

    Attributes
    ----------
    code : int
        HTTP status.
    type : str
        TorchServe's name of the error.
    """

    def __init__(self, code: int, type: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.type = type


class ImageRefused(RequestRefused):
    """The image can't be used; the message says what to do."""


class ArchiveUnusable(ServeError):
    """An archive is not in the model store, is damaged, or holds another model."""


class UnknownVersion(ServeError):
    """No such version of the model is registered."""


class VersionRegistered(ServeError):
    """The version is registered already."""


class VersionInUse(ServeError):
    """The version is the default, which can't be unregistered."""


class LoadFailed(ServeError):
    """TorchServe could not load an archive, or start its workers."""


class ProbeFailed(ServeError):
    """A version does not answer as it should."""


class DrainFailed(ServeError):
    """A version has still requests to answer, or does not answer at all."""


class NothingToRollBackTo(ServeError):
    """No other archive was served before."""


class SlideUnreadable(ServeError):
    """The file is no slide, is damaged, or can't be opened."""


class SlideHasNoScale(ServeError):
    """The slide does not say how large its pixels are, or they can't be used."""


class NoTissueFound(ServeError):
    """Nothing on the slide is stained."""


class FolderUnusable(ServeError):
    """Results can't be written into the folder."""


class NothingToScore(ServeError):
    """There is no file or folder of this name, or no image in it."""


class TableUnusable(ServeError):
    """The file that a table should be written to is something else."""


class TableInUse(ServeError):
    """Another run writes to the same table."""


class OtherModel(ServeError):
    """A table holds verdicts of another model."""


class ModelUnusable(ServeError):
    """The model's files are missing or damaged, or a worker could not open them."""


class RayMissing(ServeError):
    """Ray is not installed."""


class ClusterFailed(ServeError):
    """The Ray cluster can't be reached, or could not run the work."""


class UnreadableFile(ServeError):
    """The operating system does not give a file."""


class WorkerEnded(ServeError):
    """Every worker that a file was given to ended."""
