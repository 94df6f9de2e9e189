"""How long an evaluator takes for an hour of many features and segments that is over."""

from __future__ import annotations

import time
from typing import Any, Final

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
    for kind in DATABASES:
        url = asked.rig.database(kind, SHAPE)
        with closing(storage.create(url)) as engine:
            seconds, findings = _judged(engine, events, asked.runs)
            speed = part.note_runs(kind, "ms", [1e3 * s for s in seconds])
            if kind == "postgresql":
                size = size_of(engine, "finding")
                part.note_runs("findings", "rows an hour", [findings])
                part.note_runs("finding_bytes", "bytes a row", [size["bytes"] / size["rows"]])
        asked.rig.drop(url)
        rows.append((NAMES[kind], speed.median, min(speed.runs), max(speed.runs), findings))
    part.notes.append(
        f"{SHAPE.features} features and the prediction, {SHAPE.segments} segments, {events:,} "
        "events in the hour, one partition; a whole step of the evaluator: reading, judging, "
        "writing findings and incidents."
    )
    part.tables.append(Table("", ("", "ms", "fastest", "slowest", "findings written"), tuple(rows)))
    return part


def _judged(engine: Any, events: int, hours: int) -> tuple[list[float], int]:
    """Seconds of each hour's step, and how many findings an hour has."""
    writer = Writer(engine, START_MS)
    delta = delta_of(SHAPE, writer.known, events)
    now_ms = START_MS
    evaluator = Evaluator(engine, EvaluateSettings(""), now_ms=lambda: now_ms)
    seconds = []
    for hour in range(WARM + hours):
        start_ms = START_MS + hour * HOUR_MS
        now_ms = writer.now_ms = start_ms + 3 * HOUR_MS
        writer.write(moved(delta, start_ms), start_ms + 2 * HOUR_MS)
        began = time.perf_counter()
        windows = evaluator.step()
        if hour >= WARM:
            seconds.append(time.perf_counter() - began)
            if not windows:
                raise RuntimeError("no window was judged")
    with engine.connect() as conn:
        found = conn.exec_driver_sql(
            "SELECT count(*) FROM finding WHERE length = 'hour' AND start_ms = "
            f"{START_MS + WARM * HOUR_MS}"
        )
        return seconds, int(found.scalar_one())
