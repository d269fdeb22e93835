"""Which archive a restart serves: the one of the version that was made the default last."""

import json
from dataclasses import asdict, dataclass

from handler import MODEL_NAME
from handler.whole_file import write_whole
from serve.settings import Settings

RECORD = "served.json"


@dataclass(frozen=True)
class ServedArchive:
    """Two file names in the model store.

    Attributes
    ----------
    archive : str
        Which a start loads.
    previous : str or None
        Which was served before it.
    """

    archive: str = f"{MODEL_NAME}.mar"
    previous: str | None = None

    @classmethod
    def read(cls, settings: Settings) -> "ServedArchive":
        """Read the record; ``breakhis.mar`` where nothing else was ever made the default."""
        try:
            return cls(**json.loads((settings.run_dir / RECORD).read_text("utf-8")))
        except FileNotFoundError:
            return cls()

    @classmethod
    def record(cls, settings: Settings, archive: str) -> None:
        """Let `archive` be what a restart serves."""
        before = cls.read(settings)
        if archive == before.archive:
            return
        record = json.dumps(asdict(cls(archive, before.archive)))
        write_whole(settings.run_dir / RECORD, record.encode())
