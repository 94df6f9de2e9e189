"""A log in which a model drifts after three days, and what is known of it in the end.

What is known is read without whatever may differ between two readings of one log: owners, wall
times, numbers of revisions, what closed a window, and which partition a row came by.
"""

from __future__ import annotations

import functools
import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import sqlalchemy as sa
from fake_source import KAFKA_MS, FakeSource, FakeTopic, positions
from sqlalchemy.engine import Connection, Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference, build_reference
from monitor.clock import HeldClock
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

# A Monday, 00:00 UTC. All of the log lies within the days in which a window is judged anew.
START_MS: Final = 1_704_067_200_000
HOUR_MS: Final = 3_600_000
HOURS: Final = 5 * 24
DRIFT_HOUR: Final = 2 * 24
# As many as an hour needs to be judged, and a few more.
ROWS_AN_HOUR: Final = 40
IDLE_S: Final = 1.0


def _rows(hours: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    n = hours * ROWS_AN_HOUR
    return pd.DataFrame(
        {
            "x": draw.normal(size=n).round(4),
            "kind": draw.choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2]),
            "site": draw.choice(["north", "south"], size=n),
        }
    )


@functools.cache
def reference() -> Reference:
    """Four weeks before the log, without any drift."""
    frame = _rows(28 * 24, 1)
    times = START_MS - (len(frame) - np.arange(len(frame))) * (HOUR_MS // ROWS_AN_HOUR)
    frame["at"] = pd.to_datetime(times, unit="ms", utc=True)
    return build_reference(frame, timestamp="at", categorical=("kind", "site"), segments=["site"])


@functools.cache
def log() -> tuple[bytes, ...]:
    """Predictions in the order of their times, and among them labels and what is no event."""
    frame = _rows(HOURS, 2)
    values = []
    for i, (x, kind, site) in enumerate(frame.itertuples(index=False)):
        time_ms = START_MS + i * (HOUR_MS // ROWS_AN_HOUR)
        shift = 0.9 if time_ms >= START_MS + DRIFT_HOUR * HOUR_MS else 0.0
        features = {"x": x + shift, "kind": "new" if i % 997 == 0 else kind, "site": site}
        event = {"type": "prediction", "model": "m", "version": "1", "id": f"e{i}", "time": time_ms}
        values.append(json.dumps(event | {"features": features}).encode())
        if i % 50 == 0:
            label = {"type": "label", "model": "m", "id": f"e{i}", "time": time_ms, "label": "yes"}
            values.append(json.dumps(label).encode())
        if i % 600 == 0:
            values += [b"{", json.dumps(event | {"version": "unknown"}).encode()]
    return tuple(values)


def register(engine: Engine) -> None:
    """Bind the reference."""
    with transaction(engine) as conn:
        registry.register_reference(conn, reference(), model="m", version="1", now_ms=0)


def disordered(rng: random.Random, partitions: int, hours: float) -> list[list[bytes]]:
    """Return the log spread over partitions, each record up to so many hours late or early."""
    held = sorted(
        enumerate(log()), key=lambda item: item[0] + rng.uniform(-1, 1) * hours * ROWS_AN_HOUR
    )
    spread: list[list[bytes]] = [[] for _ in range(partitions)]
    for _, value in held:
        spread[rng.randrange(partitions)].append(value)
    return spread


def read(
    engine: Engine,
    spread: Sequence[Sequence[bytes]],
    *,
    workers: int = 1,
    batch: int = 500,
    rng: random.Random | None = None,
) -> HeldClock:
    """Read the partitions from a made-up broker until all are counted and idle.

    Parameters
    ----------
    batch
        Records of a poll.
    rng
        What decides who is given which partition, who reads when, how much is there already, and
        when an evaluator looks in between; None: everything is read in order, and nobody looks.

    Returns
    -------
    HeldClock
        The time at the end.
    """
    topic, clock = FakeTopic(len(spread)), HeldClock(now_ms=KAFKA_MS)
    uniform = rng.uniform if rng else (lambda low, _high: low)
    members = []
    for _ in range(workers):
        source = FakeSource(topic, clock, max_records=batch)
        settings = IngestSettings("", "", checkpoint_interval_s=5.0)
        members.append((source, Loop(engine, source, settings, clock, uniform)))
    for partition in topic.logs:
        members[partition % workers][0].give(partition)
    # About ten rounds, whatever a poll brings.
    most = len(log()) // (5 * len(spread))
    waiting = {partition: list(reversed(values)) for partition, values in enumerate(spread)}
    while any(waiting.values()):
        for partition, values in waiting.items():
            here = len(values) if rng is None else rng.randrange(1 + most)
            topic.extend((values.pop() for _ in range(min(here, len(values)))), partition)
        if rng is not None:
            _disturb(rng, topic, members)
        for _, loop in members:
            if rng is None or rng.random() < 0.7:
                loop.step()
        clock.advance(uniform(0.5, 4.0))
        if rng is not None and rng.random() < 0.3:
            judge(engine, clock.now_ms())
    for source, _ in members:  # who was left in the belief that it has a partition learns of it
        source.take(*topic.logs.keys() - source.assigned.keys(), kind="lost")
    for _ in range(1_000):
        clock.advance(5.1)
        for _, loop in members:
            loop.step()
        at = {row.partition: row for row in positions(engine)}
        is_read = {p: row.next_offset for p, row in at.items()} == topic.end
        if is_read and all(row.caught_up_for_ms > IDLE_S * 1_000 for row in at.values()):
            return clock
    raise AssertionError("it is not read to its end")


def _disturb(
    rng: random.Random, topic: FakeTopic, members: Sequence[tuple[FakeSource, Loop]]
) -> None:
    """Now and then move a partition from its member to another, who may be behind its back."""
    if rng.random() > 0.3 or len(members) == 1:
        return
    partition = rng.choice(list(topic.logs))
    sources = [source for source, _ in members]
    to = rng.choice(sources)
    is_known = rng.random() < 0.5
    for source in sources:
        if source is not to and partition in source.assigned:
            if is_known:
                source.take(partition, kind=rng.choice(["revoked", "lost"]))
            else:
                source.assigned.pop(partition)
    to.give(partition)


def judge(engine: Engine, now_ms: int) -> int:
    """Let an evaluator that knows nothing look once."""
    settings = EvaluateSettings("", idle_timeout_s=IDLE_S, stalled_after_s=60.0)
    return Evaluator(engine, settings, now_ms=lambda: now_ms).step()


def facts(engine: Engine) -> dict[str, Any]:
    """Counts, latest findings and episodes."""
    with engine.connect() as conn:
        return {
            "panes": _panes(conn),
            "counters": _counters(conn),
            "letters": _letters(conn),
            "windows": _plain(conn, t.window, "revision", "rev_sum", "judged_ms", "closed_by"),
            "findings": _plain(conn, t.finding),
            "days": _plain(conn, t.finding_day),
            "models": _plain(conn, t.model_window),
            "latches": _plain(conn, t.latch),
            # What was told and withdrawn, who read all of it at once never told.
            "episodes": [
                row for row in _plain(conn, t.incident, "number") if "withdrawn" not in row
            ],
        }


def _plain(conn: Connection, table: sa.Table, *left_out: str) -> list[tuple[str, ...]]:
    names = [column.name for column in table.c if column.name not in left_out]
    rows = conn.execute(sa.select(*(table.c[name] for name in names)))
    return sorted(tuple(map(str, row)) for row in rows)


def _panes(conn: Connection) -> dict[tuple[int, str], Any]:
    total: dict[tuple[int, str], Profile] = {}
    for row in conn.execute(sa.select(t.pane)):
        profile = Profile.from_bytes(reference().gridset, row.body)
        assert profile.rows == row.rows
        key = (row.start_ms, row.segment)
        total[key] = total[key] + profile if key in total else profile
    return {
        key: (
            profile.counts.tolist(),
            None if profile.sums is None else profile.sums.tolist(),
            # Of no value at all there is neither.
            profile.low.tolist(),
            profile.high.tolist(),
        )
        for key, profile in total.items()
    }


def _counters(conn: Connection) -> dict[tuple[str, str, str], int]:
    """By model, version and outcome; which events are late, the order in a partition says."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in conn.execute(sa.select(t.counter)):
        if row.outcome != "late":
            found[row.model, row.version, row.outcome] += row._mapping["count"]
    return dict(found)


def _letters(conn: Connection) -> list[tuple[str, str, bytes]]:
    d = t.dead_letter.c
    rows = conn.execute(sa.select(d.reason, d.detail, d.payload))
    return sorted((row.reason, row.detail, bytes(row.payload)) for row in rows)


def different(must: dict[str, Any], have: dict[str, Any]) -> list[str]:
    """What is not the same, a line each."""
    return [_first(name, must[name], have[name]) for name in must if must[name] != have[name]]


def _first(name: str, must: Any, have: Any) -> str:
    if isinstance(must, dict):
        keys = [k for k in must.keys() | have.keys() if must.get(k) != have.get(k)]
        return f"{name}: {len(keys)} differ, as {keys[0]}: {have.get(keys[0])!r:.300}"
    more, less = (
        list((Counter(a) - Counter(b)).elements()) for a, b in ((have, must), (must, have))
    )
    return f"{name}: {len(more)} too many {more[:1]!r:.600}, {len(less)} missing {less[:1]!r:.600}"
