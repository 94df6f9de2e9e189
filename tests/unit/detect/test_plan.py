"""Which windows are due: those that are over and new, and those whose panes were written since."""

from __future__ import annotations

from monitor.detect.plan import Due, PaneRevision, Stored, due_windows
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

PANES = [PaneRevision(hour * HOUR_MS, "all", 1) for hour in range(30)]


def due(stored: dict[tuple[str, str, int], Stored], **limits: int) -> list[Due]:
    asked = {"until_ms": 30 * HOUR_MS, "revisable_from_ms": 0} | limits
    return due_windows(PANES, stored, lengths=("hour", "day"), timezone="UTC", **asked)


def test_windows_that_are_not_over_wait() -> None:
    assert [w.length for w in due({}, until_ms=25 * HOUR_MS)] == ["hour"] * 25 + ["day"]
    assert [w.length for w in due({}, until_ms=23 * HOUR_MS)] == ["hour"] * 23


def test_a_window_is_judged_once_while_its_panes_stand() -> None:
    stored = {("hour", "all", hour * HOUR_MS): Stored(1, 1) for hour in range(30)}
    assert due(stored) == [Due("day", "all", 0, DAY_MS, 1)]


def test_a_written_pane_makes_its_windows_stale() -> None:
    stored = {("hour", "all", hour * HOUR_MS): Stored(1, 1) for hour in range(30)}
    stored["hour", "all", 5 * HOUR_MS] = Stored(0, 3)
    stored["day", "all", 0] = Stored(23, 1)
    assert due(stored) == [
        Due("hour", "all", 5 * HOUR_MS, 6 * HOUR_MS, 4),
        Due("day", "all", 0, DAY_MS, 2),
    ]


def test_beyond_the_horizon_a_judged_window_stands() -> None:
    stored = {("day", "all", 0): Stored(1, 1)}
    found = due(stored, revisable_from_ms=DAY_MS)
    assert not [window for window in found if window.length == "day"]


def test_segments_are_planned_apart_and_empty_windows_are_not_made() -> None:
    panes = [
        PaneRevision(0, "all", 1),
        PaneRevision(0, "origin=JFK", 1),
        PaneRevision(9 * HOUR_MS, "all", 1),
    ]
    found = due_windows(
        panes, {}, lengths=("hour",), timezone="UTC", until_ms=DAY_MS, revisable_from_ms=0
    )
    assert [(w.segment, w.start_ms) for w in found] == [
        ("all", 0),
        ("all", 9 * HOUR_MS),
        ("origin=JFK", 0),
    ]
