"""What a checkpoint costs: by what it touches, and by what lies there already."""

from __future__ import annotations

import time
from typing import Any, Final

import sqlalchemy as sa

from bench.counting import Writer, closing, delta_of, log_bytes, segments_of
from bench.material import HOUR_MS, Shape
from bench.parts import Asked
from bench.parts.forms import known
from bench.parts.streams import NAMES
from bench.report import Part, Table
from bench.rig import DATABASES
from monitor.storage import engine as storage
from monitor.storage import schema as t

SHAPE: Final = Shape()
TOUCHED: Final = (1, 10, 100, 1_000)
# Panes that lie there while the same are touched.
HISTORY: Final = (1_000, 10_000)
TOUCHED_THEN: Final = 100
EVENTS: Final = 2_000
MIXED: Final = 11
START_MS: Final = 1_704_067_200_000


def checkpoint(asked: Asked) -> Part:
    """Seconds and SQL statements of single checkpoints, on both databases."""
    part = Part("checkpoint", "A checkpoint against what it touches, and against history")
    by_touched: list[list[Any]] = [[n] for n in TOUCHED]
    by_history: list[list[Any]] = [[n] for n in HISTORY]
    delta = delta_of(SHAPE, known(SHAPE), EVENTS)
    for kind in DATABASES:
        url = asked.rig.database(kind, SHAPE)
        with closing(storage.create(url)) as engine:
            writer = Writer(engine, START_MS)
            for row, n in zip(by_touched, TOUCHED, strict=True):
                hour_ms = START_MS + n * HOUR_MS
                made = [segments_of(delta, hour_ms, n) for _ in range(asked.runs + 1)]
                seconds, statements = _timed(writer, made, hour_ms)
                figure = part.note_runs(f"{kind}_{n}", "ms", [1e3 * s for s in seconds])
                row += [figure.median, statements]
                if n == TOUCHED[-1]:
                    part.note_runs(f"{kind}_pane_us", "us a pane", [1e6 * s / n for s in seconds])
            laid = len(TOUCHED)
            for row, n in zip(by_history, HISTORY, strict=True):
                _lay(writer, n - laid, first=laid)
                laid = n
                hour_ms = START_MS - HOUR_MS
                made = [segments_of(delta, hour_ms, TOUCHED_THEN) for _ in range(asked.runs + 1)]
                seconds, statements = _timed(writer, made, hour_ms)
                figure = part.note_runs(f"{kind}_after_{n}", "ms", [1e3 * s for s in seconds])
                row += [figure.median, statements]
            if kind == "postgresql":
                _measure_bytes(part, writer, delta, asked.runs)
        asked.rig.drop(url)
    part.notes.append(
        f"Panes of {SHAPE.features} features that are there already and grow, packing included; "
        "a statement that writes many rows counts as one."
    )
    heads = [f"{NAMES[kind]}, {what}" for kind in DATABASES for what in ("ms", "statements")]
    part.tables += [
        Table("By panes touched", ("panes", *heads), tuple(map(tuple, by_touched))),
        Table(
            f"{TOUCHED_THEN} panes touched, by panes that lie in the table",
            ("panes", *heads),
            tuple(map(tuple, by_history)),
        ),
    ]
    return part


def _timed(writer: Writer, deltas: list[Any], at_ms: int) -> tuple[list[float], int]:
    """Seconds of each checkpoint but the first, which makes the panes; statements of the last."""
    writer.write(deltas[0], at_ms)
    seconds = []
    statements = 0
    for delta in deltas[1:]:
        before, began = writer.statements, time.perf_counter()
        writer.write(delta, at_ms)
        seconds.append(time.perf_counter() - began)
        statements = writer.statements - before
    return seconds, statements


def _measure_bytes(part: Part, writer: Writer, delta: Any, runs: int) -> None:
    """Bytes of a pane, and of PostgreSQL's log for one that grows; `all` and segments mixed."""
    at_ms = START_MS + 10_000 * HOUR_MS
    writer.write(segments_of(delta, at_ms, MIXED), at_ms)
    before = log_bytes(writer.engine)
    for _ in range(runs):
        writer.write(segments_of(delta, at_ms, MIXED), at_ms)
    logged = (log_bytes(writer.engine) - before) / runs / MIXED
    size = sa.select(sa.func.avg(sa.func.length(t.pane.c.body))).where(t.pane.c.start_ms == at_ms)
    with writer.engine.connect() as conn:
        part.note_runs("pane_bytes", "bytes a pane", [float(conn.execute(size).scalar_one())])
    (grid,) = delta.gridsets.values()
    # As `consumers.ledger` reckons: counts, and sums of `all`.
    part.note_runs("pane_held", "bytes a pane in memory", [8 * grid.size * (MIXED + 1) / MIXED])
    part.note_runs("log_bytes", "bytes a pane a checkpoint", [logged])


def _lay(writer: Writer, panes: int, *, first: int) -> None:
    """Put older panes into the table: copies of one that is there."""
    with storage.transaction(writer.engine) as conn:
        row = conn.execute(sa.select(t.pane).limit(1)).one()._mapping
        step = 500
        for start in range(first, first + panes, step):
            some = range(start, min(start + step, first + panes))
            conn.execute(
                sa.insert(t.pane),
                [dict(row) | {"start_ms": START_MS - (i + 2) * HOUR_MS} for i in some],
            )
