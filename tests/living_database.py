"""A small database with everything a page must show, made by the real code without a broker.

References are registered, events are counted by the consumer's loop and windows are judged by
the evaluator, in the order of sixteen days in May 2026; only the broker (`fake_source`) and the
clock are stand-ins. The same seed gives the same database. What happens:

====================  ===================================================================
parcel-delay 1        1 to 10 May: values of `temperature` go missing on the 5th and 6th, the
                      7th has too few rows, late events revise the 4th, retention takes
                      records of the 8th; `reading` wobbles so that a day cannot be judged
parcel-delay 2        replaces it from the 9th with a reference of its own: new carriers from
                      the 12th, `weight` drifts from the 13th and still does
taxi-out 1            a reference without times: uncalibrated
gate-hold 7           a reference, and events whose first window is not over
fare-estimate 3       events without a reference: a deficit
====================  ===================================================================
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import living_deliveries
import living_retraining
import numpy as np
import pandas as pd
import sqlalchemy as sa
from fake_source import FakeSource, FakeTopic
from hostile import Names
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline.stats.reference import Reference, build_reference
from monitor.clock import HeldClock
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

ZONE = ZoneInfo("Europe/Berlin")
FIRST_DAY = date(2026, 5, 1)
NOW = datetime(2026, 5, 16, 14, 40, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
ROWS_A_DAY = 320
# So few that no reference's limit holds.
FEW_ROWS = 60
SUCCESSOR_DAY = 8  # 9 May
CHECKPOINT_S = 30.0
MAX_RECORD_BYTES = 20_000
SECOND_MS, HOUR_MS, DAY_MS = 1_000, 3_600_000, 86_400_000


def day_ms(number: int) -> int:
    """The local midnight that begins day `number` (0 is 1 May)."""
    day = FIRST_DAY + timedelta(days=number)
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp() * 1_000)


@dataclass
class Living:
    """The parts, so that a test can let the world go on under an open page."""

    engine: Engine
    names: Names
    clock: HeldClock
    topic: FakeTopic
    source: FakeSource
    loop: Loop
    evaluator: Evaluator
    draw: np.random.Generator
    sent: int = 0

    def at(self, time_ms: int) -> None:
        """Let the clock reach an instant."""
        self.clock.advance(max(0, time_ms - self.clock.now_ms()) / 1_000)

    def send(self, payload: bytes, *, kafka_ms: int | None = None) -> None:
        """Write one record, in turns to both partitions."""
        self.topic.append(payload, self.sent % 2, kafka_ms or self.clock.now_ms())
        self.sent += 1

    def settle(self) -> None:
        """Read and checkpoint all there is."""
        for _ in range(40):
            self.loop.step()
            self.clock.advance(0.01)
            if all(self.source.assigned[p] == self.topic.end[p] for p in self.topic.end):
                break
        self.clock.advance(CHECKPOINT_S)
        self.loop.step()

    def judge(self) -> int:
        """Judge what is over."""
        return self.evaluator.step()

    def log(self, model: str, version: str, frame: pd.DataFrame) -> None:
        """Send a frame's rows as predictions, each as it happens."""
        for payload, time_ms in events(model, version, frame, self.names):
            self.send(payload, kafka_ms=time_ms + 2 * SECOND_MS)


def rows(
    draw: np.random.Generator, names: Names, times_ms: np.ndarray[Any, Any], **changed: Any
) -> pd.DataFrame:
    """Rows of the main model at the given instants; `changed` says what is not as usual."""
    n = len(times_ms)
    days = (times_ms + 2 * HOUR_MS) // DAY_MS
    late = draw.random(n) < 0.2
    temperature = draw.normal(12, 5, n)
    temperature[draw.random(n) < changed.get("missing", 0.01)] = np.nan
    carrier = draw.choice(names.carriers, n)
    if changed.get("newcomers"):
        is_new = draw.random(n) < changed["newcomers"]
        carrier = np.where(is_new, draw.choice(names.new_carriers, n), carrier)
    return pd.DataFrame(
        {
            "at": pd.to_datetime(times_ms, unit="ms", utc=True),
            names.weight: draw.normal(4.0, 1.0, n) + changed.get("shift", 0.0),
            names.distance: draw.pareto(1.3, n) * 40,
            names.stops: np.where(draw.random(n) < 0.85, 0, draw.integers(1, 9, n)),
            names.temperature: temperature,
            # Another level every day: nothing within a day tells of a drift.
            names.reading: np.sin(days * 2.4) * 50 + draw.normal(0, 0.5, n),
            names.express: draw.random(n) < 0.3,
            names.currency: "EUR",
            names.promo: pd.Series([None] * n, dtype="object"),
            names.carrier: pd.Series(carrier.astype(object)),
            names.depot: draw.choice(np.array(names.depots, object), n, p=[0.6, 0.3, 0.1]),
            names.channel: draw.choice(np.array(names.channels, object), n, p=[0.7, 0.28, 0.02]),
            "prediction": np.where(late, names.late, names.on_time).astype(object),
            "score": np.clip(draw.beta(2, 6, n) + 0.4 * late, 0, 1).round(4),
        }
    )


def spread(draw: np.random.Generator, start_ms: int, end_ms: int, n: int) -> np.ndarray[Any, Any]:
    """`n` instants of a span, in order."""
    return np.sort(draw.integers(start_ms, end_ms, n))


def main_reference(names: Names, *, seed: int, with_times: bool = True) -> Reference:
    """Six weeks of the main model before its first day."""
    draw = np.random.default_rng(seed)
    first_ms = day_ms(0) - 42 * DAY_MS
    frame = rows(draw, names, spread(draw, first_ms, day_ms(0), 42 * 150))
    return build_reference(
        frame if with_times else frame.drop(columns="at"),
        prediction="prediction",
        score="score",
        timestamp="at" if with_times else None,
        timezone=ZONE.key,
        segments=[names.depot, names.channel],
        importance={names.weight: 0.4, names.carrier: 0.3, names.temperature: 0.1},
    )


def events(
    model: str, version: str, frame: pd.DataFrame, names: Names
) -> Iterator[tuple[bytes, int]]:
    """A frame's rows as records, with their times."""
    features = [c for c in frame.columns if c not in ("at", "prediction", "score")]
    for number, row in enumerate(frame.to_dict("records")):
        time_ms = int(row["at"].timestamp() * 1_000)
        values = {f: None if row[f] != row[f] else _plain(row[f]) for f in features}
        event = {
            "type": "prediction",
            "id": f"{time_ms}-{number}",
            "model": model,
            "version": version,
            "time": time_ms,
            "features": values,
            "prediction": {"class": row["prediction"], "score": float(row["score"])},
            "tags": {"region": names.owner},
        }
        yield json.dumps(event).encode(), time_ms


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def begin(engine: Engine, names: Names | None = None) -> Living:
    """The parts around an upgraded database, before anything has happened."""
    clock = HeldClock(day_ms(0) - HOUR_MS)
    topic = FakeTopic(2)
    source = FakeSource(topic, clock)
    settings = IngestSettings(
        "",
        "",
        checkpoint_interval_s=CHECKPOINT_S,
        max_record_bytes=MAX_RECORD_BYTES,
        owner="ingest-1",
    )
    loop = Loop(engine, source, settings, clock, uniform=lambda low, high: low)
    evaluator = Evaluator(engine, EvaluateSettings(""), now_ms=clock.now_ms)
    source.give(*topic.logs)
    draw = np.random.default_rng(20260501)
    return Living(engine, names or Names(), clock, topic, source, loop, evaluator, draw)


def live(engine: Engine, names: Names | None = None) -> Living:
    """Fill an upgraded, empty database with the story of this module.

    Told twice it is the same to the row: what is drawn by lot for a model is given here.
    """
    with patch.object(registry, "new_nonce", lambda: "0123456789abcdef"):
        return _live(begin(engine, names))


def _live(world: Living) -> Living:
    names = world.names
    register(world, names.model, names.version, main_reference(names, seed=1))
    timeless = main_reference(names, seed=3, with_times=False)
    register(world, names.timeless, "1", timeless, description=None)
    register(world, names.collecting, "7", main_reference(names, seed=4), description=None)
    sender = None
    for number in range(16):
        if number == SUCCESSOR_DAY:
            reference = main_reference(names, seed=2)
            register(world, names.model, names.successor, reference, replaces=names.version)
        if number == living_deliveries.FIRST_TOLD_DAY:
            sender = living_deliveries.add(world)
        _day(world, number)
        world.judge()
        if sender is not None:
            living_deliveries.deliver(world, sender, goes_on=number < 15)
        if number == 14:
            living_deliveries.leave(world)
    living_retraining.ask(world, day_ms(0))
    return world


def waiting(engine: Engine, names: Names | None = None) -> Living:
    """A world in which a reference is registered and no event came yet."""
    world = begin(engine, names)
    register(world, world.names.model, world.names.version, main_reference(world.names, seed=4))
    return world


def hold(engine: Engine, model: str, version: str, partition: int = 4) -> int:
    """Let the newest day of a version have been closed without a partition; return its start.

    Written as the evaluator writes it when a partition's owner is gone for too long.
    """
    w, v, m = t.window.c, t.model_version.c, t.model.c
    owner = sa.select(v.id).join(t.model, m.id == v.model_id)
    owner = owner.where(m.name == model, v.name == version)
    with transaction(engine) as conn:
        here = (w.version_id == owner.scalar_subquery(), w.length == "day", w.segment == "all")
        start_ms = int(conn.execute(sa.select(sa.func.max(w.start_ms)).where(*here)).scalar_one())
        held = {"closed_by": "hold", "incomplete": json.dumps([f"hold: partition {partition}"])}
        conn.execute(sa.update(t.window).where(*here, w.start_ms == start_ms).values(**held))
        registry.bump_data_version(conn)
    return start_ms


def register(world: Living, model: str, version: str, reference: Reference, **given: Any) -> None:
    """Bind a reference as the API does."""
    given = {"owner": world.names.owner, "description": world.names.description} | given
    with transaction(world.engine) as conn:
        registry.register_reference(
            conn,
            # What is registered has been through its document.
            Reference.from_document(reference.to_document()),
            model=model,
            version=version,
            now_ms=world.clock.now_ms(),
            **given,
        )


def _day(world: Living, number: int) -> None:
    names, draw = world.names, world.draw
    start_ms, end_ms = day_ms(number), min(day_ms(number + 1), NOW_MS)
    n = FEW_ROWS if number == 6 else ROWS_A_DAY * (end_ms - start_ms) // DAY_MS
    times = spread(draw, start_ms, end_ms, n)
    if number == 15:
        times[-2:] = end_ms - 20 * SECOND_MS  # both partitions are up to date
    frames: list[tuple[str, str, pd.DataFrame]] = []
    if number <= SUCCESSOR_DAY + 1:
        missing = 0.35 if number in (4, 5) else 0.01
        frames.append((names.model, names.version, rows(draw, names, times, missing=missing)))
    if number >= SUCCESSOR_DAY:
        changed = {
            "newcomers": 0.15 if number >= 11 else 0.0,
            "shift": 0.9 if number >= 12 else 0.0,
        }
        frames.append((names.model, names.successor, rows(draw, names, times, **changed)))
    if number >= 10:
        frames.append((names.timeless, "1", rows(draw, names, times[::2])))
        frames.append((names.unmonitored, "3", rows(draw, names, times[::8])))
    if number == 15:
        last = spread(draw, end_ms - 15 * 60_000, end_ms - 60_000, 40)
        frames.append((names.collecting, "7", rows(draw, names, last)))
    records = [
        record
        for model, version, frame in frames
        for record in events(model, version, frame, names)
    ]
    records.sort(key=lambda record: record[1])
    world.at(end_ms - 90 * SECOND_MS)
    if number == 7:
        records = _lose(world, records)
    for payload, time_ms in records:
        world.send(payload, kafka_ms=time_ms + 2 * SECOND_MS)
    special = {5: _late, 9: _labels, 13: _letters}.get(number)
    if special is not None:
        special(world)
    world.at(end_ms - CHECKPOINT_S * SECOND_MS - 5 * SECOND_MS)
    world.settle()
    world.at(end_ms)


def _lose(world: Living, records: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Retention takes a third of the day from one partition before anybody read it."""
    cut = len(records) // 3
    for payload, time_ms in records[:cut]:
        world.topic.append(payload, 1, time_ms + 2 * SECOND_MS)
    world.topic.retain_from(world.topic.end[1], 1)
    return records[cut:]


def _late(world: Living) -> None:
    """Events of the 4th that arrive on the 6th, after their day was judged."""
    times = spread(world.draw, day_ms(3) + 9 * HOUR_MS, day_ms(3) + 12 * HOUR_MS, 40)
    frame = rows(world.draw, world.names, times)
    for payload, _ in events(world.names.model, world.names.version, frame, world.names):
        world.send(payload)


def _labels(world: Living) -> None:
    for number in range(200):
        event = {
            "type": "label",
            "id": f"{number}",
            "model": world.names.model,
            "time": world.clock.now_ms(),
            "label": number % 2,
        }
        world.send(json.dumps(event).encode())


def letters() -> Iterator[bytes]:
    """Records that are refused, each for a reason of its own."""
    good: dict[str, Any] = {
        "type": "prediction",
        "model": "fare-estimate",  # no reference: what is good of it changes no window
        "version": "3",
        "time": "2026-05-14T10:00:00Z",
        "features": {},
    }

    def but(**changed: Any) -> bytes:
        return json.dumps({k: v for k, v in (good | changed).items() if v is not ...}).encode()

    for _ in range(3):
        yield b'{"type": "prediction", "model": "fare-estimate"'
    yield b""
    yield b"[1, 2]"
    yield but(type=...)
    yield but(type="guess")
    yield but(model=...)
    yield but(model="\0")
    yield but(version=...)
    yield but(time=...)
    yield but(time="2026-05-14T10:00:00")
    yield but(time="yesterday")
    yield but(time="1926-05-14T10:00:00Z")
    yield but(time="2027-05-14T10:00:00Z")
    yield but(features=[1])
    yield but(type="label")
    yield but(type="label", id=1)
    yield but(features={"text": "x" * MAX_RECORD_BYTES})
    yield b"[" * 80 + b"]" * 80
    yield but() + b"\n{broken\n" + but(time=...)


def _letters(world: Living) -> None:
    for payload in (*letters(), *world.names.payloads):
        world.send(payload)


def database(
    folder: Path, fill: Callable[[Engine], object] | None = live, name: str = "living.db"
) -> Engine:
    """A new database of this release's schema in a folder, filled."""
    made = storage.create(f"sqlite:///{folder / name}")
    storage.upgrade(made)
    if fill is not None:
        fill(made)
    return made


if __name__ == "__main__":  # python tests/living_database.py FOLDER: for a look at it
    database(Path(sys.argv[1]))
