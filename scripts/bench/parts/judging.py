"""How long an evaluator takes for an hour of many features and segments that is over."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psutil
import sqlalchemy as sa

from bench.counting import Writer, closing, delta_of, moved, size_of
from bench.material import HOUR_MS, Shape
from bench.parts import Asked
from bench.parts.streams import NAMES
from bench.report import Part, Table
from bench.rig import DATABASES, Rig
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import engine as storage
from monitor.storage.delta import Delta

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
    deltas: list[Delta] = []
    for kind in DATABASES:
        url = asked.rig.database(kind, SHAPE)
        with closing(storage.create(url)) as engine:
            if not deltas:
                deltas = _hours(engine, events, WARM + asked.runs)
            found = _judged(asked.rig, engine, deltas)
            speed = part.note_runs(kind, "ms", found["whole"])
            cpu = part.note_runs(f"{kind}_cpu", "ms", found["cpu"]).median
            # Told in hundredths of a second: of all hours together.
            server = sum(found["server"]) / len(found["server"])
            part.note_runs(f"{kind}_server_cpu", "ms", [server])
            findings = _findings(engine)
            if kind == "postgresql":
                size = size_of(engine, "finding")
                part.note_runs("findings", "rows an hour", [findings])
                part.note_runs("finding_bytes", "bytes a row", [size["bytes"] / size["rows"]])
        asked.rig.drop(url)
        times = (speed.median, min(speed.runs), max(speed.runs))
        rows.append((NAMES[kind], *times, cpu, server, findings))
        split.append(
            (
                NAMES[kind],
                *(
                    part.note_runs(f"{kind}_{name}", "ms", found[name]).median
                    for name in ("reading", "writing", "rest")
                ),
            )
        )
    part.notes.append(
        f"{SHAPE.features} features and the prediction, {SHAPE.segments} segments, {events:,} "
        "events in each hour, other ones in each, one partition; a whole step of the evaluator: "
        "reading, judging, writing findings and incidents. CPU time is the evaluator's, and that "
        "of PostgreSQL's processes."
    )
    heads = ("", "ms", "fastest", "slowest", "CPU ms", "server's CPU ms", "findings written")
    part.tables.append(Table("", heads, tuple(rows)))
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


def _hours(engine: Any, events: int, hours: int) -> list[Delta]:
    """Hours of events that differ: what does not change is not written."""
    known = Writer(engine, START_MS).known
    return [delta_of(SHAPE, known, events, seed=1 + hour) for hour in range(hours)]


def _findings(engine: Any) -> int:
    """How many findings an hour has."""
    with engine.connect() as conn:
        found = conn.exec_driver_sql(
            "SELECT count(*) FROM finding WHERE length = 'hour' AND start_ms = "
            f"{START_MS + WARM * HOUR_MS}"
        )
        return int(found.scalar_one())


def _server_s(rig: Rig, engine: Any) -> float:
    """CPU time that the database's own processes have taken; SQLite has none."""
    server = rig.databases.server if engine.dialect.name == "postgresql" else None
    if server is None or server._process is None:
        return 0.0
    root = psutil.Process(server._process.pid)
    times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _judged(rig: Rig, engine: Any, deltas: Sequence[Delta]) -> dict[str, list[float]]:
    """ms of each hour's step: the whole, its parts, and CPU time here and of the server."""
    writer = Writer(engine, START_MS)
    now_ms = START_MS
    evaluator = Evaluator(engine, EvaluateSettings(""), now_ms=lambda: now_ms)
    names = ("whole", "cpu", "server", "reading", "writing", "rest")
    out: dict[str, list[float]] = {name: [] for name in names}
    for hour, delta in enumerate(deltas):
        start_ms = START_MS + hour * HOUR_MS
        now_ms = writer.now_ms = start_ms + 3 * HOUR_MS
        writer.write(moved(delta, start_ms), start_ms + 2 * HOUR_MS)
        with _in_sql(engine) as spent:
            server, cpu, began = _server_s(rig, engine), time.process_time(), time.perf_counter()
            windows = evaluator.step()
            found = {"whole": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        found |= {"server": _server_s(rig, engine) - server, **spent}
        found["rest"] = found["whole"] - sum(spent.values())
        if hour >= WARM:
            for name, seconds in found.items():
                out[name].append(1e3 * seconds)
            if not windows:
                raise RuntimeError("no window was judged")
    return out
