"""What a consumer's process tells Prometheus, and whether it is ready.

Ready is who owns partitions or stands by for those who do, and whose broker and database
answered at the last attempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily

from consumers.meter import Result, Standing
from monitor.clock import Clock
from monitor.metrics.exposing import family
from monitor.metrics.names import FAMILIES
from monitor.metrics.working import Working

# A checkpoint on one machine takes milliseconds; one that takes ten seconds is in trouble, and
# the session of a default consumer is over after 45.
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 45.0)
# The loop comes round several times a second; a poll, a decode and a checkpoint of the largest
# batch take seconds.
STUCK_S: Final = 60.0


class Ingesting(Working):
    """What a consumer's process tells besides; a `consumers.meter.Meter`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("ingest", clock)
        self._standing = Standing(is_open=False)
        self._down: set[str] = set()
        self._has_broker = False
        self._checkpoints: dict[Result, list[int]] = {}
        self._seconds: dict[Result, float] = {}
        self._rebalances = dict.fromkeys(("assigned", "revoked", "lost"), 0)
        self._errors: dict[str, int] = {}

    def stepped(self, standing: Standing) -> None:
        """See `consumers.meter.Meter.stepped`."""
        self.went_on()
        with self.lock:
            self._standing = standing

    def checkpointed(self, result: Result, seconds: float) -> None:
        """See `consumers.meter.Meter.checkpointed`."""
        with self.lock:
            counts = self._checkpoints.setdefault(result, [0] * (len(BUCKETS_S) + 1))
            counts[sum(seconds > edge for edge in BUCKETS_S)] += 1
            self._seconds[result] = self._seconds.get(result, 0.0) + seconds

    def rebalanced(self, kind: Literal["assigned", "revoked", "lost"]) -> None:
        """See `consumers.meter.Meter.rebalanced`."""
        with self.lock:
            self._rebalances[kind] += 1

    def poll_failed(self, error: Exception) -> None:
        """See `consumers.meter.Meter.poll_failed`."""
        with self.lock:
            # What the client raised, where ours only passes it on: a bounded set of classes.
            kind = type(error.__cause__ or error).__name__
            self._errors[kind] = self._errors.get(kind, 0) + 1

    def answers(self, part: str, *, is_up: bool) -> None:
        """See `consumers.meter.Meter.answers`."""
        with self.lock:
            if is_up:
                self._down.discard(part)
                self._has_broker |= part == "broker"
            else:
                self._down.add(part)
        if part == "database":
            self.database(is_up=is_up)

    def _is_broker_up(self) -> bool:
        return self._has_broker and "broker" not in self._down

    def why_not_ready(self) -> str | None:
        """See `Working.why_not_ready`."""
        at_s = self.round_at_s
        if at_s is None:
            return "the loop has not begun"
        if self.clock.monotonic_s() - at_s > STUCK_S:
            return f"the loop stands still for more than {STUCK_S:.0f} s"
        if not self.is_database_up():
            return "the database does not answer"
        if not self._is_broker_up():
            return "the broker does not answer"
        if "topic" in self._down:
            return "the topic does not exist"
        # Whoever owns nothing stands by for those who do.
        return None if self._standing.is_open else "the topic is not open yet"

    def families(self) -> Iterator[Metric]:
        """See `Working.families`."""
        yield from super().families()
        now = self._standing
        yield family("driftline_broker_up", {(): float(self._is_broker_up())})
        yield family("driftline_partitions", {("assigned",): now.owned, ("claimed",): now.claimed})
        yield family("driftline_held_events", {(): now.rows})
        yield family("driftline_held_bytes", {(): now.n_bytes})
        yield family("driftline_reading_paused", {(): float(now.is_pressed)})
        yield family("driftline_rebalances_total", {(k,): n for k, n in self._rebalances.items()})
        yield family("driftline_poll_errors_total", {(k,): n for k, n in self._errors.items()})
        known = FAMILIES["driftline_checkpoint_seconds"]
        found = HistogramMetricFamily(
            "driftline_checkpoint_seconds", known.help, labels=known.labels
        )
        for result, counts in self._checkpoints.items():
            edges = [*(f"{edge:g}" for edge in BUCKETS_S), "+Inf"]
            sums = [sum(counts[: i + 1]) for i in range(len(counts))]
            found.add_metric(
                [result], list(zip(edges, sums, strict=True)), sum_value=self._seconds[result]
            )
        yield found
