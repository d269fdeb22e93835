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
