"""One process tree with a broker of its own for each SQLite database.

Two of them would each take the other's stream for one that ended, and both would write
where each stands. The lock is the kernel's: it ends with the process that holds it, and
no file that a killed one left behind can block the next.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from driftline.errors import StorageUnavailable


class DatabaseLock:
    """The lock on one SQLite file, in a file beside it that names its holder.

    Parameters
    ----------
    database
        The SQLite file; it need not exist.
    holder
        Who holds the lock, for the message that the next one gets.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> lock = DatabaseLock(Path(folder.name) / "driftline.db", "driftline up")
    >>> lock.take()
    >>> lock.release()
    >>> list(Path(folder.name).iterdir())
    []
    >>> folder.cleanup()
    """

    def __init__(self, database: Path, holder: str) -> None:
        self._database, self._holder = database, holder
        resolved = database.resolve()
        self._file = resolved.with_name(resolved.name + "-lock")
        self._handle: int | None = None

    def take(self) -> None:
        """Hold the lock until `release`; taking it twice is taking it once.

        Raises
        ------
        StorageUnavailable
            Another process holds it, or no file can be made there.
        """
        while self._handle is None:
            try:
                handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise StorageUnavailable(
                    f"the database {self._database} cannot be used: {error.strerror} ({self._file})"
                ) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                said = os.pread(handle, 200, 0).decode(errors="replace").strip()
                os.close(handle)
                raise StorageUnavailable(
                    f"{said or 'another driftline'} uses {self._database} already: stop it, or "
                    "use --database"
                ) from None
            if self._is_in_place(handle):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{self._holder} (pid {os.getpid()})\n".encode(), 0)
                self._handle = handle
            else:  # its holder removed it meanwhile
                os.close(handle)

    def _is_in_place(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._file.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let the next one have it."""
        if self._handle is not None:
            self._file.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None
