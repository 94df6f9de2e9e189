"""The watermark waits for what may still come, and for nothing else."""

from __future__ import annotations

from monitor.windows.watermark import PartitionTime, Watermark, watermark

NOW = 10_000_000


def look(*partitions: PartitionTime, now_ms: int = NOW) -> Watermark:
    return watermark(
        partitions,
        now_ms=now_ms,
        lateness_ms=100,
        idle_timeout_ms=60_000,
        stalled_after_ms=90_000,
        max_hold_ms=3_600_000,
    )


def at(partition: int, time_ms: int | None, *, caught_up: int = 0, age: int = 0) -> PartitionTime:
    return PartitionTime(partition, time_ms, caught_up, NOW - age)


def test_it_is_the_slowest_partition_less_the_lateness() -> None:
    assert look(at(0, 5_000), at(1, 4_000)).time_ms == 3_900


def test_an_idle_partition_holds_nothing_back() -> None:
    assert look(at(0, 5_000), at(1, 4_000, caught_up=60_000)).time_ms == 4_900


def test_a_partition_that_never_spoke_and_has_nothing_to_read_is_idle() -> None:
    assert look(at(0, 5_000), at(1, None, caught_up=60_000)).time_ms == 4_900


def test_a_partition_that_has_yet_to_be_read_holds_everything_back() -> None:
    assert look(at(0, 5_000), at(1, None)).time_ms is None


def test_when_all_are_idle_nothing_more_is_expected() -> None:
    found = look(at(0, 5_000, caught_up=60_000), at(1, 4_000, caught_up=90_000))
    assert found.is_final and found.closed_by == "idle"


def test_a_stale_row_is_stalled_and_never_idle() -> None:
    found = look(at(0, 5_000), at(1, 4_000, caught_up=600_000, age=90_001))
    assert found.time_ms == 3_900 and not found.held_by
    assert not look(at(0, 4_000, caught_up=600_000, age=90_001)).is_final


def test_an_owner_gone_for_too_long_is_judged_without_and_named() -> None:
    found = look(at(0, 5_000), at(1, 4_000, age=3_600_001))
    assert found == Watermark(4_900, "hold", held_by=(1,))


def test_without_partitions_there_is_no_watermark() -> None:
    assert look().time_ms is None
