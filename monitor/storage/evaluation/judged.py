"""What an evaluator reads and writes of judged windows and their findings."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.lengths import LENGTHS
from monitor.detect.fold import States, states_from_json
from monitor.detect.plan import Stored
from monitor.storage import many
from monitor.storage import schema as t

# How many values go into one IN (...): SQLite's limit is 32,766.
IN_AT_MOST = 10_000


def last_windows(
    conn: Connection, version_id: int, lengths: Collection[str]
) -> list[tuple[int, int]]:
    """Return (start, end) of the last judged window of each length, over all rows."""
    if not lengths:
        return []
    given = {f"length_{place}": length for place, length in enumerate(lengths)}
    found = conn.execute(_last_windows(len(lengths)), {"version_id": version_id, **given})
    return [(start_ms, end_ms) for start_ms, end_ms in found]


@cache
def _last_windows(n_lengths: int) -> sa.CompoundSelect[Any]:
    """One step into the index for each length."""
    w = t.window.c
    parts = []
    for place in range(n_lengths):
        last = (
            sa.select(w.start_ms, w.end_ms)
            .where(
                w.version_id == sa.bindparam("version_id"),
                w.segment == "all",
                w.length == sa.bindparam(f"length_{place}"),
            )
            .order_by(w.start_ms.desc())
            .limit(1)
        )
        parts.append(sa.select(last.subquery()))
    return sa.union_all(*parts)


def stored_windows(
    conn: Connection, version_id: int, lengths: Collection[str], from_ms: int, to_ms: int
) -> dict[tuple[str, str, int], Stored]:
    """Return the judged windows that start in `[from_ms, to_ms)`."""
    found = conn.execute(
        _STORED,
        {"version_id": version_id, "lengths": list(lengths), "from_ms": from_ms, "to_ms": to_ms},
    )
    return {(row[0], row[1], row[2]): Stored(row[3], row[4]) for row in found}


_STORED = sa.select(
    t.window.c.length, t.window.c.segment, t.window.c.start_ms, t.window.c.rev_sum,
    t.window.c.revision,
).where(
    t.window.c.version_id == sa.bindparam("version_id"),
    t.window.c.length.in_(sa.bindparam("lengths", expanding=True)),
    t.window.c.start_ms >= sa.bindparam("from_ms"),
    t.window.c.start_ms < sa.bindparam("to_ms"),
)  # fmt: skip


def states_before(
    conn: Connection, version_id: int, length: str, before_ms: Mapping[str, int]
) -> dict[str, States]:
    """Return the fold's states after the last window of each segment that starts before its time.

    A segment without such a window is not in it.
    """
    # One step into the index for each segment.
    last = (
        'SELECT w.fold FROM "window" w WHERE w.version_id = {mark} AND w.length = {mark} '
        "AND w.segment = a.segment AND w.start_ms < a.start_ms ORDER BY w.start_ms DESC LIMIT 1"
    )
    found = _ask(conn, before_ms, f"SELECT a.segment, ({last}) FROM asked a", (version_id, length))
    return {
        segment: states_from_json(json.loads(text)) for segment, text in found if text is not None
    }


def _ask(
    conn: Connection, asked: Mapping[str, int], sql: str, values: tuple[Any, ...]
) -> Iterator[Sequence[Any]]:
    """Yield what `sql` finds beside `asked`, a table of segments and a start_ms of each.

    A part of it at a time where they are many.
    """
    is_sqlite = conn.dialect.name == "sqlite"
    mark = "?" if is_sqlite else "%s"
    pair = "(?, ?)" if is_sqlite else "(%s::varchar, %s::bigint)"
    pairs = list(asked.items())
    for place in range(0, len(pairs), IN_AT_MOST):
        some = pairs[place : place + IN_AT_MOST]
        text = (
            f"WITH asked(segment, start_ms) AS (VALUES {', '.join([pair] * len(some))}) "
            + sql.format(mark=mark)
        )
        flat = tuple(value for pair_ in some for value in pair_)
        yield from conn.exec_driver_sql(text, flat + values)


class JudgedWindow(NamedTuple):
    """A window that was judged, and the digest of the reference that did."""

    start_ms: int
    end_ms: int
    digest: str


def windows_from(
    conn: Connection, version_id: int, length: str, from_ms: Mapping[str, int]
) -> dict[str, list[JudgedWindow]]:
    """Return the judged windows of each segment from its time on; one without any is not in it."""
    # CROSS JOIN keeps SQLite from going through the windows of all segments.
    found = _ask(
        conn,
        from_ms,
        "SELECT a.segment, w.start_ms, w.end_ms, w.reference_digest "
        'FROM asked a CROSS JOIN "window" w WHERE w.version_id = {mark} AND w.length = {mark} '
        "AND w.segment = a.segment AND w.start_ms >= a.start_ms ORDER BY w.start_ms",
        (version_id, length),
    )
    out: dict[str, list[JudgedWindow]] = {}
    for segment, start_ms, end_ms, digest in found:
        out.setdefault(segment, []).append(JudgedWindow(start_ms, end_ms, digest))
    return out


class Marks(NamedTuple):
    """What a stored finding says to the fold, and its verdict."""

    marks: str
    verdict: str


def stored_marks(
    conn: Connection, version_id: int, length: str, from_ms: Mapping[str, int]
) -> dict[str, dict[int, dict[str, Marks]]]:
    """Return the marks of each segment's findings from its time on.

    {segment: {window start: {feature: marks}}}; a segment without any is not in it.
    """
    f = t.finding.c
    by_start: dict[int, list[str]] = {}
    for segment, start_ms in from_ms.items():
        by_start.setdefault(start_ms, []).append(segment)
    out: dict[str, dict[int, dict[str, Marks]]] = {}
    for start_ms, segments in by_start.items():
        query = sa.select(f.segment, f.start_ms, f.feature, f.marks, f.verdict).where(
            f.version_id == version_id,
            f.length == length,
            f.segment.in_(segments),
            f.start_ms >= start_ms,
        )
        for segment, start, feature, marks, verdict in conn.execute(query):
            by_window = out.setdefault(segment, {})
            by_window.setdefault(start, {})[feature] = Marks(marks, verdict)
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
    conn: Connection, version_id: int, length: str, places: Collection[tuple[str, int]]
) -> None:
    """Delete windows (segment, start) and their findings.

    They are written anew in the same transaction.
    """
    for table in (t.finding, t.model_window, t.window):
        _delete(conn, table, version_id, length, places)


def _delete(
    conn: Connection,
    table: sa.Table,
    version_id: int,
    length: str,
    places: Collection[tuple[str, int]],
) -> None:
    if places:
        conn.execute(
            sa.delete(table).where(*_at_place(table)),
            [_place(version_id, length, segment, start_ms) for segment, start_ms in places],
        )


def _at_place(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    """Return what says that a row is of the window that `_place` names."""
    names = ("version_id", "length", "start_ms", "segment")
    return [table.c[name] == sa.bindparam(f"at_{name}") for name in names]


def _place(version_id: int, length: str, segment: str, start_ms: int) -> dict[str, Any]:
    return {
        "at_version_id": version_id,
        "at_length": length,
        "at_start_ms": start_ms,
        "at_segment": segment,
    }


def insert_windows(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the window table's columns."""
    many.insert(conn, t.window, tuple(t.window.c.keys()), rows)


def insert_findings(conn: Connection, columns: Mapping[str, many.Column]) -> None:
    """Insert rows of the finding table, given by column."""
    many.insert_columns(conn, t.finding, columns)


def insert_model_windows(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the model_window table's columns."""
    many.insert(conn, t.model_window, tuple(t.model_window.c.keys()), rows)


def replace_model_windows(
    conn: Connection, version_id: int, length: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Put rows of one version and length in the place of those of their windows."""
    places = [(segment, start_ms) for _, _, start_ms, segment, *_ in rows]
    _delete(conn, t.model_window, version_id, length, places)
    insert_model_windows(conn, rows)


class Refolded(NamedTuple):
    """What the fold says of a window that was not judged again."""

    segment: str
    start_ms: int
    fold: str
    alarming: Collection[str]


def update_folds(
    conn: Connection, version_id: int, length: str, windows: Sequence[Refolded]
) -> None:
    """Replace what the fold says of windows and of their findings."""
    if not windows:
        return
    places = [(window.segment, window.start_ms) for window in windows]
    at = [_place(version_id, length, *place) for place in places]
    conn.execute(
        sa.update(t.window).where(*_at_place(t.window)).values(fold=sa.bindparam("to_fold")),
        [{**here, "to_fold": window.fold} for here, window in zip(at, windows, strict=True)],
    )
    of_window = sa.update(t.finding).where(*_at_place(t.finding))
    conn.execute(of_window.values(is_alarming=False), at)
    alarms = [
        {**here, "at_feature": feature}
        for here, window in zip(at, windows, strict=True)
        for feature in sorted(window.alarming)
    ]
    if alarms:
        of_feature = of_window.where(t.finding.c.feature == sa.bindparam("at_feature"))
        conn.execute(of_feature.values(is_alarming=True), alarms)
