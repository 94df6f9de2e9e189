"""How long an evaluator takes for an hour of many features and segments that is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

from bench.counting import Writer, closing, delta_of, moved, size_of
from bench.material import HOUR_MS, Shape
from bench.parts import Asked
from bench.parts.streams import NAMES
from bench.report import Part, Table
from bench.rig import DATABASES
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import engine as storage

# The reference's hours have enough rows of each segment to know its wobble.
SHAPE: Final = Shape(floats=80, words=19, segments=20, hours=24, trained=4_000)
# Of an hour: a thousand a segment.
EVENTS: Final = 20_000
WARM: Final = 2
# A Monday, 00:00 UTC: no day ends within the hours that are judged.
START_MS: Final = 1_704_067_200_000


def judging(asked: Asked) -> Part:
    """Judge one hour after the other, each when the next one has begun."""
    part = Part("judging", "An hour judged")
    events = asked.some(EVENTS, 2_000)
    rows: list[tuple[Any, ...]] = []
    split: list[tuple[Any, ...]] = []
    for kind in DATABASES:
        url = asked.rig.database(kind, SHAPE)
        with closing(storage.create(url)) as engine:
            seconds, findings, shares = _judged(engine, events, asked.runs)
            speed = part.note_runs(kind, "ms", [1e3 * s for s in seconds])
            if kind == "postgresql":
                size = size_of(engine, "finding")
                part.note_runs("findings", "rows an hour", [findings])
                part.note_runs("finding_bytes", "bytes a row", [size["bytes"] / size["rows"]])
        asked.rig.drop(url)
        rows.append((NAMES[kind], speed.median, min(speed.runs), max(speed.runs), findings))
        split.append(
            (
                NAMES[kind],
                *(part.note_runs(f"{kind}_{name}", "ms", ms).median for name, ms in shares.items()),
            )
        )
    part.notes.append(
        f"{SHAPE.features} features and the prediction, {SHAPE.segments} segments, {events:,} "
        "events in the hour, one partition; a whole step of the evaluator: reading, judging, "
        "writing findings and incidents."
    )
    part.tables.append(Table("", ("", "ms", "fastest", "slowest", "findings written"), tuple(rows)))
    names = (
        "",
        "SQL that reads",
        "SQL that writes",
        "decoding, judging, making rows, building SQL",
    )
    part.tables.append(Table("Of which, ms", names, tuple(split)))
    return part


@contextmanager
def _in_sql(engine: Any) -> Iterator[dict[str, float]]:
    """Seconds that statements take until they are answered, commits among those that write."""
    spent = {"reading": 0.0, "writing": 0.0}
    began: list[float] = []

    def before(*_: Any) -> None:
        began.append(time.perf_counter())

    def after(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        verb = statement.split(None, 1)[0].upper()
        is_read = verb in ("SELECT", "WITH", "BEGIN", "ROLLBACK")
        spent["reading" if is_read else "writing"] += time.perf_counter() - began.pop()

    real = engine.dialect.do_commit

    def commit(connection: Any) -> None:
        start = time.perf_counter()
        real(connection)
        spent["writing"] += time.perf_counter() - start

    sa.event.listen(engine, "before_cursor_execute", before)
    sa.event.listen(engine, "after_cursor_execute", after)
    engine.dialect.do_commit = commit
    try:
        yield spent
    finally:
        engine.dialect.do_commit = real
        sa.event.remove(engine, "before_cursor_execute", before)
        sa.event.remove(engine, "after_cursor_execute", after)


def _judged(
    engine: Any, events: int, hours: int
) -> tuple[list[float], int, dict[str, list[float]]]:
    """Seconds of each hour's step, how many findings an hour has, and ms of each part of a step."""
    writer = Writer(engine, START_MS)
    delta = delta_of(SHAPE, writer.known, events)
    now_ms = START_MS
    evaluator = Evaluator(engine, EvaluateSettings(""), now_ms=lambda: now_ms)
    seconds: list[float] = []
    shares: dict[str, list[float]] = {"reading": [], "writing": [], "rest": []}
    for hour in range(WARM + hours):
        start_ms = START_MS + hour * HOUR_MS
        now_ms = writer.now_ms = start_ms + 3 * HOUR_MS
        writer.write(moved(delta, start_ms), start_ms + 2 * HOUR_MS)
        with _in_sql(engine) as spent:
            began = time.perf_counter()
            windows = evaluator.step()
            whole = time.perf_counter() - began
        if hour >= WARM:
            seconds.append(whole)
            for name, part_s in (*spent.items(), ("rest", whole - sum(spent.values()))):
                shares[name].append(1e3 * part_s)
            if not windows:
                raise RuntimeError("no window was judged")
    with engine.connect() as conn:
        found = conn.exec_driver_sql(
            "SELECT count(*) FROM finding WHERE length = 'hour' AND start_ms = "
            f"{START_MS + WARM * HOUR_MS}"
        )
        return seconds, int(found.scalar_one()), shares
