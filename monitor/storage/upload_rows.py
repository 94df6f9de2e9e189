"""Uploads as they stand, and what others have counted of their time.

What moves them is `monitor.storage.uploads`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from driftline.stats.lengths import DAY_MS
from driftline.stats.reference import ALL
from monitor.storage import schema as t

# The longest day has 25 hours.
_DAY_MS: Final = DAY_MS + DAY_MS // 24


@dataclass(frozen=True)
class Upload:
    """One upload, as it stands.

    Attributes
    ----------
    chunks, digest
        How many chunks are here, and `digest_after` the last of them.
    panes, rows
        Of all chunks; rows of all segments together.
    first_ms, end_ms
        Start of the first pane and end of the last one (epoch ms); None before the first chunk.
    counted_ms
        Since when it counts (wall clock); None where it is not whole yet.
    """

    id: int
    name: str
    model: str
    version: str
    version_id: int
    gridset: str
    chunks: int
    digest: str
    panes: int
    rows: int
    first_ms: int | None
    end_ms: int | None
    created_ms: int
    touched_ms: int
    counted_ms: int | None

    @property
    def stream_id(self) -> int:
        """What its panes have in the place of a stream."""
        return -self.id


class Overlap(NamedTuple):
    """Panes that are counted already; `by` is None for a stream, or an upload's name."""

    panes: int
    first_ms: int
    last_ms: int
    by: str | None


class Counted(Conflict):
    """Part of it was counted already."""

    def __init__(self, upload: Upload, found: Overlap) -> None:
        self.upload, self.overlap = upload, found
        who = "the stream" if found.by is None else f"upload {found.by}"
        when = instant(found.first_ms)
        if found.last_ms > found.first_ms:
            when = f"{found.panes:,} panes from {when} to {instant(found.last_ms)}"
        else:
            when = f"the pane of {when}"
        super().__init__(f"{who} has counted that time of {upload.model} {upload.version}: {when}")


def instant(at_ms: int) -> str:
    """Return RFC 3339 in UTC.

    >>> instant(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")


def find(conn: Connection, name: str, *, keep: bool = False) -> Upload | None:
    """Return an upload by its name; `keep` lets nobody change it until the end."""
    query = SELECT.where(t.upload.c.name == name)
    if keep:
        query = query.with_for_update(of=t.upload)
    row = conn.execute(query).one_or_none()
    return None if row is None else Upload(**row._mapping)


def listed(conn: Connection, model: str | None = None) -> list[Upload]:
    """Return all uploads, or a model's, by number."""
    query = SELECT if model is None else SELECT.where(t.model.c.name == model)
    return [Upload(**row._mapping) for row in conn.execute(query.order_by(t.upload.c.id))]


def counted_since(conn: Connection, upload: Upload, grids: Collection[str]) -> int:
    """Return how many of an upload's panes a stream has counted, too: events that came later."""
    if upload.counted_ms is None or upload.first_ms is None or upload.end_ms is None:
        return 0
    span = (upload.first_ms, upload.end_ms)
    found = _overlap(conn, t.pane, upload, grids, span, of_streams=True)
    return 0 if found is None else found.panes


SELECT: Final = sa.select(
    *(column for column in t.upload.columns),
    t.model.c.name.label("model"),
    t.model_version.c.name.label("version"),
).select_from(
    t.upload.join(t.model_version, t.model_version.c.id == t.upload.c.version_id).join(
        t.model, t.model.c.id == t.model_version.c.model_id
    )
)


def of_upload(table: sa.Table, upload: Upload) -> list[sa.ColumnElement[bool]]:
    """Return what an upload's panes have in common, in the table that holds them."""
    c = table.c
    return [
        c.version_id == upload.version_id,
        c.gridset == upload.gridset,
        c.stream_id == upload.stream_id,
    ]


def refuse_counted(
    conn: Connection, upload: Upload, grids: Collection[str], span: tuple[int, int]
) -> None:
    """Refuse an upload of whose panes in `span` (epoch ms) a stream or another one has any.

    Raises
    ------
    Counted
        It names who has counted which of them.
    """
    for table in (t.pane, t.pane_day):
        for of_streams in (True, False):
            found = _overlap(conn, table, upload, grids, span, of_streams=of_streams)
            if found is not None:
                raise Counted(upload, found)


def _overlap(
    conn: Connection,
    table: sa.Table,
    upload: Upload,
    grids: Collection[str],
    span: tuple[int, int],
    *,
    of_streams: bool,
) -> Overlap | None:
    """Return which of an upload's panes in `span` others have counted; None where none has.

    Its panes are looked up where they are now: in the lane, or where they count.
    """
    c = table.c
    mine = (t.lane_pane if upload.counted_ms is None else t.pane).alias("mine")
    same: list[sa.ColumnElement[bool]] = [c.start_ms == mine.c.start_ms]
    if table is t.pane_day:  # one that holds the pane
        same = [
            c.start_ms <= mine.c.start_ms,
            c.start_ms > mine.c.start_ms - _DAY_MS,
            c.end_ms > mine.c.start_ms,
        ]
    theirs: Any = table
    found = conn.execute(
        sa.select(
            sa.func.count(mine.c.start_ms.distinct()),
            sa.func.min(mine.c.start_ms),
            sa.func.max(mine.c.start_ms),
            sa.func.min(c.stream_id),
        )
        .select_from(mine.join(theirs, sa.and_(*same)))
        .where(
            mine.c.version_id == upload.version_id,
            mine.c.gridset == upload.gridset,
            mine.c.stream_id == upload.stream_id,
            mine.c.segment == ALL,
            mine.c.start_ms >= span[0],
            mine.c.start_ms < span[1],
            c.version_id == upload.version_id,
            c.gridset.in_(sorted(grids)),
            c.segment == ALL,
            c.rows > 0,
            c.stream_id > 0 if of_streams else c.stream_id < 0,
        )
    ).one()
    panes, first_ms, last_ms, stream_id = found
    if not panes:
        return None
    by = None
    if not of_streams:
        query = sa.select(t.upload.c.name).where(t.upload.c.id == -stream_id)
        by = str(conn.execute(query).scalar_one_or_none() or -stream_id)
    return Overlap(int(panes), int(first_ms), int(last_ms), by)
