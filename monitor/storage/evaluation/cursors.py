"""An evaluator's place in a version, moved by compare-and-swap."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t


class Cursor(NamedTuple):
    """How far the evaluator has come with a version; `epoch` is 0 before its first step.

    `rejudge_from_ms`: stale windows that end later are judged again, however long ago they were.
    """

    epoch: int
    watermark_ms: int | None
    rejudge_from_ms: int | None = None


def cursor(conn: Connection, version_id: int) -> Cursor:
    """Return where the evaluator stands with a version."""
    c = t.evaluator_cursor.c
    row = conn.execute(
        sa.select(c.epoch, c.watermark_ms, c.rejudge_from_ms).where(c.version_id == version_id)
    ).one_or_none()
    return Cursor(0, None) if row is None else Cursor(*row)


def move_cursor(
    conn: Connection, version_id: int, before: Cursor, watermark_ms: int | None, owner: str
) -> bool:
    """Move the cursor by compare-and-swap; False when another evaluator was faster.

    False, too, when the version's model was archived or deleted meanwhile; until the
    transaction ends it is not.
    """
    v, m = t.model_version.c, t.model.c
    standing = (
        sa.select(v.id)
        .join_from(t.model_version, t.model, m.id == v.model_id)
        .where(v.id == version_id, m.archived_ms.is_(None))
        .with_for_update(read=True)
    )
    if conn.execute(standing).first() is None:
        return False
    values = {"epoch": before.epoch + 1, "watermark_ms": watermark_ms, "owner": owner}
    if before.epoch == 0:
        try:
            with conn.begin_nested():
                conn.execute(sa.insert(t.evaluator_cursor).values(version_id=version_id, **values))
        except sa.exc.IntegrityError:
            return False
        return True
    moved = conn.execute(
        sa.update(t.evaluator_cursor)
        .where(
            t.evaluator_cursor.c.version_id == version_id,
            t.evaluator_cursor.c.epoch == before.epoch,
        )
        .values(**values)
    )
    return moved.rowcount == 1


def rejudge_from(conn: Connection, version_id: int, from_ms: int | None) -> None:
    """Say from when on windows are still to be judged again, None when all were.

    In the transaction that moved the cursor.
    """
    c = t.evaluator_cursor.c
    conn.execute(
        sa.update(t.evaluator_cursor)
        .where(c.version_id == version_id)
        .values(rejudge_from_ms=from_ms)
    )


def hold_cursors(conn: Connection, versions: Collection[int]) -> None:
    """Let no evaluator write what it has read of `versions` before this transaction.

    It finds its cursor moved, and looks again after it.
    """
    c = t.evaluator_cursor.c
    conn.execute(
        sa.update(t.evaluator_cursor)
        .where(c.version_id.in_(sorted(versions)))
        .values(epoch=c.epoch + 1)
    )
