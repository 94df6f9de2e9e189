"""What things cost as they grow: features, segments, models, K; and SQL by checkpoint interval."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from bench.counting import Writer, closing, delta_of, log_bytes, moved
from bench.material import HOUR_MS, Shape, json_records
from bench.parts import Asked
from bench.parts.streams import consume
from bench.picture import Panel, panels
from bench.report import Part, Table
from monitor.storage import engine as storage
from monitor.storage import schema as t

EVENTS: Final = 60_000
# Name, what it is said as, values, and the shape that each makes.
CURVES: Final[tuple[tuple[str, str, tuple[int, ...], Callable[[int], Shape]], ...]] = (
    ("features", "features (4 in 5 floats)", (5, 20, 50, 100, 200),
     lambda n: Shape(floats=n * 4 // 5, words=n - n * 4 // 5)),
    ("segments", "segments (25 features)", (0, 5, 20, 50, 100), lambda n: Shape(segments=n)),
    ("models", "models in turns (25 features)", (1, 10, 50, 200), lambda n: Shape(models=n)),
    ("bins", "K, bins of a float (25 features)", (16, 64, 256, 1_024), lambda n: Shape(bins=n)),
)  # fmt: skip
# SQL: a wide model with segments at a rate, on one partition.
WIDE: Final = Shape(floats=80, words=19, segments=20)
PER_SECOND: Final = 100
INTERVALS_S: Final = (1, 5, 30, 60, 300)
HALF_AN_HOUR: Final = 18  # times 10,000 events: what lies in the pane already
BASE: Final = 10_000
CHECKPOINTS: Final = 6
DAY_S: Final = 86_400
START_MS: Final = 1_704_067_200_000


def curves(asked: Asked) -> Part:
    """Every point on Kafka, then SQL without it."""
    part = Part("curves", "What things cost as they grow")
    runs = asked.runs
    charts = []
    for name, says, values, shape_of in CURVES:
        line = []
        rows: list[tuple[Any, ...]] = []
        for value in values:
            shape = shape_of(value)
            # Wide events take longer: each point about as long as the others.
            events = asked.some(EVENTS * 25 // max(25, shape.features), 2_000)
            found = _read(asked, shape, events, runs)
            speed = part.note_runs(
                f"{name}_{value}", "events/s", [events / one["seconds"] for one in found]
            )
            cpu = part.note_runs(
                f"{name}_{value}_cpu", "us an event", [1e6 * r["cpu_s"] / events for r in found]
            )
            rows.append((value, speed.median, cpu.median))
            line.append((float(value), speed.median))
        part.tables.append(
            Table(says[0].upper() + says[1:], (name, "events/s", "processor us an event"),
                  tuple(rows))
        )  # fmt: skip
        charts.append(Panel(f"Against {says}", name, "events/s", {"events/s": line}))
    part.notes.append(
        "JSON, kafka-python, into SQLite, on the consumer's core, to the last commit. K is no "
        "setting: the reference is cut otherwise for this table."
    )
    charts += _sql(asked, part)
    part.pictures["bench-curves.svg"] = panels(charts)
    return part


def _read(asked: Asked, shape: Shape, events: int, runs: int) -> list[dict[str, Any]]:
    topic = asked.rig.topic(json_records(shape, events))
    try:
        return [
            consume(asked.rig, topic, "kafka-python", "sqlite", shape, events) for _ in range(runs)
        ]
    finally:
        asked.rig.remove_topic(topic.name)


def _sql(asked: Asked, part: Part) -> list[Panel]:
    """Bytes of panes and of PostgreSQL's log, in the middle of an hour."""
    url = asked.rig.database("postgresql", WIDE)
    rows: list[tuple[Any, ...]] = []
    log_line, pane_line = [], []
    with closing(storage.create(url)) as engine:
        writer = Writer(engine, START_MS)
        base = delta_of(WIDE, writer.known, asked.some(BASE, 2_000))
        for place, interval_s in enumerate(INTERVALS_S):
            start_ms = START_MS + place * HOUR_MS
            writer.write(moved(base, start_ms, times=HALF_AN_HOUR), start_ms)
            added = delta_of(WIDE, writer.known, asked.some(PER_SECOND * interval_s, 100))
            before, seconds = log_bytes(engine), []
            for _ in range(CHECKPOINTS):
                delta = moved(added, start_ms)
                began = time.perf_counter()
                writer.write(delta, start_ms)
                seconds.append(time.perf_counter() - began)
            logged = (log_bytes(engine) - before) / CHECKPOINTS
            panes = len(base.panes)
            of_pane = _body_bytes(engine, start_ms)
            a_day = part.note_runs(
                f"log_{interval_s}s", "MB a day", [logged * DAY_S / interval_s / 1e6]
            )
            each = part.note_runs(f"pane_{interval_s}s", "bytes a pane", [of_pane])
            took = part.note_runs(f"sql_{interval_s}s", "ms", [1e3 * s for s in seconds])
            rows.append(
                (f"{interval_s} s", panes, took.median, each.median, logged / panes, a_day.median)
            )
            log_line.append((float(interval_s), a_day.median))
            pane_line.append((float(interval_s), logged / panes))
    asked.rig.drop(url)
    columns = (
        "checkpoint every", "panes touched", "ms", "bytes a pane", "log bytes a pane",
        "log MB a day",
    )  # fmt: skip
    part.tables.append(
        Table(
            f"PostgreSQL: one model of {WIDE.features} features and {WIDE.segments} segments, "
            f"{PER_SECOND} events/s on one partition, in the middle of an hour",
            columns, tuple(rows),
        )
    )  # fmt: skip
    return [
        Panel("PostgreSQL's log", "checkpoint interval, s", "MB a day", {"MB": log_line}, True),
        Panel("Log of one pane", "checkpoint interval, s", "bytes", {"bytes": pane_line}),
    ]


def _body_bytes(engine: sa.Engine, start_ms: int) -> float:
    size = sa.select(sa.func.avg(sa.func.length(t.pane.c.body))).where(
        t.pane.c.start_ms == start_ms
    )
    with engine.connect() as conn:
        return float(conn.execute(size).scalar_one())
