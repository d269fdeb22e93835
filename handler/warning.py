"""What the reader of a verdict is told about the image."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageWarning:
    """Something the reader of a verdict should know about the image."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return the warning as the contract's object."""
        return {"code": self.code, "message": self.message}
