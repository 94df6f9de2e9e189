"""A consumer's loop on a made-up topic and a real database, with the time held."""

from __future__ import annotations

import sqlalchemy as sa
from fake_source import KAFKA_MS, FakeSource, FakeTopic
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from monitor.clock import HeldClock
from monitor.storage import schema as t

INTERVAL_S = 30.0


class Rig:
    """One member on one topic and one database, with the time held."""

    def __init__(self, engine: Engine, partitions: int = 1, **settings: object) -> None:
        self.engine, self.clock = engine, HeldClock(now_ms=KAFKA_MS)
        self.topic = FakeTopic(partitions)
        self.settings = IngestSettings(
            "",
            "",
            checkpoint_interval_s=INTERVAL_S,
            **settings,  # type: ignore[arg-type]
        )
        self.start()

    def start(self) -> None:
        """A new process; the old one is gone with everything it held."""
        self.source = FakeSource(self.topic, self.clock)
        self.loop = Loop(self.engine, self.source, self.settings, self.clock)
        self.source.give(*self.topic.logs)

    def settle(self, rounds: int = 3) -> None:
        """Read what there is and checkpoint it."""
        for _ in range(rounds):
            self.loop.step()
            self.clock.advance(INTERVAL_S + 0.1)
        self.loop.step()


def gaps(engine: Engine) -> list[tuple[str, int, int]]:
    """Return the stored gaps: kind, from, to."""
    g = t.data_gap.c
    with engine.connect() as conn:
        return [tuple(r) for r in conn.execute(sa.select(g.kind, g.from_offset, g.to_offset))]


def letters(engine: Engine) -> list[sa.Row[tuple[object, ...]]]:
    """Return the dead letters in the order of the log."""
    order = (t.dead_letter.c.offset, t.dead_letter.c.line)
    with engine.connect() as conn:
        return list(conn.execute(sa.select(t.dead_letter).order_by(*order)))
