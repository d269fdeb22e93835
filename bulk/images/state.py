"""What is to score and what has been scored, in a file beside the table.

Rows are added as they come, so that a stop loses only what is under way; the table, which
can't be added to, is written at the end. An SQLite file, so that nothing is held in memory.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bulk.errors import OutputUnusable
from bulk.images import table
from bulk.images.listing import ImageFile
from bulk.images.table import Row
from bulk.names import printable
from handler.prediction import ModelId

# Refusals that say nothing of the image itself, so that the next run tries again.
PASSING = ("UnreadableFile", "WorkerEnded", "OutOfMemory")
# Rows read at a time: a few megabytes.
PAGE = 10_000

TABLES = f"""
DROP TABLE IF EXISTS listed;
CREATE TABLE listed (file TEXT PRIMARY KEY, patient, bytes, modified) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scored (
    file TEXT PRIMARY KEY, {", ".join(Row._fields[1:])}
) WITHOUT ROWID;
"""
INSERT = f"INSERT OR REPLACE INTO scored VALUES ({', '.join('?' for _ in Row._fields)})"


class ScoringState:
    """The state of scoring into one table.

    Parameters
    ----------
    out : Path
        The table; what it holds already is taken up.
    model : ModelId
        That scores.

    Raises
    ------
    OutputUnusable
        It is no such table, holds rows of another model, or another run writes to it.
    OSError, sqlite3.Error
        It can't be written; see `bulk.output.writing`.
    """

    def __init__(self, out: Path, model: ModelId) -> None:
        self._out = out
        self.path = out.with_name(f"{out.name}.partial")
        out.parent.mkdir(parents=True, exist_ok=True)
        self._lock()
        try:
            self._take_up(model)
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        self._database = sqlite3.connect(self.path, timeout=0)
        try:
            # With the lock kept, a log needs no shared memory, which network folders don't have.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            # Rows are safe from the end of this program, and the file from that of the machine.
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(TABLES)
        except sqlite3.Error as error:
            self._database.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise OutputUnusable(
                f"Another run is writing to {printable(str(self._out))}. "
                "Wait for it, or choose another --out."
            ) from None

    def _take_up(self, model: ModelId) -> None:
        with self._database:
            if self._is_empty() and self._out.exists():
                for rows in table.read(self._out):
                    self._insert(rows)
            other = self._database.execute(
                "SELECT model_version FROM scored WHERE model_sha256 != ?", (model.sha256,)
            ).fetchone()
            if other:
                raise OutputUnusable(
                    f"{printable(str(self._out))} holds verdicts of another model, version "
                    f"{other[0]}; this is version {model.version}. Choose another --out."
                )

    def close(self) -> None:
        """Let go of the file, for the next run to go on with; delete it if it has no rows."""
        is_empty = self._is_empty()
        self._database.close()
        if is_empty:
            # The log stays, too, where there was no room to write it back.
            for file in (f"{self.path}-wal", self.path):
                Path(file).unlink(missing_ok=True)

    def note(self, images: Iterable[ImageFile]) -> None:
        """Take note of what is to score, in place of what was before.

        Rows of files that have changed since are dropped, as are those of files that could
        not be read.

        Parameters
        ----------
        images : iterable of ImageFile
        """
        with self._database:
            self._database.execute("DELETE FROM listed")
            self._database.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?)", images)
            self._database.execute(
                "DELETE FROM scored WHERE EXISTS (SELECT * FROM listed WHERE "
                "listed.file = scored.file AND (listed.bytes IS NOT scored.bytes OR "
                f"listed.modified IS NOT scored.modified OR scored.error IN {PASSING}))"
            )
            # Seen from another folder, a patient has another path.
            self._database.execute(
                "UPDATE scored SET patient = (SELECT patient FROM listed WHERE listed.file = "
                "scored.file) WHERE file IN (SELECT file FROM listed)"
            )

    def count(self) -> tuple[int, int, int]:
        """Count the listed files, those of them that are to score, and the rows of others."""
        listed, known, rows = self._database.execute(
            "SELECT (SELECT COUNT(*) FROM listed), (SELECT COUNT(*) FROM listed JOIN scored "
            "USING (file)), (SELECT COUNT(*) FROM scored)"
        ).fetchone()
        return listed, listed - known, rows - known

    def pending(self, size: int) -> Iterator[Sequence[ImageFile]]:
        """Return the files that are still to score, each once.

        Parameters
        ----------
        size : int
            How many at a time.
        """
        last = ""
        # Each time anew: a statement that goes on for long would keep the log from being
        # written back.
        while found := self._database.execute(
            "SELECT file, patient, bytes, modified FROM listed WHERE file > ? AND NOT EXISTS "
            "(SELECT * FROM scored WHERE scored.file = listed.file) ORDER BY file LIMIT ?",
            (last, size),
        ).fetchall():
            yield [ImageFile(*each) for each in found]
            last = found[-1][0]

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows for good."""
        with self._database:
            self._insert(rows)

    def rows(self, order: str) -> Iterator[list[Row]]:
        """Return all rows, many at a time.

        Parameters
        ----------
        order : str
            Columns to sort by.
        """
        found = self._database.execute(f"SELECT * FROM scored ORDER BY {order}")
        while page := found.fetchmany(PAGE):
            rows = map(Row._make, page)
            yield [row._replace(warnings=json.loads(row.warnings)) for row in rows]

    def refused(self) -> Iterator[tuple[str, str]]:
        """Say which of the listed files can't be judged, and why."""
        return self._database.execute(
            "SELECT file, message FROM scored JOIN listed USING (file) "
            "WHERE error IS NOT NULL ORDER BY file"
        )

    def clear(self) -> None:
        """Forget everything, once the table is written."""
        with self._database:
            self._database.execute("DELETE FROM scored")

    def _is_empty(self) -> bool:
        return not self._database.execute("SELECT 1 FROM scored LIMIT 1").fetchall()

    def _insert(self, rows: Iterable[Row]) -> None:
        stored = (row._replace(warnings=json.dumps(row.warnings)) for row in rows)
        self._database.executemany(INSERT, stored)
