"""A backup is one SQLite file, whichever database it was made of, and goes back into either.

The tables are the same in both, so the file is a Driftline database of its own: it can be
opened, looked at and upgraded like any other. What is in it is one state of the database,
taken while everything runs. Nothing here asks or tells a person anything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict, SchemaVersionError, StorageUnavailable
from monitor.storage import engine as storage
from monitor.storage import postgres
from monitor.storage import schema as t

Progress = Callable[[int, int], None]  # done, of how many
# 4 MB at SQLite's page of 4 KB: a progress bar moves, and the copy is not slowed down.
_PAGES: Final = 1_000
_ROWS: Final = 5_000
# For a reader that is about to end; a process that works is still there afterwards.
_BUSY_S: Final = 2.0


@dataclass(frozen=True)
class Backup:
    """What a file holds: the schema's version and the rows of each table."""

    file: Path
    schema: str
    rows: dict[str, int]


def silent(done: int, total: int) -> None:
    """Tell nobody how far it is."""


def write(engine: Engine, target: Path, *, progress: Progress = silent) -> Backup:
    """Copy the database into `target`, which appears at once and whole, or not at all.

    Raises
    ------
    SchemaVersionError
        The database is of another release.
    StorageUnavailable
        It cannot be read, or the file cannot be written.
    """
    storage.check_schema(engine)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with _removed(part), _files_are_said(target):
        # It holds the endpoints' secrets.
        part.touch(0o600)
        if engine.dialect.name == "sqlite":
            _copy_pages(engine, part, progress)
        else:
            _copy_to_file(engine, part, progress)
        found = look(part)
        _sync_file(part)
        part.replace(target)
        _sync_folder(target)
    return Backup(target, found.schema, found.rows)


def look(file: Path) -> Backup:
    """Check a file from its first page to its last and return what it holds.

    Raises
    ------
    StorageUnavailable
        There is no such file, it is damaged, or it is no backup.
    SchemaVersionError
        A newer release made it.
    """
    if not file.is_file():
        raise StorageUnavailable(f"there is no file {file}")
    with contextlib.closing(_opened(file)) as conn:
        try:
            said = [row[0] for row in conn.execute("PRAGMA integrity_check(3)")]
            names = {
                row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type='table'")
            }
            if said != ["ok"]:
                raise StorageUnavailable(f"{file} is damaged: {'; '.join(said)}")
            if "alembic_version" not in names:
                raise StorageUnavailable(f"{file} is no backup of Driftline")
            schema = str(conn.execute("SELECT version_num FROM alembic_version").fetchone()[0])
            rows = {
                table.name: int(conn.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0])
                for table in t.metadata.sorted_tables
                if table.name in names
            }
        except sqlite3.DatabaseError as error:
            raise StorageUnavailable(f"{file} is no backup of Driftline: {error}") from error
    if not storage.is_known(schema):
        raise SchemaVersionError(schema, storage.head(), is_newer=True)
    return Backup(file, schema, rows)


def restore(
    file: Path,
    engine: Engine,
    *,
    force: bool = False,
    now: datetime | None = None,
    progress: Progress = silent,
) -> tuple[Backup, Path | None]:
    """Put what `file` holds in the place of the database; return that, and where the old one is.

    Raises
    ------
    Conflict
        The database holds something, and not `force`.
    SchemaVersionError
        The file, or the database, is of a newer release.
    StorageUnavailable
        The file cannot be read, or processes use the database.
    """
    found = look(file)
    at = f"{now or datetime.now(UTC):%Y%m%dT%H%M%S}"
    with _upgraded(file, engine) as ready:
        if engine.dialect.name == "sqlite":
            kept = _into_sqlite(ready, engine, force, at, progress)
        else:
            kept = _into_postgres(ready, engine, force, at, progress)
    return found, kept


# -- out of the database ---------------------------------------------------------------------


def _copy_pages(engine: Engine, part: Path, progress: Progress) -> None:
    with (
        storage.unavailable_is_said(engine),
        contextlib.closing(_opened(Path(str(engine.url.database)))) as source,
        contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target,
    ):
        # Held until the end, or each step would begin anew whenever somebody has written.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(
            target, pages=_PAGES, progress=lambda _, left, total: progress(total - left, total)
        )
        # One file, without a log beside it.
        target.execute("PRAGMA journal_mode = DELETE")


def _copy_to_file(engine: Engine, part: Path, progress: Progress) -> None:
    file = storage.create(f"sqlite:///{part}")
    try:
        storage.upgrade(file)
        with storage.reading(engine) as source:
            storage.without_timeouts(source)
            with storage.transaction(file) as target:
                _copy_tables(source, target, progress)
        with file.connect() as conn:
            conn.exec_driver_sql("PRAGMA journal_mode = DELETE")
    finally:
        file.dispose()


def _copy_tables(source: Connection, target: Connection, progress: Progress) -> None:
    """Replace every row of `target` by those of `source`."""
    tables = t.metadata.sorted_tables
    total = sum(
        source.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in tables
    )
    done = 0
    for table in tables:
        target.execute(sa.delete(table))
        names = tuple(table.c.keys())
        rows = source.execution_options(yield_per=_ROWS).execute(sa.select(table))
        for some in rows.partitions():
            storage.insert_tuples(target, table, names, [tuple(row) for row in some])
            done += len(some)
            progress(done, total)


# -- into the database -----------------------------------------------------------------------


@contextlib.contextmanager
def _upgraded(file: Path, engine: Engine) -> Iterator[Path]:
    """A copy of the file at this release's schema, beside the database where that is a file."""
    folder = (
        Path(str(engine.url.database)).resolve().parent
        if engine.dialect.name == "sqlite"
        else file.resolve().parent
    )
    copy = folder / f".{file.name}.{os.getpid()}.restoring"
    with _removed(copy), _files_are_said(copy):
        copy.touch(0o600)
        shutil.copyfile(file, copy)
        opened = storage.create(f"sqlite:///{copy}")
        try:
            storage.upgrade(opened)
            with opened.connect() as conn:
                conn.exec_driver_sql("PRAGMA journal_mode = DELETE")
        finally:
            opened.dispose()
        yield copy


@dataclass(frozen=True)
class _Numbers:
    """What processes compare and swap by: after a restore none of them may come again."""

    data_version: int = 0
    registry: int = 0
    claim_epoch: int = 0
    cursor_epoch: int = 0


def _numbers(conn: Connection) -> _Numbers:
    def highest(column: sa.ColumnElement[int]) -> int:
        return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(column), 0))).scalar_one())

    return _Numbers(
        highest(t.data_version.c.value),
        highest(t.registry.c.revision),
        highest(t.stream_position.c.claim_epoch),
        highest(t.evaluator_cursor.c.epoch),
    )


def _move_on(conn: Connection, old: _Numbers) -> None:
    """Fence whoever knew the database before: a claim of its later life must not hold now."""
    for column, number in (
        (t.data_version.c.value, old.data_version),
        (t.registry.c.revision, old.registry),
        (t.stream_position.c.claim_epoch, old.claim_epoch),
        (t.evaluator_cursor.c.epoch, old.cursor_epoch),
    ):
        conn.execute(sa.update(column.table).values({column: column + number + 1}))
    # Whoever ran when the backup was made does not run now.
    conn.execute(sa.delete(t.heartbeat))


def _is_empty(conn: Connection) -> bool:
    told = (t.model, t.stream, t.endpoint, t.audit)
    return all(conn.execute(sa.select(table).limit(1)).first() is None for table in told)


def _refuse(where: str) -> Conflict:
    return Conflict(
        f"{where} is not empty: name another database, or say --force (what it holds now is "
        "kept in a file)"
    )


def _into_sqlite(
    ready: Path, engine: Engine, force: bool, at: str, progress: Progress
) -> Path | None:
    target = Path(str(engine.url.database)).resolve()
    kept = None
    old = _Numbers()
    if target.exists() and target.stat().st_size:
        is_empty, old = _found_at(target, engine)
        if not is_empty:
            if not force:
                raise _refuse(str(engine.url.database))
            kept = target.with_name(f"{target.name}.before-restore-{at}")
    opened = storage.create(f"sqlite:///{ready}")
    try:
        with storage.transaction(opened) as conn:
            _move_on(conn, old)
        with opened.connect() as conn:
            conn.exec_driver_sql("PRAGMA journal_mode = DELETE")
    finally:
        opened.dispose()
    if target.exists():  # whoever could use it can use it still
        shutil.copymode(target, ready)
        before = target.stat()
        if (before.st_uid, before.st_gid) != (ready.stat().st_uid, ready.stat().st_gid):
            os.chown(ready, before.st_uid, before.st_gid)
    _sync_file(ready)
    if kept is not None:
        _keep(target, kept)
    try:
        for beside in ("-wal", "-shm"):
            target.with_name(target.name + beside).unlink(missing_ok=True)
        # The one step: whoever is killed before it leaves the old database, after it the new one.
        ready.replace(target)
    except OSError:
        if kept is not None:
            kept.unlink(missing_ok=True)
        raise
    _sync_folder(target)
    progress(1, 1)
    return kept


def _keep(target: Path, kept: Path) -> None:
    """Give the database a second name, so that it never loses its first one."""
    try:
        os.link(target, kept)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the bytes, then
        part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
        with _removed(part):
            shutil.copy2(target, part)
            _sync_file(part)
            part.rename(kept)
    _sync_folder(target)


def _found_at(target: Path, engine: Engine) -> tuple[bool, _Numbers]:
    """Return whether nothing at the target is worth keeping, and the numbers it stands at.

    A file that is no database, or one of another release, is worth keeping.

    The change of the journal needs the file alone: it tells whether a process has it open, and
    brings everything into the one file that may be kept.
    """
    shown = engine.url.database
    try:
        with contextlib.closing(sqlite3.connect(target, timeout=_BUSY_S)) as conn:
            conn.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise StorageUnavailable(f"{shown} cannot be used: {error}") from error
        raise StorageUnavailable(
            f"another process uses {shown}: stop every driftline command on it first"
        ) from error
    except sqlite3.DatabaseError:
        return False, _Numbers()
    try:
        found, expected = storage.schema_versions(engine)
        if found != expected:
            return not sa.inspect(engine).get_table_names(), _Numbers()
        with storage.reading(engine) as reader:
            return _is_empty(reader), _numbers(reader)
    finally:
        engine.dispose()


def _into_postgres(
    ready: Path, engine: Engine, force: bool, at: str, progress: Progress
) -> Path | None:
    with storage.unavailable_is_said(engine), engine.connect() as conn:
        others = postgres.other_sessions(conn)
    if others:
        raise StorageUnavailable(
            f"{others} other driftline sessions use the database: stop every driftline command "
            "on it first"
        )
    storage.upgrade(engine)
    with storage.reading(engine) as conn:
        is_empty, old = _is_empty(conn), _numbers(conn)
    kept = None
    if not is_empty:
        if not force:
            raise _refuse(f"the database {engine.url.database}")
        kept = Path(f"driftline-before-restore-{at}.db").resolve()
        write(engine, kept)
    opened = storage.create(f"sqlite:///{ready}")
    try:
        with storage.reading(opened) as source, storage.transaction(engine) as target:
            storage.without_timeouts(target)
            postgres.lock_tables(target, [table.name for table in t.metadata.sorted_tables])
            _copy_tables(source, target, progress)
            _move_on(target, old)
            postgres.continue_numbers(
                target, {table.name: _number_of(table) for table in t.metadata.sorted_tables}
            )
    finally:
        opened.dispose()
    return kept


def _number_of(table: sa.Table) -> str | None:
    """The column that the database numbers by itself."""
    column = table.autoincrement_column
    return None if column is None else column.name


# -- files -----------------------------------------------------------------------------------


def _opened(file: Path) -> sqlite3.Connection:
    uri = f"{file.resolve().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None)


@contextlib.contextmanager
def _removed(part: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for beside in ("", "-journal", "-wal", "-shm"):
            part.with_name(part.name + beside).unlink(missing_ok=True)


@contextlib.contextmanager
def _files_are_said(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StorageUnavailable(f"{target} cannot be written: {error}") from error


def _sync_file(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _sync_folder(file: Path) -> None:
    handle = os.open(file.resolve().parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def as_plain(backup: Backup) -> dict[str, Any]:
    """Return a backup as JSON says it."""
    return {
        "file": str(backup.file),
        "schema": backup.schema,
        "bytes": backup.file.stat().st_size,
        "rows": backup.rows,
    }
