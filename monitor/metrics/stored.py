"""The series that the database knows: positions, outcomes, delays, incidents, deliveries.

Read when Prometheus asks, by any number of web processes alike, so that a consumer that is gone
is seen as well as one that works. What was read is told again for a second: many who ask at once
cost one reading.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

import structlog
from prometheus_client import Metric
from prometheus_client.registry import CollectorRegistry
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.errors import StorageUnavailable
from monitor.clock import Clock
from monitor.detect.spec import MonitorSpec
from monitor.metrics.exposing import Only, build_info, family
from monitor.storage.engine import reading
from monitor.storage.reads.measured import ROLES, Measured, VersionTime, measured
from monitor.storage.rows import Position
from monitor.windows.watermark import watermark

log = structlog.get_logger(__name__)

KEPT_S: Final = 1.0


class Stored:
    """What one database knows, as series.

    Parameters
    ----------
    idle_timeout_s, stalled_after_s
        As the evaluator has them: the delays are measured by its watermark.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        idle_timeout_s: float = 60.0,
        stalled_after_s: float = 90.0,
        kept_s: float = KEPT_S,
    ) -> None:
        self._engine, self._clock, self._kept_s = engine, clock, kept_s
        self._idle_ms, self._stalled_ms = int(idle_timeout_s * 1000), int(stalled_after_s * 1000)
        self._lock = threading.Lock()
        self._read_at_s = float("-inf")
        self._families: list[Metric] = []
        self._is_up = True
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(Only(self.collect))

    def collect(self) -> Iterable[Metric]:
        """Return the families; where the database does not answer, that and the build alone."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s - self._read_at_s >= self._kept_s:
                self._families = [build_info("web"), *self._read()]
                # A database that is away is asked once a second, too.
                self._read_at_s = self._clock.monotonic_s()
            return self._families

    def _read(self) -> list[Metric]:
        try:
            with reading(self._engine) as conn:
                found = measured(conn)
        except (StorageUnavailable, SQLAlchemyError) as error:
            if self._is_up:  # said once
                log.warning("the database cannot be measured", error=str(error))
            self._is_up = False
            return [family("driftline_database_up", {(): 0.0})]
        self._is_up = True
        now_ms = self._clock.now_ms()
        return [
            family("driftline_database_up", {(): 1.0}),
            *_partitions(found, now_ms),
            *_records(found),
            *self._delays(found, now_ms),
            *_told(found, now_ms),
        ]

    def _delays(self, found: Measured, now_ms: int) -> Iterable[Metric]:
        behind: dict[tuple[str, str], float] = {}
        unjudged: dict[tuple[str, str], float] = {}
        for one in found.versions:
            delays = self._delays_of(one, now_ms)
            if delays is not None:
                behind[one.model, one.version], unjudged[one.model, one.version] = delays
        yield family("driftline_watermark_delay_seconds", behind)
        yield family("driftline_evaluator_delay_seconds", unjudged)

    def _delays_of(self, one: VersionTime, now_ms: int) -> tuple[float, float] | None:
        """Return how far the watermark is behind the clock, and the evaluator behind it."""
        known = [p.max_event_time_ms for p in one.partitions if p.max_event_time_ms is not None]
        if one.monitor is None or not known:
            return None
        spec = MonitorSpec.from_json(one.monitor)
        mark = watermark(
            one.partitions,
            now_ms=now_ms,
            lateness_ms=spec.lateness_ms,
            idle_timeout_ms=self._idle_ms,
            stalled_after_ms=self._stalled_ms,
            max_hold_ms=spec.max_hold_ms,
        )
        event_ms = max(known) - spec.lateness_ms if mark.is_final else mark.time_ms
        if event_ms is None:  # a partition that has yet to say anything
            event_ms = min(known) - spec.lateness_ms
        behind = 0.0 if mark.is_final else max(0.0, (now_ms - event_ms) / 1000)
        judged_to_ms = min(known) if one.judged_to_ms is None else one.judged_to_ms
        return behind, max(0.0, (event_ms - judged_to_ms) / 1000)


def _partitions(found: Measured, now_ms: int) -> Iterable[Metric]:
    places = {(str(p.stream_id), p.topic, str(p.partition)): p for p in found.positions}
    behind = {
        place: behind_s for place, p in places.items() if (behind_s := _behind_s(p)) is not None
    }
    ages = {
        place: max(0, now_ms - p.seen_ms) / 1000
        for place, p in places.items()
        if p.seen_ms is not None
    }
    yield family("driftline_partition_lag_records", {k: p.lag for k, p in places.items()})
    yield family("driftline_partition_behind_seconds", behind)
    yield family("driftline_partition_look_age_seconds", ages)
    yield family("driftline_partition_offset", {k: p.next_offset for k, p in places.items()})
    yield family(
        "driftline_partition_checkpoints_total", {k: p.checkpoints for k, p in places.items()}
    )
    yield family("driftline_partition_fenced_total", {k: p.fenced for k, p in places.items()})
    streams = {p.stream_id: (str(p.stream_id), p.topic) for p in found.positions}
    yield family("driftline_stopped", {k: id_ in found.stopped for id_, k in streams.items()})
    yield family(
        "driftline_replay_under_way", {k: id_ in found.replayed for id_, k in streams.items()}
    )


def _behind_s(p: Position) -> float | None:
    """Return Kafka time from the last record counted to the last look; None = none was counted."""
    if not p.lag:
        return 0.0
    if p.fetched_ms is None or p.last_counted_kafka_ms is None:
        return None
    return max(0, p.fetched_ms - p.last_counted_kafka_ms) / 1000


def _records(found: Measured) -> Iterable[Metric]:
    counted: dict[tuple[str, ...], float] = {}
    late: dict[tuple[str, ...], float] = {}
    unknown: dict[tuple[str, ...], float] = {}
    dead: dict[tuple[str, ...], float] = {}
    for (model, outcome), count in found.outcomes.items():
        if outcome.startswith("dead:"):
            dead[(outcome.removeprefix("dead:"),)] = count
            counted["", "dead"] = counted.get(("", "dead"), 0) + count
        elif outcome == "late":
            late[(model,)] = count
        elif outcome == "unknown_feature":
            unknown[(model,)] = count
        else:
            counted[model, outcome] = count
    yield family("driftline_records_total", counted)
    yield family("driftline_late_records_total", late)
    yield family("driftline_unknown_features_total", unknown)
    yield family("driftline_dead_letters_total", dead)
    yield family("driftline_gaps_total", {(kind,): n for kind, (n, _) in found.gaps.items()})
    yield family(
        "driftline_lost_offsets_total", {(kind,): lost for kind, (_, lost) in found.gaps.items()}
    )


def _told(found: Measured, now_ms: int) -> Iterable[Metric]:
    overdue_ms = 0 if found.due_ms is None else max(0, now_ms - found.due_ms)
    alive = dict.fromkeys(((role,) for role in ROLES), 0)
    for beat in found.beats:
        alive[(beat.role,)] += beat.is_alive(now_ms)
    yield family("driftline_open_incidents", found.incidents)
    yield family("driftline_deliveries", {(s,): n for s, n in found.deliveries.items()})
    yield family("driftline_delivery_overdue_seconds", {(): overdue_ms / 1000})
    yield family("driftline_endpoints_disabled", {(): found.endpoints_disabled})
    yield family("driftline_role_instances", alive)
