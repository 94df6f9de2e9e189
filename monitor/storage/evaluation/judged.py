"""What an evaluator reads and writes of judged windows and their findings."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.lengths import LENGTHS
from monitor.detect.fold import States, states_from_json
from monitor.detect.plan import Stored
from monitor.storage import schema as t
from monitor.storage.engine import insert_tuples

# How many values go into one IN (...): SQLite's limit is 32,766.
IN_AT_MOST = 10_000


def last_windows(
    conn: Connection, version_id: int, lengths: Collection[str]
) -> list[tuple[int, int]]:
    """Return (start, end) of the last judged window of each length, over all rows."""
    w = t.window.c
    found = []
    for length in lengths:  # one step into the index for each
        query = (
            sa.select(w.start_ms, w.end_ms)
            .where(w.version_id == version_id, w.segment == "all", w.length == length)
            .order_by(w.start_ms.desc())
            .limit(1)
        )
        found += [(row.start_ms, row.end_ms) for row in conn.execute(query)]
    return found


def stored_windows(
    conn: Connection, version_id: int, lengths: Collection[str], from_ms: int, to_ms: int
) -> dict[tuple[str, str, int], Stored]:
    """Return the judged windows that start in `[from_ms, to_ms)`."""
    w = t.window.c
    query = sa.select(w.length, w.segment, w.start_ms, w.rev_sum, w.revision).where(
        w.version_id == version_id,
        w.length.in_(lengths),
        w.start_ms >= from_ms,
        w.start_ms < to_ms,
    )
    return {(row[0], row[1], row[2]): Stored(row[3], row[4]) for row in conn.execute(query).all()}


def states_before(
    conn: Connection, version_id: int, length: str, segment: str, start_ms: int
) -> States:
    """Return the fold's states after the last window that starts before `start_ms`."""
    w = t.window.c
    text = conn.execute(
        sa.select(w.fold)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms < start_ms,
        )
        .order_by(w.start_ms.desc())
        .limit(1)
    ).scalar_one_or_none()
    return {} if text is None else states_from_json(json.loads(text))


class JudgedWindow(NamedTuple):
    """A window that was judged, and the digest of the reference that did."""

    start_ms: int
    end_ms: int
    digest: str


def windows_from(
    conn: Connection, version_id: int, length: str, segment: str, start_ms: int
) -> list[JudgedWindow]:
    """Return the judged windows from `start_ms` on."""
    w = t.window.c
    query = (
        sa.select(w.start_ms, w.end_ms, w.reference_digest)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms >= start_ms,
        )
        .order_by(w.start_ms)
    )
    return [JudgedWindow(*row) for row in conn.execute(query)]


class Marks(NamedTuple):
    """What a stored finding says to the fold, and its verdict."""

    marks: str
    verdict: str


def stored_marks(
    conn: Connection, version_id: int, length: str, segment: str, start_ms: int
) -> dict[int, dict[str, Marks]]:
    """Return the marks of findings from `start_ms` on: {window start: {feature: marks}}."""
    f = t.finding.c
    query = sa.select(f.start_ms, f.feature, f.marks, f.verdict).where(
        f.version_id == version_id,
        f.length == length,
        f.segment == segment,
        f.start_ms >= start_ms,
    )
    out: dict[int, dict[str, Marks]] = {}
    for start, feature, marks, verdict in conn.execute(query):
        out.setdefault(start, {})[feature] = Marks(marks, verdict)
    return out


def complete_windows(
    conn: Connection,
    version_id: int,
    length: str,
    segment: str,
    digest: str,
    from_ms: int,
    until_ms: int,
    at_most: int,
    *,
    is_last: bool = False,
) -> list[tuple[int, int]]:
    """Return (start, end) of the first complete windows in `[from_ms, until_ms]`, or the last.

    However they were closed: that is history, and a replay may close them otherwise.
    """
    w = t.window.c
    query = (
        sa.select(w.start_ms, w.end_ms)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms >= from_ms,
            w.end_ms <= until_ms,
            w.reference_digest == digest,
            w.incomplete.is_(None),
        )
        .order_by(w.start_ms.desc() if is_last else w.start_ms)
        .limit(at_most)
    )
    return sorted((row.start_ms, row.end_ms) for row in conn.execute(query))


def last_ends(conn: Connection, versions: Collection[int]) -> dict[str, int]:
    """Return where the last judged window of each length ends, of any of `versions`.

    A length of which none was judged is not in it.
    """
    w = t.window.c
    ends: dict[str, int] = {}
    for version_id in versions:  # one step into the index for each length
        for length in LENGTHS:
            query = sa.select(sa.func.max(w.end_ms)).where(
                w.version_id == version_id, w.length == length
            )
            end_ms = conn.execute(query).scalar()
            if end_ms is not None:
                ends[length] = max(ends.get(length, 0), int(end_ms))
    return ends


def judged_until(conn: Connection, version_id: int, length: str, segment: str) -> int:
    """Return the end of the last judged window of a length and segment, 0 without one."""
    w = t.window.c
    query = (
        sa.select(w.end_ms)
        .where(w.version_id == version_id, w.length == length, w.segment == segment)
        .order_by(w.start_ms.desc())
        .limit(1)
    )
    return int(conn.execute(query).scalar_one_or_none() or 0)


def delete_windows(
    conn: Connection, version_id: int, length: str, segment: str, starts: Iterable[int]
) -> None:
    """Delete windows and their findings, to be written anew in the same transaction."""
    ordered = sorted(starts)
    for place in range(0, len(ordered), IN_AT_MOST):
        some = ordered[place : place + IN_AT_MOST]
        for table in (t.finding, t.finding_measure, t.model_window, t.window):
            conn.execute(
                sa.delete(table).where(
                    table.c.version_id == version_id,
                    table.c.length == length,
                    table.c.segment == segment,
                    table.c.start_ms.in_(some),
                )
            )


def insert_windows(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the window table's columns."""
    insert_tuples(conn, t.window, tuple(t.window.c.keys()), rows)


def insert_findings(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the finding table's columns."""
    insert_tuples(conn, t.finding, tuple(t.finding.c.keys()), rows)


def insert_measures(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the finding_measure table's columns."""
    insert_tuples(conn, t.finding_measure, tuple(t.finding_measure.c.keys()), rows)


def replace_model_windows(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows, in the order of the model_window table's columns, in the place of theirs."""
    m = t.model_window.c
    by_place: dict[tuple[Any, ...], list[int]] = {}
    for version_id, length, start_ms, segment, *_ in rows:
        by_place.setdefault((version_id, length, segment), []).append(start_ms)
    for (version_id, length, segment), starts in by_place.items():
        for place in range(0, len(starts), IN_AT_MOST):
            conn.execute(
                sa.delete(t.model_window).where(
                    m.version_id == version_id,
                    m.length == length,
                    m.segment == segment,
                    m.start_ms.in_(starts[place : place + IN_AT_MOST]),
                )
            )
    insert_tuples(conn, t.model_window, tuple(m.keys()), rows)


def update_fold(
    conn: Connection,
    version_id: int,
    length: str,
    segment: str,
    start_ms: int,
    fold: str,
    alarming: Collection[str],
) -> None:
    """Replace what the fold says of a window that was not judged again."""
    w, f = t.window.c, t.finding.c
    conn.execute(
        sa.update(t.window)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms == start_ms,
        )
        .values(fold=fold)
    )
    here = (
        f.version_id == version_id,
        f.length == length,
        f.segment == segment,
        f.start_ms == start_ms,
    )
    conn.execute(
        sa.update(t.finding)
        .where(*here)
        .values(is_alarming=f.feature.in_(sorted(alarming)) if alarming else sa.false())
    )
