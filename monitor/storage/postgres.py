"""What PostgreSQL needs that SQLite does not: sessions that end, and text with a NUL in it.

Only `monitor.storage.engine` uses it; the driver is an extra, and imported when it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from driftline.errors import ConfigError
from monitor.storage import arrays

log = logging.getLogger(__name__)

# An owner stopped inside its transaction must not block the next claim for ever.
SESSION: Final = {
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "30s",
    # The server notices within a minute, too: an owner whose machine is gone holds its rows.
    "tcp_keepalives_idle": "30s",
    "tcp_keepalives_interval": "10s",
    "tcp_keepalives_count": "3",
}
# A network that swallows packets is noticed within a minute, not after libpq's two hours.
CONNECT: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "driftline",
}
# PostgreSQL's text cannot hold a NUL, and names come from outside. A noncharacter stands for
# it there: Unicode keeps it for such use and never lets it be interchanged.
NUL: Final = "\0"
NUL_IN_SQL: Final = "\ufdd0"
# That the server takes no writes now, or ended a transaction that did nothing for too long;
# the driver does not count these among the operational errors.
UNAVAILABLE: Final = frozenset({"25006", "25P03", "25P04"})
MAY_NOT: Final = "42501"
WAITED: Final = "55P03"
# No message of ours takes so long to arrive.
STUCK_S: Final = 30.0
# What takes turns; numbers under a key of our own among the server's advisory locks.
_LOCK_KEY: Final = 0x6472_6674
_TURNS: Final = {"migrate": 1, "stream": 2, "tell": 3, "breaker": 4, "upload": 5}


def create(url: sa.URL) -> Engine:
    """Return an engine for PostgreSQL; nothing is opened yet.

    Raises
    ------
    ConfigError
        The driver is not installed, or is not known.
    """
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_driver_name() != "psycopg":
        raise ConfigError(
            "database", "url", url.drivername, "postgresql+psycopg: no other driver is supported"
        )
    try:
        from psycopg import Error  # noqa: F401  (SQLAlchemy's own message names no mend)

        engine = sa.create_engine(
            url,
            connect_args={k: v for k, v in CONNECT.items() if k not in url.query},
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
        )
    except ImportError as error:
        raise ConfigError(
            "database",
            "url",
            url.drivername,
            f"its driver: pip install 'driftline[postgres]' ({error})",
        ) from None
    dumpers, loader = _adapters()

    @sa.event.listens_for(engine, "connect")
    def _session(dbapi: Any, _record: object) -> None:
        for dumper in dumpers:
            dbapi.adapters.register_dumper(str, dumper)
        dbapi.adapters.register_dumper(np.ndarray, _columns())
        for name in ("text", "varchar"):
            dbapi.adapters.register_loader(name, loader)
        cursor = dbapi.cursor()
        for name, value in SESSION.items():
            cursor.execute(f"SET {name} = '{value}'")
        cursor.close()
        dbapi.commit()

    @sa.event.listens_for(engine, "after_cursor_execute")
    def _watched(
        _conn: object, cursor: Any, _sql: str, _params: object, _context: object, is_many: bool
    ) -> None:
        # Many rows go as a pipeline, after which the server starts no timeout of a session that
        # does nothing: an owner stopped there would keep the others out for ever.
        if is_many:
            cursor.connection.execute("SELECT 1")

    return engine


def _adapters() -> tuple[tuple[type[Any], type[Any]], type[Any]]:
    """How text goes to the server, as bytes and as text, and comes back."""
    from psycopg.abc import Buffer
    from psycopg.types.string import StrBinaryDumper, StrDumperUnknown, TextLoader

    class BytesOut(StrBinaryDumper):
        def dump(self, obj: str) -> Buffer | None:
            return super().dump(_without_nul(obj))

    class TextOut(StrDumperUnknown):
        def dump(self, obj: str) -> Buffer | None:
            return super().dump(_without_nul(obj))

    class TextIn(TextLoader):
        def load(self, data: Buffer) -> bytes | str:
            text = super().load(data)
            if isinstance(text, str) and NUL_IN_SQL in text:
                return text.replace(NUL_IN_SQL, NUL)
            return text

    # The last one is used where a statement does not say which.
    return (BytesOut, TextOut), TextIn


def _columns() -> type[Any]:
    """How a column goes to the server; what takes it says its type."""
    from psycopg.abc import Buffer
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class ColumnOut(Dumper):
        format = Format.BINARY

        def dump(self, obj: NDArray[Any]) -> Buffer | None:
            return arrays.to_bytes(obj, _without_nul)

    return ColumnOut


def _without_nul(text: str) -> str:
    return text.replace(NUL, NUL_IN_SQL) if NUL in text else text


def take_turns(conn: Connection, what: str) -> None:
    """Wait until no other transaction does this; held until the transaction ends."""
    conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY, _TURNS[what])))


def without_timeouts(conn: Connection) -> None:
    """Let this transaction take the time it needs: a migration, a backup."""
    for name in SESSION:
        conn.exec_driver_sql(f"SET LOCAL {name} = 0")


def sqlstate(error: DBAPIError) -> str | None:
    """Return the server's code of an error; None for another database's."""
    return getattr(error.orig, "sqlstate", None)


def end_stuck(engine: Engine) -> int:
    """End our sessions that were stopped while they sent rows; return how many there were.

    Whoever is stopped within a message (SIGSTOP, a machine that is paused) keeps its locks, and
    none of the server's timeouts ends that: it waits for the rest of the message. Asked by who
    has waited for such a lock in vain; a statement with `monitor.storage.many`'s arrays is one
    message, so that nobody else is taken for stuck.
    """
    query = sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND usename = current_user "
        "AND application_name = :name AND query LIKE '%unnest(%' AND state = 'active' "
        "AND wait_event = 'ClientRead' AND query_start < now() - :stuck_s * interval '1 second' "
        "AND pid <> pg_backend_pid()"
    )
    given = {"name": CONNECT["application_name"], "stuck_s": STUCK_S}
    with engine.begin() as conn:
        ended = len(conn.execute(query, given).all())
    if ended:
        log.warning("%d sessions that were stopped while they sent rows were ended", ended)
    return ended


def other_sessions(conn: Connection) -> int:
    """Return how many other sessions of ours are open on this database."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = :name AND pid <> pg_backend_pid()"
    )
    found = conn.execute(query, {"name": CONNECT["application_name"]}).scalar_one()
    return int(found)


def lock_tables(conn: Connection, names: Sequence[str]) -> None:
    """Let nobody read or write these tables until the transaction ends."""
    listed = ", ".join(f'"{name}"' for name in names)
    conn.exec_driver_sql(f"LOCK TABLE {listed} IN ACCESS EXCLUSIVE MODE")


def continue_numbers(conn: Connection, columns: Mapping[str, str | None]) -> None:
    """Let each table's own numbers go on behind the rows that were put into it."""
    for table, column in columns.items():
        sequence = (
            column
            and conn.execute(
                sa.select(sa.func.pg_get_serial_sequence(f'"{table}"', column))
            ).scalar_one()
        )
        if sequence:
            conn.execute(
                sa.text(
                    f'SELECT setval(:name, coalesce(max("{column}"), 0) + 1, false) FROM "{table}"'
                ),
                {"name": sequence},
            )
