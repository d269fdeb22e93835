"""Every way in which the handler refuses, as a class.

``code`` is the HTTP status, ``type`` the name in TorchServe's own error shape.
"""


class RequestError(Exception):
    """A request, or one image of it, that is refused; the message says what the sender can do."""

    code = 400
    type = "BadRequestException"

    def to_json(self) -> dict[str, int | str]:
        """Return the error in TorchServe's own shape."""
        return {"code": self.code, "type": self.type, "message": str(self)}


class BadRequest(RequestError):
    """The body holds no image in any form that the service reads."""


class BadImage(RequestError):
    """The image is damaged or can't be used."""

    type = "BadImageException"


class ImageTooLarge(BadImage):
    """The image has too many bytes or pixels."""

    code = 413


class UnsupportedImage(BadImage):
    """The bytes are not an image format that is accepted."""

    code = 415


class TooManyImages(RequestError):
    """One request carries more images than are answered at once."""

    code = 413
    type = "TooManyImagesException"

    def __init__(self, sent: int, limit: int) -> None:
        super().__init__(
            f"The request carries {sent} images; the limit is {limit}. Send them in several "
            "requests."
        )


class OutOfMemory(RequestError):
    """The server had too little memory to decode an image that may well be sound."""

    # What TorchServe itself answers when its memory is full: a state that passes (RFC 4918, 11.5).
    code = 507
    type = "OutOfMemoryException"


class BadModel(RuntimeError):
    """The model's files are incomplete, or not the ones its manifest names."""


class UnknownEngine(ValueError):
    """The setting ``engine`` in model-config.yaml names none that there is."""
