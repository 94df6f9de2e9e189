"""The word in the top bar: from positions and two clocks, and steady while nothing changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dashboard.freshness import Freshness, Sample, judge
from dashboard.words import NBSP
from monitor.storage.rows import Position

NOW_MS = int(datetime(2026, 5, 16, 14, 40, tzinfo=UTC).timestamp() * 1_000)
IN_2013_MS = int(datetime(2013, 8, 3, tzinfo=UTC).timestamp() * 1_000)
DAY_MS = 86_400_000
POSITION = Position(
    stream_id=1, topic="events", partition=0, next_offset=100, end_offset=100, owner="ingest-1",
    claim_epoch=1, fenced=0, checkpoints=3, max_event_time_ms=NOW_MS, caught_up_for_ms=1_000,
    fetched_ms=NOW_MS - 1_000, checkpointed_ms=NOW_MS - 1_000, last_counted_kafka_ms=NOW_MS - 1_000,
)  # fmt: skip


def said(
    *changes: dict[str, int | None],
    watermark_ms: int | None = NOW_MS - 3_600_000,
    before: Sample | None = None,
    interval_s: float = 30.0,
) -> Freshness:
    return judge(
        [replace(POSITION, partition=n, **change) for n, change in enumerate(changes)],  # type: ignore[arg-type]
        watermark_ms=watermark_ms, now_ms=NOW_MS, checkpoint_interval_s=interval_s, before=before,
    )  # fmt: skip


def waits(seconds: int, **more: int | None) -> dict[str, int | None]:
    """A partition whose next record was written so long before the last look."""
    return {"end_offset": 600, "last_counted_kafka_ms": NOW_MS - 1_000 - seconds * 1_000, **more}


def test_behind_by_less_than_two_checkpoints_is_live() -> None:
    assert said({}).word == "Live"
    assert said(waits(59)).word == "Live"
    assert said(waits(61)).word == "Behind"
    # Where checkpoints are a second apart, two of them are no time to speak of.
    assert said(waits(4), interval_s=1.0).word == "Live"
    assert said(waits(11), interval_s=1.0).word == "Behind"


def test_no_sign_of_life_is_stale() -> None:
    gone = {"fetched_ms": NOW_MS - 600_000, "checkpointed_ms": NOW_MS - 600_000}
    assert said(gone).word == "Stale"
    assert said(gone, {}).word == "Live"
    assert said({"fetched_ms": None, "checkpointed_ms": None}).word == "Waiting"


def test_a_checkpoint_in_the_future_is_no_sign_of_life() -> None:
    """Else a consumer that died would be live for as long as its clock was ahead."""
    ahead: dict[str, int | None] = {
        "fetched_ms": NOW_MS + 3 * 3_600_000, "checkpointed_ms": NOW_MS + 3 * 3_600_000
    }  # fmt: skip
    found = said(ahead)
    assert found.word == "Unknown"
    assert found.headline == "Two clocks disagree."
    assert found.alarm is not None
    assert f"3{NBSP}h in the future" in found.alarm or "3 h in the future" in found.alarm
    little: dict[str, int | None] = {
        "fetched_ms": NOW_MS + 5_000,
        "checkpointed_ms": NOW_MS + 5_000,
    }
    assert said(little).word == "Live"


@pytest.mark.parametrize("behind_s", [0, 1, 61, 7_200])
@pytest.mark.parametrize("speed", [None, 0.0, 0.01, 4.0])
def test_an_old_log_that_flows_by_keeps_one_word_however_it_flows(
    behind_s: int, speed: float | None
) -> None:
    """The watermark stands still between two checkpoints and at the first look at a page."""
    old = waits(behind_s, max_event_time_ms=IN_2013_MS)
    before = None if speed is None else Sample(NOW_MS - 2_000, IN_2013_MS - int(speed * 2 * DAY_MS))
    fresh = said(old, watermark_ms=IN_2013_MS, before=before)
    assert (fresh.word, fresh.tone) == ("Live", "ok")
    assert fresh.badge is not None
    assert fresh.badge.startswith("Replaying 2013")
    assert ("4.0" in fresh.badge) == (speed == 4.0)
    assert "500 records to count" in fresh.detail.replace(NBSP, " ")


def test_an_old_log_that_is_read_to_its_end_is_not_replayed() -> None:
    done = {"max_event_time_ms": IN_2013_MS}
    assert said(done, watermark_ms=IN_2013_MS).badge is None


def test_an_old_log_beside_one_of_today_is_behind() -> None:
    fresh = said(waits(600, max_event_time_ms=IN_2013_MS), {}, watermark_ms=IN_2013_MS)
    assert (fresh.word, fresh.tone) == ("Behind", "warn")
