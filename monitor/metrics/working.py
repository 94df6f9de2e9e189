"""The series that only a role's own process knows, and whether it is ready.

Kept for `driftline ingest|evaluate|deliver --metrics-port`. The role tells what happens from its
own threads; a scrape reads from another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import CollectorRegistry

from monitor.clock import Clock
from monitor.metrics.exposing import Only, build_info, family
from monitor.storage.heartbeats import DEAD_AFTER_MS


class Working:
    """What every role tells: that its work goes on, and whether its database answers.

    Attributes
    ----------
    lock
        Held while anything of it is read or written.
    round_at_s
        Monotonic time when the work last went on; None = it has not begun.
    """

    def __init__(self, role: str, clock: Clock) -> None:
        self._role, self.clock = role, clock
        self.lock = threading.Lock()
        self._rounds = 0
        self.round_at_s: float | None = None
        self._database_at_s: float | None = None
        self._has_database = False
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(Only(self.collect))
        # Memory and CPU of the process; nothing where there is no /proc.
        ProcessCollector(registry=self.registry)

    def went_on(self) -> None:
        """Note that the work went on."""
        with self.lock:
            self._rounds += 1
            self.round_at_s = self.clock.monotonic_s()

    def database(self, *, is_up: bool) -> None:
        """Note that the database answered, or did not."""
        with self.lock:
            self._has_database = is_up
            if is_up:
                self._database_at_s = self.clock.monotonic_s()

    def not_ready(self) -> str | None:
        """Return why the role cannot work now; None when it can."""
        with self.lock:
            return self.why_not_ready()

    def why_not_ready(self) -> str | None:
        """Return the same inside the lock."""
        return None if self.is_database_up() else "the database does not answer"

    def is_database_up(self) -> bool:
        """Return whether it answered lately; asked inside the lock."""
        at_s = self._database_at_s
        # Nobody said no, and nobody has said yes for long: whoever asks it hangs.
        is_fresh = at_s is not None and self.clock.monotonic_s() - at_s <= DEAD_AFTER_MS / 1000
        return self._has_database and is_fresh

    def collect(self) -> Iterable[Metric]:
        """Return the families as they are now."""
        with self.lock:
            return list(self.families())

    def families(self) -> Iterator[Metric]:
        """Yield the families; called inside the lock."""
        yield build_info(self._role)
        yield family("driftline_database_up", {(): float(self.is_database_up())})
        yield family("driftline_ready", {(): float(self.why_not_ready() is None)})
        yield family("driftline_rounds_total", {(): self._rounds})
        if self.round_at_s is not None:
            age_s = self.clock.monotonic_s() - self.round_at_s
            yield family("driftline_round_age_seconds", {(): age_s})
