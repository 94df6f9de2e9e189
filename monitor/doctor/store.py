"""The database and what the processes left in it; read only, not even a journal is begun.

An SQLite file is opened for reading alone: the engine of the service would change its journal, and
make the file where there is none.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from driftline import __version__
from driftline.errors import SchemaVersionError, StorageError
from driftline.program import command
from monitor.doctor.check import ASK_S, Check, fail, ok, skipped, warn
from monitor.storage import breakers, heartbeats, reads
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.words import ago, counted

# Clocks that differ by more move watermarks and leases.
SKEW_MS: Final = 2_000
# A message that waits for longer than its due time has no dispatcher.
OVERDUE_MS: Final = 60_000
# A consumer that looked at no partition for so long is stuck.
MISSED: Final = 3
FRESH_MS: Final = 30_000


def opened(url: str, file: Path | None) -> Engine:
    """Return an engine that writes nothing."""
    if file is None:
        return storage.create(url)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=ASK_S / 2,
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip

    return sa.create_engine(
        "sqlite://", creator=connect, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )


def database(
    url: str, file: Path | None, now_ms: Callable[[], int], keep: Callable[[Engine], None]
) -> Iterator[Check]:
    """Yield what there is of the database; `keep` gets an engine when all can be read."""
    name = "database reachable"
    shown = str(file) if file is not None else sa.make_url(url).render_as_string()
    if file is not None and not file.is_file():
        yield fail(
            name, f"there is no {file}",
            f"`{command('db upgrade')}` makes it; database.url (--database) names another",
        )  # fmt: skip
        return
    engine = opened(url, file)
    try:
        found, expected = storage.schema_versions(engine)
    except StorageError as error:
        yield fail(
            name, " ".join(str(error).split()), "start it, or correct database.url (--database)"
        )
        engine.dispose()
        return
    yield ok(name, shown)
    name = "schema"
    try:
        storage.check_schema(engine)
        yield ok(name, f"version {found}, as this release needs")
        is_whole = True
    except SchemaVersionError as error:
        is_whole = False
        yield fail(name, f"version {found or 'none'}, this release needs {expected}", error.mend)
    if file is not None:
        yield _writable_file(file)
        yield skipped("database clock", "a file has this machine's")
    else:
        with storage.reading(engine) as conn:
            yield _writable_server(conn, is_whole=is_whole)
            began_ms = now_ms()
            its = conn.execute(sa.text("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
            there_ms = int(its.scalar_one())
            yield _clock(there_ms - (began_ms + now_ms()) // 2)
    if is_whole:
        keep(engine)
    else:
        engine.dispose()


def _writable_file(file: Path) -> Check:
    name = "database writable"
    places = [file, file.resolve().parent]
    locked = [str(place) for place in places if not os.access(place, os.W_OK)]
    if locked:
        return fail(
            name, f"this user may not write {' and '.join(locked)}",
            "the file and its folder must be the service's: SQLite keeps a journal beside it",
        )  # fmt: skip
    return ok(name, "the file and its folder")


def _writable_server(conn: Connection, *, is_whole: bool) -> Check:
    name = "database writable"
    if conn.execute(sa.text("SELECT pg_is_in_recovery()")).scalar():
        return fail(
            name, "it is a standby that only reads", "name the primary server in database.url"
        )
    if conn.execute(sa.text("SHOW default_transaction_read_only")).scalar() == "on":
        return fail(name, "it takes no writes now", "default_transaction_read_only = off")
    if not is_whole:
        return skipped(name, "its tables are not those of this release")
    may = sa.text("SELECT has_table_privilege(current_user, :table, 'INSERT, UPDATE, DELETE')")
    closed = [
        table.name
        for table in t.metadata.sorted_tables
        if not conn.execute(may, {"table": table.name}).scalar()
    ]
    if closed:
        return fail(
            name, f"its user may not write {', '.join(closed[:6])}",
            "GRANT INSERT, UPDATE, DELETE on all tables, or make it the owner of the database",
        )  # fmt: skip
    return ok(name, "all tables")


def _clock(ahead_ms: int) -> Check:
    name = "database clock"
    if abs(ahead_ms) > SKEW_MS:
        where = "ahead of" if ahead_ms > 0 else "behind"
        return warn(
            name, f"it is {abs(ahead_ms) / 1_000:,.1f} s {where} this machine's",
            "let NTP set the clocks of both",
        )  # fmt: skip
    return ok(name, "within 2 s of this machine's")


def processes(engine: Engine, now_ms: int, checkpoint_interval_s: float) -> Iterator[Check]:
    """Yield who runs, by heartbeats, and what the consumer, evaluator and dispatcher left."""
    with storage.reading(engine) as conn:
        yield (
            _stopped(conn)
            or _running(conn, "ingest", now_ms)
            or _ingest(conn, now_ms, checkpoint_interval_s)
        )
        yield _running(conn, "evaluate", now_ms) or _evaluate(conn, now_ms)
        yield from _deliver(conn, now_ms)


def _stopped(conn: Connection) -> Check | None:
    """Return the line of consumers that stopped since most cannot be read."""
    found = breakers.standing(conn)
    if not found:
        return None
    said = "; ".join(
        f"{stop.topic}: {stop.undecodable:,} of the last {stop.events:,} events cannot be read "
        f"({', '.join(list(stop.reasons)[:3])})"
        for stop in found
    )
    return fail(
        "ingest", f"it stopped, nothing is lost: {said}",
        f"mend the producer, or `{command('dead-letter accept')}` lets them go by",
    )  # fmt: skip


def _running(conn: Connection, role: str, now_ms: int) -> Check | None:
    """Return the line of a role that does not run as it should; None where it does."""
    found = heartbeats.of_role(conn, role)
    alive = [beat for beat in found if beat.is_alive(now_ms)]
    if not alive:
        seen = ""
        if found:
            last = found[-1]
            since = ago(now_ms, last.beat_ms)
            seen = f"; {last.instance} did not end in order, last seen {since} ago"
        return fail(
            role, f"it does not run{seen}", f"start `{command(role)}`, or `{command('up')}` for all"
        )
    still = [beat for beat in alive if beat.stands_still(now_ms)]
    if still:
        who = "; ".join(
            f"{beat.instance} stands still for {ago(now_ms, beat.moved_ms or 0)}" for beat in still
        )
        return fail(role, f"it lives, but {who}", f"end it and start `{command(role)}` again")
    others = sorted({beat.version for beat in alive} - {__version__})
    if others:
        return warn(
            role, f"of another release than this one ({__version__}): {', '.join(others)}",
            f"start `{command(role)}` again with one release everywhere",
        )  # fmt: skip
    return None


def _ingest(conn: Connection, now_ms: int, interval_s: float) -> Check:
    name, look = "ingest", f"look at what `{command('ingest')}` says"
    positions = reads.positions(conn)
    if not positions:
        return warn(name, "it runs, and has read nothing yet", look)
    behind = sum(position.lag for position in positions)
    seen_ms = max((p.seen_ms or 0) for p in positions)
    stale = [p for p in positions if now_ms - (p.seen_ms or 0) > _fresh_ms(interval_s)]
    if len(stale) == len(positions):
        since = ago(now_ms, seen_ms) if seen_ms else "ever"
        return fail(name, f"it runs, and has looked at no partition for {since}", look)
    if stale:
        parts = ", ".join(f"{p.topic} {p.partition}" for p in stale[:6])
        return fail(name, f"it runs, and nobody reads {parts}", look)
    saved = max((p.checkpointed_ms or 0) for p in positions)
    last = f"the last checkpoint {ago(now_ms, saved)} ago" if saved else "no checkpoint yet"
    return ok(
        name,
        f"{counted(len(positions), 'partition')}, {counted(behind, 'record')} behind, {last}",
    )


def _evaluate(conn: Connection, now_ms: int) -> Check:
    name = "evaluate"
    c = t.evaluator_cursor.c
    watermarks = conn.execute(sa.select(c.watermark_ms)).scalars().all()
    if not watermarks:
        return ok(name, "it runs, and has judged nothing yet")
    watermark_ms = max(mark or 0 for mark in watermarks)
    judged = f"judged up to {ago(now_ms, watermark_ms)} ago" if watermark_ms else "not judged yet"
    return ok(name, f"{counted(len(watermarks), 'version')}, the newest {judged}")


def _deliver(conn: Connection, now_ms: int) -> Iterator[Check]:
    name, o = "deliver", t.outbox.c
    pending = conn.execute(
        sa.select(sa.func.count(), sa.func.min(o.due_ms)).where(o.state == "pending")
    ).one()
    n, due_ms = int(pending[0]), pending[1]
    wait = f"{counted(n, 'message')} {'waits' if n == 1 else 'wait'}"
    idle = _running(conn, name, now_ms)
    if idle is not None:
        yield replace(idle, said=f"{idle.said}; {wait}") if n else idle
    elif n and due_ms is not None and now_ms - int(due_ms) > OVERDUE_MS:
        yield fail(
            name, f"{wait}, the first is due since {ago(now_ms, int(due_ms))}",
            f"look at what `{command('deliver')}` says",
        )  # fmt: skip
    else:
        yield ok(name, f"{wait}, none of them too long" if n else "no message waits")
    disabled = reads.disabled_endpoints(conn)
    if disabled:
        yield warn(
            "endpoints", "; ".join(f"{who} is disabled ({why})" for who, why in disabled[:6]),
            f"mend the receiver, then `{command('endpoint enable')} NAME`",
        )  # fmt: skip
    else:
        yield ok("endpoints", "none is disabled")


def _fresh_ms(interval_s: float) -> int:
    return max(FRESH_MS, int(MISSED * interval_s * 1_000))
