"""The SQL of silences: somebody's wish not to be told; see `monitor.detect.silencing`.

Functions that take a connection belong inside `engine.transaction`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from monitor.detect.knowledge import OPEN_STATES
from monitor.detect.silencing import MATCHED, Matcher, Silence
from monitor.storage import schema as t
from monitor.storage.engine import take_turns
from monitor.storage.rows import TOLD_STATES
from monitor.windows.calendar import DAY_MS

# What a preview looks back on.
LOOK_BACK_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class Preview:
    """What a silence would hold back, as numbers of incidents, and would have held back.

    `past` opened within the last 30 days of what is judged; `firing` stand now. `overlapping` are
    the silences that mean some of the same at some of the time.
    """

    firing: tuple[int, ...]
    past: tuple[int, ...]
    overlapping: tuple[Silence, ...]


def active(conn: Connection, now_ms: int) -> list[Silence]:
    """Return what is silent now."""
    c = t.silence.c
    return _found(
        conn,
        c.from_ms <= now_ms,
        c.until_ms > now_ms,
        sa.or_(c.ended_ms.is_(None), c.ended_ms > now_ms),
    )


def silences(
    conn: Connection,
    *,
    before: int | None = None,
    limit: int | None = None,
    only: int | None = None,
) -> list[Silence]:
    """Return silences, newest first; `before` (a number) continues a page."""
    c = t.silence.c
    where = [] if before is None else [c.number < before]
    where += [] if only is None else [c.number == only]
    return _found(conn, *where, limit=limit)


def add(
    conn: Connection,
    matcher: Matcher,
    *,
    from_ms: int,
    until_ms: int,
    reason: str,
    by: str,
    now_ms: int,
) -> Silence:
    """Be silent about what `matcher` means.

    Raises
    ------
    Conflict
        A silence that is not over means all of it for all of the time: nothing would change.
    """
    take_turns(conn, "tell")
    for other in _lasting(conn, now_ms):
        if (
            other.matcher.covers(matcher)
            and other.from_ms <= max(from_ms, now_ms)
            and other.end_ms >= until_ms
        ):
            raise Conflict(f"silence {other.number} holds all of this back already, and as long")
    values = {name: getattr(matcher, name) for name in MATCHED}
    made = conn.execute(
        sa.insert(t.silence)
        .values(
            **values,
            from_ms=from_ms,
            until_ms=until_ms,
            reason=reason,
            author=by,
            created_ms=now_ms,
        )
        .returning(t.silence.c.number)
    ).scalar_one()
    return Silence(made, matcher, from_ms, until_ms, reason, by, now_ms)


def end(conn: Connection, number: int, *, by: str, now_ms: int) -> bool:
    """End a silence before its time; False where it is over. What still stands is told then."""
    c = t.silence.c
    done = conn.execute(
        sa.update(t.silence)
        .where(c.number == number, c.ended_ms.is_(None), c.until_ms > now_ms)
        .values(ended_ms=now_ms, ended_by=by)
    )
    return done.rowcount == 1


def set_until(conn: Connection, number: int, until_ms: int, *, now_ms: int) -> bool:
    """Let a silence last until another time; False where it is over."""
    c = t.silence.c
    done = conn.execute(
        sa.update(t.silence)
        .where(c.number == number, c.ended_ms.is_(None), c.until_ms > now_ms)
        .values(until_ms=until_ms)
    )
    return done.rowcount == 1


def preview(
    conn: Connection, matcher: Matcher, *, from_ms: int, until_ms: int, now_ms: int
) -> Preview:
    """Return what a silence would hold back."""
    i, v = t.incident.c, t.model_version.c
    judged = sa.select(sa.func.max(t.evaluator_cursor.c.watermark_ms)).join(
        t.model_version, v.id == t.evaluator_cursor.c.version_id
    )
    query = (
        sa.select(i.number, i.state, i.opened_ms)
        .join(t.model_version, v.id == i.version_id)
        .join(t.model, t.model.c.id == v.model_id)
        .where(i.state.in_(TOLD_STATES), i.muted.is_(sa.false()), t.model.c.archived_ms.is_(None))
        .order_by(i.number)
    )
    asked = matcher.given()
    if asked.get("severity") == "warning":
        query = query.where(i.severity == "warning")
    for name, column in (
        ("model", t.model.c.name),
        ("version", v.name),
        *((name, i[name]) for name in ("segment", "feature", "kind")),
    ):
        if name in asked:
            query = query.where(column == asked[name])
            if name in ("model", "version"):
                judged = judged.where(column == asked[name])
    if "model" in asked:
        judged = judged.join(t.model, t.model.c.id == v.model_id)
    # Of a log of last year the last 30 days are last year's.
    until = min(now_ms, conn.execute(judged).scalar() or now_ms)
    recent = sa.or_(i.state.in_(OPEN_STATES), i.opened_ms >= until - LOOK_BACK_MS)
    found = conn.execute(query.where(recent)).all()
    return Preview(
        firing=tuple(row.number for row in found if row.state in OPEN_STATES),
        past=tuple(row.number for row in found if row.opened_ms >= until - LOOK_BACK_MS),
        overlapping=tuple(
            other
            for other in _lasting(conn, now_ms)
            if other.from_ms < until_ms
            and from_ms < other.end_ms
            and (other.matcher.covers(matcher) or matcher.covers(other.matcher))
        ),
    )


def _lasting(conn: Connection, now_ms: int) -> list[Silence]:
    """Return those that are not over, those of later, too."""
    return _found(conn, t.silence.c.until_ms > now_ms, t.silence.c.ended_ms.is_(None))


def _found(
    conn: Connection, *where: sa.ColumnElement[bool], limit: int | None = None
) -> list[Silence]:
    query = sa.select(t.silence).where(*where).order_by(t.silence.c.number.desc()).limit(limit)
    return [_silence(row) for row in conn.execute(query)]


def _silence(row: sa.Row[Any]) -> Silence:
    return Silence(
        number=row.number,
        matcher=Matcher(*(getattr(row, name) for name in MATCHED)),
        from_ms=row.from_ms,
        until_ms=row.until_ms,
        reason=row.reason,
        by=row.author,
        created_ms=row.created_ms,
        ended_ms=row.ended_ms,
        ended_by=row.ended_by,
    )
