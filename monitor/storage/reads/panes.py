"""Panes and what they are counted on: the only reads that open profiles and documents.

Everything else reads rows that were judged. A range of panes is summed here, so that no
page ever holds more than one profile of it; how many panes one question may open is
capped, and the answer says where that cut it.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile, add_many
from driftline.stats.reference import Reference
from monitor.storage import schema as t
from monitor.storage.rows import UnseenValue

# 45 us each: more would keep a page waiting for more than a third of a second.
MAX_PANES: Final = 8_000
# A local day has no more hours, whatever the clock does.
LONGEST_DAY_MS: Final = 26 * 3_600_000
# A reference of 18 features takes 30 ms to read and a few MB to keep.
_KEPT_REFERENCES: Final = 16

_references: OrderedDict[str, Reference] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class PaneSum:
    """The panes of a range, added up.

    Attributes
    ----------
    profile : Profile
        Without a pane, that of no rows.
    panes : int
        How many were added.
    from_ms : int
        Where what was added begins: later than asked for when there were too many panes.
    cuts_days : bool
        Whether an end of the range lies within a day to which its hours were added up: nothing
        of that day is added.
    """

    profile: Profile
    panes: int
    from_ms: int
    cuts_days: bool = False

    @property
    def is_empty(self) -> bool:
        return self.panes == 0


def reference_document(conn: Connection, digest: str) -> Reference | None:
    """Return a reference with its profiles; None when there is none of that digest.

    References are immutable, so the last few are kept for the life of the process.
    """
    with _lock:
        found = _references.get(digest)
        if found is not None:
            _references.move_to_end(digest)
            return found
    body = conn.execute(
        sa.select(t.reference.c.body).where(t.reference.c.digest == digest)
    ).scalar_one_or_none()
    if body is None:
        return None
    made = Reference.from_document(zlib.decompress(body))
    with _lock:
        _references[digest] = made
        while len(_references) > _KEPT_REFERENCES:
            _references.popitem(last=False)
    return made


def pane_sum(
    conn: Connection,
    version_id: int,
    gridset: Gridset,
    *,
    segment: str,
    from_ms: int,
    to_ms: int,
    at_most: int = MAX_PANES,
) -> PaneSum:
    """Return the sum of a segment's panes that start in `[from_ms, to_ms)`, over all partitions.

    Of more than `at_most` panes the newest are added.
    """
    hour, day = t.pane.c, t.pane_day.c
    is_whole = sa.and_(day.start_ms >= from_ms, day.end_ms <= to_ms)
    hours = sa.select(hour.start_ms, hour.body).where(
        hour.version_id == version_id,
        hour.gridset == gridset.digest,
        hour.segment == segment,
        hour.start_ms >= from_ms,
        hour.start_ms < to_ms,
    )
    # No body says that the range cuts the day.
    days = sa.select(day.start_ms, sa.case((is_whole, day.body))).where(
        day.version_id == version_id,
        day.gridset == gridset.digest,
        day.segment == segment,
        day.start_ms > from_ms - LONGEST_DAY_MS,
        day.start_ms < to_ms,
        day.end_ms > from_ms,
        day.rows > 0,  # else its hours are back
    )
    query = sa.union_all(hours, days).order_by(sa.desc("start_ms")).limit(at_most + 1)
    rows = conn.execute(query).all()
    start_ms = from_ms
    if len(rows) > at_most:
        # The pane that is cut has parts in other partitions: none of them counts.
        cut_ms = rows[-1].start_ms
        rows = [row for row in rows if row.start_ms > cut_ms]
        start_ms = min((row.start_ms for row in rows), default=to_ms)
    bodies = [row.body for row in rows if row.body is not None]
    profile = add_many(gridset, bodies)
    return PaneSum(profile, len(bodies), start_ms, cuts_days=len(bodies) < len(rows))


def unseen_values(
    conn: Connection, version_id: int, gridset: str, feature: str, *, limit: int = 20
) -> list[UnseenValue]:
    """Return the values that the reference never saw, the most frequent first.

    Counted since the version's first event and over all segments.
    """
    u = t.unseen_value.c
    count = sa.func.sum(u.count)
    query = (
        sa.select(u.value, count, sa.func.min(u.first_seen_ms), sa.func.max(u.last_seen_ms))
        .where(u.version_id == version_id, u.gridset == gridset, u.feature == feature)
        .group_by(u.value)
        .order_by(count.desc(), u.value)
        .limit(limit)
    )
    return [
        UnseenValue(value, int(count), int(first), int(last))
        for value, count, first, last in conn.execute(query)
    ]
