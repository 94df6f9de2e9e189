"""How current the page is, in one word: from positions and two clocks, nothing else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dashboard.words import NBSP, duration, moment, plural, two, zone_name
from driftline.program import command
from monitor.storage.rows import Position
from monitor.views.pipeline import behind_after_ms, behind_ms

DAY_MS = 86_400_000
UTC_ZONE = ZoneInfo("UTC")
# An event time this far behind the wall clock is an old log being read again.
REPLAY_AFTER_MS = 30 * DAY_MS
# Below this, a missed heartbeat or two says nothing.
STALE_AT_LEAST_MS = 10_000
# A checkpoint this far in the future is no sign of life: one of two clocks is wrong.
CLOCKS_APART_MS = 60_000
REPLAYING = "Replaying"
# Days of event time in a second; a slower replay is told without its speed.
SLOWEST = 0.1


@dataclass(frozen=True)
class Freshness:
    """The word, its tone, and the words beside it; `alarm` is the banner, under its `headline`."""

    word: str
    tone: str
    detail: str
    badge: str | None = None
    alarm: str | None = None
    headline: str = "Counting has stopped."


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
    zone: ZoneInfo = UTC_ZONE,
) -> Freshness:
    """Say whether the page is live.

    Live: everything read is counted, or is behind by less than two checkpoint
    intervals; so is an old log that is read again, with a badge. Behind: more.
    Stale: no sign of life for three intervals. Instants are told in `zone`.
    """
    # Not the watermark, to which is judged: the newest event that is counted.
    read_ms = max((p.max_event_time_ms for p in positions if p.max_event_time_ms), default=None)
    seen = [p.seen_ms for p in positions if p.seen_ms is not None]
    if not seen:
        return Freshness("Waiting", "idle", "for the first event")
    year = datetime.fromtimestamp(now_ms / 1000, zone).year
    read_to = (
        f"read to {moment(read_ms, zone, year=year)}{NBSP}{zone_name(zone)}"
        if read_ms is not None
        else "no event read yet"
    )
    if watermark_ms is None:
        read_to += "; first window still open"
    interval_ms = checkpoint_interval_s * 1000
    silent_ms = now_ms - max(seen)
    if silent_ms < -CLOCKS_APART_MS:
        ahead = duration(-silent_ms)
        return Freshness(
            "Unknown",
            "warn",
            read_to,
            alarm=f"The last checkpoint is {ahead} in the future of this server's clock, so "
            "whether counting goes on cannot be told. Set the clocks of the consumer's and of this "
            "machine by the same time server; counts and verdicts do not depend on them.",
            headline="Two clocks disagree.",
        )
    if silent_ms > max(3 * interval_ms, STALE_AT_LEAST_MS):
        since = f"{moment(max(seen), zone)}{NBSP}{zone_name(zone)}"
        return Freshness(
            "Stale",
            "crit",
            read_to,
            alarm=f"No checkpoint since {since}, {duration(silent_ms)} ago. "
            "Events wait in Kafka and will be counted; nothing is lost. "
            f"See that a consumer runs: {command('ingest')}.",
        )
    lag = sum(p.lag for p in positions)
    waiting = f"{plural(lag, 'record')} to count; " if lag else ""
    badge = replay_badge(read_ms, watermark_ms, now_ms, before, is_reading=lag > 0)
    behind_by_ms = max((behind_ms(p) or 0 for p in positions), default=0)
    # An old log that flows by was written at once: that it is behind says nothing.
    if badge is None and behind_by_ms > behind_after_ms(interval_ms):
        return Freshness("Behind", "warn", f"{duration(behind_by_ms)}, {waiting}{read_to}")
    if watermark_ms is None:
        return Freshness("Collecting", "idle", read_to, badge)
    return Freshness("Live", "ok", f"{waiting}{read_to}" if badge else read_to, badge)


def replay_badge(
    read_ms: int | None,
    watermark_ms: int | None,
    now_ms: int,
    before: Sample | None,
    *,
    is_reading: bool,
) -> str | None:
    """Return "Replaying 2013, 4 days a second" where an old log flows by.

    It flows while records wait or the watermark moves; its speed is said where it is known.
    Only the former is there at the first look and between two checkpoints.
    """
    if read_ms is None or now_ms - read_ms < REPLAY_AFTER_MS:
        return None
    said = f"{REPLAYING} {datetime.fromtimestamp((watermark_ms or read_ms) / 1000, UTC).year}"
    speed = _days_a_second(watermark_ms, now_ms, before)
    if speed >= SLOWEST:
        return f"{said}, {two(speed)}{NBSP}{'day' if two(speed) == '1.0' else 'days'} a second"
    return said if is_reading else None


def _days_a_second(watermark_ms: int | None, now_ms: int, before: Sample | None) -> float:
    if before is None or watermark_ms is None or now_ms <= before.at_ms:
        return 0.0
    return (watermark_ms - before.watermark_ms) / DAY_MS / ((now_ms - before.at_ms) / 1000)
