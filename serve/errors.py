"""The ways in which serving and calling the service fail. The message says why, and what to do."""


class ServeError(Exception):
    """Base of the errors below."""


class BadSetting(ServeError):
    """A setting can't be used: a value, a folder, or a port that another program uses."""


class StartFailed(ServeError):
    """TorchServe runs already, ended, or did not become ready in time."""


class NotRunning(ServeError):
    """TorchServe was not started from this run folder."""


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

    def to_json(self) -> dict[str, int | str]:
        """Return the error in the contract's shape."""
        return {"code": self.code, "type": self.type, "message": str(self)}


class UnreadableFile(ServeError):
    """The operating system does not give a file that was to be sent."""

    def to_json(self) -> dict[str, str]:
        """Return what is printed in place of an answer; without a code, for nothing was asked."""
        return {"type": type(self).__name__, "message": str(self)}


class VersionError(ServeError):
    """What was asked of an archive, or of a version of the model, can't be done."""
