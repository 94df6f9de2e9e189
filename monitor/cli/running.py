"""What every role does while it runs: says so once, leaves a heartbeat, and takes it away.

The heartbeat says that the process lives and reaches the database; it has a thread and a
connection of its own, so that a long evaluation is not taken for a dead one. It carries when the
work last went on, so that one that hangs is not taken for a living one.
"""

from __future__ import annotations

import getpass
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.engine import Engine

from driftline import __version__
from driftline.errors import StorageUnavailable
from monitor.cli.processes import is_child
from monitor.clock import Clock, SystemClock
from monitor.metrics.working import Working
from monitor.storage import engine as storage
from monitor.storage import heartbeats
from monitor.storage.heartbeats import BEAT_S, Beat

log = structlog.get_logger(__name__)


def host() -> str:
    """This machine's, or container's, name as heartbeats bear it."""
    return socket.gethostname()[:100]


def actor() -> str:
    """Who types this, as the audit names them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        user = str(os.getuid())
    return f"cli:{user}"[:200]


class Heartbeat:
    """A role's row in the database, renewed by a thread until it is stopped.

    Parameters
    ----------
    engine
        Of a database at this release's schema; the heartbeat disposes of it.
    every_s
        Time between two beats.
    working
        What is told of the work, of the database, too.
    """

    def __init__(
        self,
        engine: Engine,
        role: str,
        *,
        clock: Clock | None = None,
        every_s: float = BEAT_S,
        working: Working | None = None,
    ) -> None:
        self._engine, self._role, self._every_s = engine, role, every_s
        self._working = working
        self._clock: Clock = clock or SystemClock()
        self._started_ms = self._clock.now_ms()
        self._moved_ms: int | None = None
        self.instance = f"{host()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the row and keep it fresh.

        Raises
        ------
        StorageUnavailable
            The database cannot be reached.
        """
        self._beat()
        self._thread.start()

    def went_on(self) -> None:
        """Note that the work went on; the next beat says so."""
        self._moved_ms = self._clock.now_ms()
        if self._working is not None:
            self._working.went_on()

    def stop(self) -> None:
        """Take the row away; where the database is gone it grows old by itself."""
        self._stop.set()
        # A beat that waits for a lock must not hold up the end.
        self._thread.join(2.0)
        try:
            if not self._thread.is_alive():
                with storage.transaction(self._engine) as conn:
                    heartbeats.remove(conn, self._role, self.instance)
        except StorageUnavailable:
            pass
        finally:
            self._engine.dispose()

    def _beat(self) -> None:
        now_ms = self._clock.now_ms()
        with storage.transaction(self._engine) as conn:
            heartbeats.write(
                conn,
                Beat(
                    self._role, self.instance, self._started_ms, now_ms, __version__,
                    self._moved_ms,
                ),
            )  # fmt: skip
        self._database(is_up=True)

    def _database(self, *, is_up: bool) -> None:
        if self._working is not None:
            self._working.database(is_up=is_up)

    def _beat_on(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._beat()
            except StorageUnavailable:
                self._database(is_up=False)  # the role itself says so, once
            except Exception:
                # A thread that ends here would let a role that works look dead.
                log.exception("a heartbeat failed")


@contextmanager
def running(
    role: str, database_url: str, what: str, working: Working | None = None
) -> Iterator[Callable[[], None]]:
    """Say what the role does on which database, and beat, until the block ends.

    What is yielded is called whenever the work goes on; `working` is told of it, too.

    `up` and `demo` say one line for all of their children: a child says nothing here.

    Raises
    ------
    SchemaVersionError, StorageUnavailable
        The database is of another release, or not there.
    """
    engine = storage.create(database_url)
    try:
        storage.check_schema(engine)
        beating = Heartbeat(engine, role, working=working)
        beating.start()
    except BaseException:
        engine.dispose()
        raise
    is_silent = is_child()
    try:
        if not is_silent:
            say(f"{role} {what}; Ctrl-C ends it")
        yield beating.went_on
        if not is_silent:
            say(f"{role} has ended")
    finally:
        beating.stop()


def shown(database_url: str) -> str:
    """A database as a person names it, without a password.

    Examples
    --------
    >>> shown("sqlite:///driftline.db"), shown("postgresql+psycopg://me:secret@db/name?a=b")
    ('driftline.db', 'postgresql+psycopg://me:***@db/name')
    """
    import sqlalchemy as sa

    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string()


def say(line: str) -> None:
    """Talk goes to standard error."""
    sys.stderr.write(f"driftline: {line}\n")
    sys.stderr.flush()
