"""What was sent long ago is forgotten, a little at a time, by whoever sends.

What waits is never touched, however old. Messages that were given up are kept longer: they are
what somebody did not hear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.engine import Engine

from monitor.clock import Clock
from monitor.storage import deliveries
from monitor.storage.engine import transaction

log = structlog.get_logger(__name__)

DAY_MS: Final = 86_400_000
# One transaction forgets so many: some 30 ms for bodies of 2 kB, and nobody waits for it longer.
AT_ONCE: Final = 500
# Between two looks that find nothing more.
LOOK_S: Final = 600.0


@dataclass(frozen=True)
class Keep:
    """For how many days a message is kept after its end, with its attempts."""

    sent_days: int = 90
    dead_days: int = 365

    def until_ms(self, state: str, now_ms: int) -> int:
        """Return before when one must have ended to be forgotten."""
        days = self.dead_days if state == "dead" else self.sent_days
        return now_ms - days * DAY_MS


class Expiry:
    """Forgets messages; any number of them may run on one database.

    Parameters
    ----------
    keep
        For how long what is kept.
    at_once
        How many messages one transaction forgets at most.
    """

    def __init__(self, engine: Engine, clock: Clock, keep: Keep, *, at_once: int = AT_ONCE) -> None:
        self._engine, self._clock, self._keep, self._at_once = engine, clock, keep, at_once
        self._next_s = clock.monotonic_s()
        self._forgotten = 0

    def step(self) -> int:
        """Forget one batch where it is time to look; return how many messages that was.

        Raises
        ------
        StorageUnavailable
            The database cannot be used now.
        """
        if self._clock.monotonic_s() < self._next_s:
            return 0
        now_ms = self._clock.now_ms()
        for state in deliveries.FINISHED:
            with transaction(self._engine) as conn:
                count = deliveries.forget(
                    conn, state, self._keep.until_ms(state, now_ms), self._at_once
                )
            if count:
                self._forgotten += count
                return count
        if self._forgotten:
            log.info("forgot what was sent long ago", messages=self._forgotten)
        self._forgotten, self._next_s = 0, self._clock.monotonic_s() + LOOK_S
        return 0
