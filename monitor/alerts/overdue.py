"""Gives up what was asked for and nobody speaks of any more: requests for a retraining.

A trainer that is gone says nothing: that is found by looking, by whoever sends.
"""

from __future__ import annotations

from typing import Final

import structlog
from sqlalchemy.engine import Engine

from monitor.clock import Clock
from monitor.storage import retrains
from monitor.storage.engine import reading, transaction

log = structlog.get_logger(__name__)

# Deadlines are hours and days.
LOOK_S: Final = 10.0


class Overdue:
    """Ends requests past their deadline; any number of them may look at one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._next_s = clock.monotonic_s()

    def step(self) -> int:
        """End what is overdue where it is time to look; return how many requests that was.

        Raises
        ------
        StorageUnavailable
            The database cannot be used now.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return 0
        self._next_s = now_s + LOOK_S
        with reading(self._engine) as conn:
            # Whoever writes messages takes turns: nobody's is taken for nothing.
            if not retrains.is_overdue(conn, self._clock.now_ms()):
                return 0
        with transaction(self._engine) as conn:
            ended = retrains.expire(conn, self._clock.now_ms())
        for one in ended:
            log.warning(
                "a retraining expired", model=one.model, version=one.version, request=one.id,
                why=one.events[-1].words,
            )  # fmt: skip
        return len(ended)
