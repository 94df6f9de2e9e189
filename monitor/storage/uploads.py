"""History that was counted elsewhere: in a lane of its own until it is whole, then panes like any.

1. An upload has a name, and is of one version and gridset. Its number, negated, stands where
   panes have their stream: nobody else writes under it, and a replay never touches it.
2. Chunks come in order, each with its place: one that comes again changes nothing, and a digest
   over all of them says to whoever goes on whether what is here is what they have.
3. What a stream, or another upload, has counted is not counted again. That is asked of every
   chunk, and for good where the lane takes its place: with every position locked.

What is not whole is never judged. Functions take a connection inside `engine.transaction`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from driftline.history import digest_after
from driftline.stats.gridset import Gridset
from driftline.stats.lengths import DAY_MS
from driftline.stats.reference import ALL, Reference
from monitor.storage import many, registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import RegistryMoved
from monitor.storage.engine import take_turns, without_timeouts
from monitor.storage.models import note
from monitor.storage.registry import BoundVersion, Registry
from monitor.storage.swap import empty, judge_again
from monitor.storage.upload_rows import Upload, find, instant, of_upload, refuse_counted

# What nobody has gone on with for so long is given up (wall clock).
STALE_MS: Final = 2 * DAY_MS
# As many are held open at once.
MAX_OPEN: Final = 20
# Of one upload: a century of hours, or a year of them in a hundred segments.
MAX_PANES: Final = 1_000_000
# One transaction deletes so many panes of a lane that is done with.
AT_ONCE: Final = 5_000
# The digest before the first chunk.
NOTHING: Final = ""


class Pane(NamedTuple):
    """Counts of one pane and segment, as `Profile.to_bytes` writes them."""

    start_ms: int
    segment: str
    rows: int
    body: bytes


# Into the lane.


def begin(
    conn: Connection, name: str, bound: BoundVersion, gridset: str, now_ms: int
) -> tuple[Upload, bool]:
    """Return the upload of that name and whether it is new.

    Raises
    ------
    Conflict
        The name is another upload's, or too many are open.
    """
    take_turns(conn, "upload")
    found = find(conn, name)
    if found is not None:
        if (found.version_id, found.gridset) != (bound.version_id, gridset):
            raise Conflict(
                f"upload {name} is of {found.model} {found.version} on the gridset "
                f"{found.gridset[:12]}: give this one another name"
            )
        return found, False
    u = t.upload.c
    n_open = conn.execute(sa.select(sa.func.count(u.id)).where(u.counted_ms.is_(None)))
    if n_open.scalar_one() >= MAX_OPEN:
        raise Conflict(
            f"{MAX_OPEN} uploads were begun and are not done: finish or remove one of them"
        )
    conn.execute(
        sa.insert(t.upload).values(
            name=name,
            version_id=bound.version_id,
            gridset=gridset,
            chunks=0,
            digest=NOTHING,
            panes=0,
            rows=0,
            created_ms=now_ms,
            touched_ms=now_ms,
        )
    )
    made = find(conn, name)
    assert made is not None
    return made, True


def take(
    conn: Connection,
    name: str,
    bound: BoundVersion,
    grids: Collection[str],
    *,
    chunk: int,
    body: bytes,
    panes: Sequence[Pane],
    now_ms: int,
) -> Upload | None:
    """Put a chunk into the lane and return the upload; None where there is none of that name.

    A chunk that is here already changes nothing: the digest says whether it was this one.

    Parameters
    ----------
    grids
        Digests of all gridsets that the version is or was counted on.
    chunk
        Its place, from 0.
    body
        What came, for the digest; `panes` is what it holds.

    Raises
    ------
    Conflict
        Another chunk is next, a pane comes twice, or the upload becomes too large.
    Counted
        A pane was counted already.
    """
    found = find(conn, name, keep=True)
    if found is None or found.counted_ms is not None or found.chunks > chunk:
        return found
    if found.chunks < chunk:
        raise Conflict(f"upload {name} has {found.chunks} chunks: chunk {chunk} is not next")
    if found.panes + len(panes) > MAX_PANES:
        raise Conflict(
            f"upload {name} would have over {MAX_PANES:,} panes: count wider stretches apart"
        )
    keys = [
        (found.version_id, found.gridset, p.start_ms, p.segment, found.stream_id, 0) for p in panes
    ]
    stored = many.select(conn, t.lane_pane, _KEY, ("rev",), keys)
    twice = next((key[2:4] for key in stored), None)
    if twice is None and len(set(keys)) < len(keys):
        twice = next(key[2:4] for key in keys if keys.count(key) > 1)
    if twice is not None:
        raise Conflict(
            f"upload {name} has the pane {instant(twice[0])} of segment {twice[1]} twice"
        )
    rows = [(1, p.rows, p.body, *key) for p, key in zip(panes, keys, strict=True)]
    many.insert(conn, t.lane_pane, ("rev", "rows", "body", *_KEY), rows)
    starts = [p.start_ms for p in panes]
    if starts:
        refuse_counted(conn, found, grids, (min(starts), max(starts) + bound.pane_ms))
    first_ms = min(starts, default=found.first_ms)
    end_ms = max(starts) + bound.pane_ms if starts else found.end_ms
    if found.first_ms is not None and first_ms is not None:
        first_ms = min(first_ms, found.first_ms)
    if found.end_ms is not None and end_ms is not None:
        end_ms = max(end_ms, found.end_ms)
    conn.execute(
        sa.update(t.upload)
        .where(t.upload.c.id == found.id)
        .values(
            chunks=chunk + 1,
            digest=digest_after(found.digest, body),
            panes=found.panes + len(panes),
            rows=found.rows + sum(p.rows for p in panes if p.segment == ALL),
            first_ms=first_ms,
            end_ms=end_ms,
            touched_ms=now_ms,
        )
    )
    return find(conn, name)


def lacks(conn: Connection, upload: Upload, dimensions_at: DimensionsAt) -> str | None:
    """Return what an upload's lane lacks to be whole, None where it is.

    Each pane must have its rows as "all", and as many in the segments of each dimension: what
    was counted of one time must all be here.

    Parameters
    ----------
    dimensions_at
        Dimensions of segments that rows in the pane at a time are counted by.
    """
    p = t.lane_pane.c
    query = (
        sa.select(p.start_ms, p.segment, p.rows)
        .where(
            p.version_id == upload.version_id,
            p.gridset == upload.gridset,
            p.stream_id == upload.stream_id,
        )
        .order_by(p.start_ms)
        .execution_options(yield_per=10_000)
    )
    at_ms, by_dimension = None, dict[str, int]()
    with conn.execute(query) as found:
        for start_ms, segment, rows in found:
            if start_ms != at_ms:
                if said := _lacks(at_ms, by_dimension, dimensions_at):
                    return said
                at_ms, by_dimension = start_ms, {}
            dimension = segment if segment == ALL else segment.partition("=")[0] + "="
            by_dimension[dimension] = by_dimension.get(dimension, 0) + rows
    return _lacks(at_ms, by_dimension, dimensions_at)


class DimensionsAt:
    """The dimensions of segments that a version's rows are counted by, by time."""

    def __init__(self, bound: BoundVersion, references: Mapping[str, Reference]) -> None:
        self._bound, self._references = bound, references

    def __call__(self, start_ms: int) -> tuple[str, ...]:
        """Return their names."""
        digest = self._bound.binding_at(start_ms)
        return () if digest is None else tuple(self._references[digest].dimensions)


def _lacks(
    at_ms: int | None, by_dimension: Mapping[str, int], dimensions_at: DimensionsAt
) -> str | None:
    if at_ms is None:
        return None
    if ALL not in by_dimension:
        return f"the pane of {instant(at_ms)} has no counts of all rows together"
    for dimension in dimensions_at(at_ms):
        rows = by_dimension.get(f"{dimension}=", 0)
        if rows != by_dimension[ALL]:
            return (
                f"the pane of {instant(at_ms)} has {by_dimension[ALL]:,} rows, and {rows:,} in the "
                f"segments of {dimension}"
            )
    return None


# In the place where it counts.


def count(
    conn: Connection,
    name: str,
    known: Registry,
    *,
    chunks: int,
    digest: str,
    actor: str,
    now_ms: int,
) -> Upload | None:
    """Let an upload count from now on, all of it at once; None where there is none.

    One that counts already is returned as it is. What its lane held is left for `forget`.

    Raises
    ------
    Conflict
        Other chunks are here than `chunks` and `digest` say, its model was archived or deleted,
        or another reference is bound to a part of its time.
    Counted
        A stream or another upload has counted a part of its time.
    RegistryMoved
        The registry is another one than `known`.
    """
    without_timeouts(conn)
    take_turns(conn, "upload")
    _hold_positions(conn)
    now = registry.revision(conn, for_share=True)
    if now != known.revision:
        raise RegistryMoved(known.revision, now)
    found = find(conn, name, keep=True)
    if found is None or found.counted_ms is not None:
        return found
    if (found.chunks, found.digest) != (chunks, digest):
        raise Conflict(
            f"upload {name} holds {found.chunks} chunks, and not the {chunks} that were meant"
        )
    if found.first_ms is None:
        raise Conflict(f"upload {name} holds nothing to count")
    bound = next((v for v in known.versions.values() if v.version_id == found.version_id), None)
    if bound is None:
        raise Conflict(f"model {found.model} was archived or deleted: it counts nothing now")
    assert found.end_ms is not None
    for digest_, from_ms, to_ms in _bindings(bound):
        if known.references[digest_].gridset.digest != found.gridset:
            _refuse_other_reference(conn, found, digest_, from_ms, to_ms)
    grids = {known.references[digest_].gridset.digest for _, digest_ in bound.bindings}
    refuse_counted(conn, found, grids, (found.first_ms, found.end_ms))
    # What an evaluator has read of it is not written any more.
    c = t.evaluator_cursor.c
    conn.execute(
        sa.update(t.evaluator_cursor)
        .where(c.version_id == found.version_id)
        .values(epoch=c.epoch + 1)
    )
    names = [column.name for column in t.pane.columns]
    own = sa.select(*(t.lane_pane.c[column] for column in names)).where(
        *of_upload(t.lane_pane, found)
    )
    conn.execute(sa.insert(t.pane).from_select(names, own))
    judge_again(conn, found.version_id, found.first_ms)
    conn.execute(
        sa.update(t.upload)
        .where(t.upload.c.id == found.id)
        .values(counted_ms=now_ms, touched_ms=now_ms)
    )
    note(
        conn, actor=actor, action="upload.count", subject=found.model, now_ms=now_ms,
        upload=name, version=found.version, panes=found.panes, rows=found.rows,
        first=instant(found.first_ms), end=instant(found.end_ms),
    )  # fmt: skip
    registry.bump_data_version(conn)
    return find(conn, name)


def remove(
    conn: Connection, name: str, grids: Mapping[str, Gridset], *, actor: str, now_ms: int
) -> Upload | None:
    """Let an upload be no more, and return what it was; None where there is none.

    What it counted is taken out of its panes, and their windows are judged again.
    """
    without_timeouts(conn)
    take_turns(conn, "upload")
    found = find(conn, name, keep=True)
    if found is None:
        return None
    conn.execute(sa.delete(t.upload).where(t.upload.c.id == found.id))
    if found.counted_ms is not None:
        c = t.evaluator_cursor.c
        conn.execute(
            sa.update(t.evaluator_cursor)
            .where(c.version_id == found.version_id)
            .values(epoch=c.epoch + 1)
        )
        starts = [
            start_ms
            for table in (t.pane, t.pane_day)
            for start_ms in empty(conn, table, of_upload(table, found), grids)
        ]
        if starts:
            judge_again(conn, found.version_id, min(starts))
        registry.bump_data_version(conn)
    note(
        conn, actor=actor, action="upload.remove", subject=found.model, now_ms=now_ms,
        upload=name, version=found.version, panes=found.panes, rows=found.rows,
        was_counted=found.counted_ms is not None,
    )  # fmt: skip
    return found


# What is left of it.


def stale(conn: Connection, until_ms: int) -> list[str]:
    """Return the names of uploads that nobody has gone on with since then (wall clock)."""
    u = t.upload.c
    query = sa.select(u.name).where(u.counted_ms.is_(None), u.touched_ms <= until_ms)
    return list(conn.execute(query.order_by(u.id)).scalars())


def give_up(conn: Connection, name: str, until_ms: int) -> bool:
    """Let an upload be no more that nobody has gone on with since; False where somebody has."""
    u = t.upload.c
    gone = sa.delete(t.upload).where(
        u.name == name, u.counted_ms.is_(None), u.touched_ms <= until_ms
    )
    return conn.execute(gone).rowcount > 0


def forget(conn: Connection) -> int:
    """Delete some of what lanes held of uploads that count, or are no more; how many panes."""
    p, u = t.lane_pane.c, t.upload.c
    is_open = sa.exists().where(u.id == -p.stream_id, u.counted_ms.is_(None))
    key = tuple(t.lane_pane.primary_key.columns)
    some = sa.select(*key).where(p.stream_id < 0, ~is_open).limit(AT_ONCE)
    return conn.execute(sa.delete(t.lane_pane).where(sa.tuple_(*key).in_(some))).rowcount


# What was counted before.

_KEY: Final = ("version_id", "gridset", "start_ms", "segment", "stream_id", "partition")


def _hold_positions(conn: Connection) -> None:
    """Let no stream count anything until the end: its checkpoint locks the position first."""
    p = t.stream_position.c
    query = sa.select(p.stream_id, p.partition).order_by(p.stream_id, p.partition)
    conn.execute(query.with_for_update()).all()  # PostgreSQL; SQLite's write lock does the same


def _bindings(bound: BoundVersion) -> Iterator[tuple[str, int, int | None]]:
    """Yield each reference's digest with the time `[from, to)` whose panes it counts."""
    for place, (effective_ms, digest) in enumerate(bound.bindings):
        after = bound.bindings[place + 1][0] if place + 1 < len(bound.bindings) else None
        yield digest, effective_ms if place else 0, after


def _refuse_other_reference(
    conn: Connection, upload: Upload, digest: str, from_ms: int, to_ms: int | None
) -> None:
    start = t.lane_pane.c.start_ms
    where = [*of_upload(t.lane_pane, upload), start >= from_ms]
    if to_ms is not None:
        where.append(start < to_ms)
    first_ms = conn.execute(sa.select(sa.func.min(start)).where(*where)).scalar()
    if first_ms is not None:
        raise Conflict(
            f"{upload.model} {upload.version} is counted on reference {digest[:12]} at "
            f"{instant(first_ms)}, and this was counted on the gridset {upload.gridset[:12]}"
        )
