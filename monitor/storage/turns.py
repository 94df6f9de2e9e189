"""Who changes the registry takes turns, and pages learn that something changed."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t

# Built once: building a statement takes longer than SQLite takes to run it, and the revision is
# asked at every checkpoint.
_REVISION: Final = sa.select(t.registry.c.revision).where(t.registry.c.id == 1)
_REVISION_FOR_SHARE: Final = _REVISION.with_for_update(read=True)


def revision(conn: Connection, *, for_share: bool = False) -> int:
    """Return the registry's revision; `for_share` keeps it until the transaction ends."""
    # For share: PostgreSQL; SQLite's write lock does the same.
    return int(conn.execute(_REVISION_FOR_SHARE if for_share else _REVISION).scalar_one())


def take_turn(conn: Connection) -> int:
    """Return the registry's revision, which nobody else moves until the transaction ends."""
    conn.execute(
        sa.update(t.registry).where(t.registry.c.id == 1).values(revision=t.registry.c.revision)
    )
    return revision(conn)


def bump_data_version(conn: Connection) -> None:
    """Tell open pages that there is something new to read."""
    conn.execute(
        sa.update(t.data_version)
        .where(t.data_version.c.id == 1)
        .values(value=t.data_version.c.value + 1)
    )
