"""A database, SQLite or PostgreSQL, behind one set of calls.

Everything that differs between the two lives here: how a session is set up,
how a write transaction begins, how driver errors are told apart, how many rows
go in at once. Nothing above this package knows which database it speaks to.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from driftline.errors import ConfigError, SchemaVersionError, StorageUnavailable
from monitor.storage import postgres

DEFAULT_URL = "sqlite:///driftline.db"
# Long enough for a checkpoint or an evaluation of somebody else to finish.
SQLITE_BUSY_TIMEOUT_S = 30.0


def create(url: str = DEFAULT_URL) -> Engine:
    """Return an engine for `url`; nothing is opened yet.

    Raises
    ------
    ConfigError
        The URL names no supported database, or its folder does not exist.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigError(
            "database", "url", url, "sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
        ) from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return postgres.create(parsed)
    if backend == "sqlite":
        return _create_sqlite(parsed)
    raise ConfigError(
        "database", "url", backend, "sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
    )


def _create_sqlite(url: sa.URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("database", "url", str(url), "a file: the processes share it")
    folder = Path(url.database).resolve().parent
    if not folder.is_dir():
        raise ConfigError("database", "url", str(url), f"an existing folder (make {folder} first)")
    engine = sa.create_engine(
        url,
        connect_args={
            "timeout": SQLITE_BUSY_TIMEOUT_S,
            # None = the driver never begins a transaction by itself; `transaction` does.
            "isolation_level": None,
            "check_same_thread": False,
        },
        isolation_level="AUTOCOMMIT",
    )

    @sa.event.listens_for(engine, "connect")
    def _session(dbapi: sqlite3.Connection, _record: object) -> None:
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL loses no committed state to a killed process.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA temp_store = MEMORY")
        cursor.close()

    return engine


@contextlib.contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed when the block ends, rolled back when it raises.

    SQLite takes its write lock at once, so that a transaction that has read
    never fails when it comes to write.

    Raises
    ------
    StorageUnavailable
        The database cannot be reached, or was lost on the way. After a lost
        COMMIT nobody knows whether it happened: the caller must look.
    """
    with unavailable_is_said(engine), engine.connect() as conn:
        if engine.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield conn
            except BaseException:
                _roll_back(conn)
                raise
            conn.exec_driver_sql("COMMIT")
        else:
            with conn.begin():
                yield conn


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database: every SELECT of the block sees the same state."""
    with unavailable_is_said(engine), engine.connect() as conn:
        if engine.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN")
            try:
                yield conn
            finally:
                _roll_back(conn)
        else:
            conn = conn.execution_options(isolation_level="REPEATABLE READ")
            with conn.begin():
                yield conn


def _roll_back(conn: Connection) -> None:
    """End SQLite's transaction; what ended it is being raised, and is what matters.

    After an interruption in the middle of a statement the connection is gone, and its
    transaction with it.
    """
    with contextlib.suppress(SQLAlchemyError):
        conn.exec_driver_sql("ROLLBACK")


@contextlib.contextmanager
def unavailable_is_said(engine: Engine) -> Iterator[None]:
    """Turn the driver's words for "cannot be reached" into `StorageUnavailable`."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        # Locks and deadlocks, timeouts, a server that shuts down: all of them may be tried again.
        if postgres.sqlstate(error) == postgres.WAITED:
            with contextlib.suppress(SQLAlchemyError):
                postgres.end_stuck(engine)
        raise StorageUnavailable(
            f"the database {_place(engine)} cannot be used now: {error.orig}"
        ) from error
    except DBAPIError as error:
        if postgres.sqlstate(error) == postgres.MAY_NOT:
            raise StorageUnavailable(
                f"the database {_place(engine)} refuses its user {engine.url.username or ''}: "
                f"{error.orig}; GRANT it that, or make it the owner of the database"
            ) from error
        if type(error) is sa.exc.DatabaseError:  # SQLite: no database, or a damaged one
            raise StorageUnavailable(f"{_place(engine)} cannot be read: {error.orig}") from error
        if error.connection_invalidated or postgres.sqlstate(error) in postgres.UNAVAILABLE:
            raise StorageUnavailable(
                f"the connection to {_place(engine)} was lost: {error.orig}"
            ) from error
        raise


def _place(engine: Engine) -> str:
    """The database as a person names it: without the password and what only the driver reads."""
    return engine.url.set(query={}).render_as_string()


def take_turns(conn: Connection, what: str) -> None:
    """Let no other transaction do this until ours ends.

    `what` is migrate, stream, tell, breaker or upload. SQLite's write lock does the same.
    """
    if conn.dialect.name == "postgresql":
        postgres.take_turns(conn, what)


def without_timeouts(conn: Connection) -> None:
    """Let this transaction take the time it needs: a migration, a backup."""
    if conn.dialect.name == "postgresql":
        postgres.without_timeouts(conn)


def insert_rows(conn: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows that all have the keys of the first."""
    if rows:
        insert_tuples(conn, table, tuple(rows[0]), [tuple(row.values()) for row in rows])


def insert_tuples(
    conn: Connection, table: sa.Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert many rows given as tuples in the order of `names`, past the per-row work of Core.

    The values must be what the driver takes (no type of ours is converted here).
    """
    if rows:
        conn.exec_driver_sql(_insert_sql(table, names, conn.dialect.name), list(rows))


@cache
def update_of(
    table: sa.Table,
    keys: tuple[str, ...],
    names: tuple[str, ...],
    counted: frozenset[str] = frozenset(),
) -> sa.Update:
    """Return the statement that writes `names`, given as ``to_NAME``, into rows at ``at_KEY``.

    Names that are `counted` are counted up by what is given. It is built once: building it again
    takes longer than SQLite takes to run it.
    """
    values: dict[str, Any] = {name: sa.bindparam(f"to_{name}") for name in names}
    values |= {name: table.c[name] + values[name] for name in names if name in counted}
    return (
        sa.update(table)
        .where(*(table.c[key] == sa.bindparam(f"at_{key}") for key in keys))
        .values(values)
    )


@cache
def _insert_sql(table: sa.Table, names: tuple[str, ...], dialect: str) -> str:
    mark = "?" if dialect == "sqlite" else "%s"
    columns = ", ".join(f'"{table.c[name].name}"' for name in names)
    return f'INSERT INTO "{table.name}" ({columns}) VALUES ({", ".join([mark] * len(names))})'


def alembic_config(engine: Engine | None = None) -> Config:
    """Alembic's settings for the migrations that ship inside the package."""
    import migrations

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    if engine is not None:
        config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine) -> None:
    """Bring the database to this release's schema.

    Raises
    ------
    SchemaVersionError
        A newer release made it.
    StorageUnavailable
        The database cannot be reached.
    """
    try:
        with unavailable_is_said(engine):
            command.upgrade(alembic_config(engine), "head")
    except CommandError:
        check_schema(engine)
        raise


def schema_versions(engine: Engine) -> tuple[str | None, str]:
    """Return the schema version found (None when empty) and the one this release needs."""
    with unavailable_is_said(engine), engine.connect() as conn:
        found = MigrationContext.configure(conn).get_current_revision()
    return found, head()


def head() -> str:
    """Return the schema version that this release needs."""
    return str(ScriptDirectory.from_config(alembic_config()).get_current_head())


def is_known(version: str) -> bool:
    """Whether this release knows a schema version: its own or an older one."""
    script = ScriptDirectory.from_config(alembic_config())
    return version in {revision.revision for revision in script.walk_revisions()}


def check_schema(engine: Engine) -> None:
    """Refuse a database whose schema is not this release's.

    Raises
    ------
    SchemaVersionError
        With what mends it.
    StorageUnavailable
        The database cannot be reached.
    """
    found, expected = schema_versions(engine)
    if found != expected:
        is_newer = found is not None and not is_known(found)
        raise SchemaVersionError(found, expected, is_newer=is_newer)
