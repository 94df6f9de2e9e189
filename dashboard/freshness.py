"""How current the page is, in one word: from positions and two clocks, nothing else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dashboard.words import NBSP, duration, moment, plural, two
from monitor.storage.rows import Position

DAY_MS = 86_400_000
# An event time this far behind the wall clock is an old log being read again.
REPLAY_AFTER_MS = 30 * DAY_MS
# Below this, a missed heartbeat or two says nothing.
STALE_AT_LEAST_MS = 10_000
REPLAYING = "Replaying"


@dataclass(frozen=True)
class Freshness:
    """The word, its tone, and the words beside it; `alarm` is the banner of a stale page."""

    word: str
    tone: str
    detail: str
    badge: str | None = None
    alarm: str | None = None


@dataclass(frozen=True)
class Sample:
    """Where the watermark stood at an instant: two of them make a speed."""

    at_ms: int
    watermark_ms: int


def judge(
    positions: Sequence[Position],
    *,
    watermark_ms: int | None,
    now_ms: int,
    checkpoint_interval_s: float,
    before: Sample | None = None,
) -> Freshness:
    """Say whether the page is live.

    Live: everything read is counted, or is behind by less than two checkpoint
    intervals. Behind: more. Stale: no sign of life for three intervals.
    """
    # Not the watermark, to which is judged: the newest event that is counted.
    read_ms = max((p.max_event_time_ms for p in positions if p.max_event_time_ms), default=None)
    seen = [p.seen_ms for p in positions if p.seen_ms is not None]
    if not seen:
        return Freshness("Waiting", "idle", "for the first event")
    read_to = (
        f"read to {moment(read_ms, year=datetime.fromtimestamp(now_ms / 1000, UTC).year)}{NBSP}UTC"
        if read_ms is not None
        else "no event read yet"
    )
    if watermark_ms is None:
        read_to += "; first window still open"
    interval_ms = checkpoint_interval_s * 1000
    silent_ms = now_ms - max(seen)
    if silent_ms > max(3 * interval_ms, STALE_AT_LEAST_MS):
        since = moment(max(seen))
        return Freshness(
            "Stale",
            "crit",
            read_to,
            alarm=f"No checkpoint since {since}{NBSP}UTC, {duration(silent_ms)} ago. "
            "Events wait in Kafka and will be counted; nothing is lost. "
            "See that a consumer runs: driftline ingest.",
        )
    badge = replay_badge(watermark_ms, now_ms, before)
    lag = sum(p.lag for p in positions)
    behind_ms = max((_behind_ms(p) for p in positions), default=0.0)
    if behind_ms > 2 * interval_ms and badge is not None:
        # An old log that flows by is behind because it is old.
        speed = badge.removeprefix(f"{REPLAYING} ")
        return Freshness(REPLAYING, "ok", f"{plural(lag, 'record')} to count; {read_to}", speed)
    if behind_ms > 2 * interval_ms:
        return Freshness(
            "Behind",
            "warn",
            f"{duration(behind_ms)}, {plural(lag, 'record')} to count; {read_to}",
            badge,
        )
    if watermark_ms is None:
        return Freshness("Collecting", "idle", read_to, badge)
    return Freshness("Live", "ok", read_to, badge)


def _behind_ms(position: Position) -> float:
    """Kafka time between the last look at the log's end and the last record counted."""
    if not position.lag or position.last_counted_kafka_ms is None or position.fetched_ms is None:
        return 0.0
    return max(0.0, position.fetched_ms - position.last_counted_kafka_ms)


def replay_badge(watermark_ms: int | None, now_ms: int, before: Sample | None) -> str | None:
    """Return "Replaying 2013, 4 days a second" where an old log flows by."""
    if watermark_ms is None or now_ms - watermark_ms < REPLAY_AFTER_MS:
        return None
    year = datetime.fromtimestamp(watermark_ms / 1000, UTC).year
    if before is None or now_ms <= before.at_ms or watermark_ms <= before.watermark_ms:
        return None
    days = (watermark_ms - before.watermark_ms) / DAY_MS / ((now_ms - before.at_ms) / 1000)
    if days < 0.1:
        return None
    return (
        f"{REPLAYING} {year}, {two(days)}{NBSP}{'day' if two(days) == '1.0' else 'days'} a second"
    )
