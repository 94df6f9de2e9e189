"""Two of three fire, three clear ones in a row end it, silence expires it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.stats.episodes import (
    DAY_MS,
    HOUR_MS,
    QUIET,
    Latch,
    State,
    step,
)
from driftline.stats.judgement import Mark

C, B, E, N = Mark.CLEAR, Mark.BETWEEN, Mark.EXCEEDS, Mark.NOT_EVALUABLE


def run(marks: list[int], nominal_ms: int = DAY_MS) -> tuple[list[State], list[Latch]]:
    state, states, ended = QUIET, [], []
    for place, mark in enumerate(marks):
        state, over = step(state, place * nominal_ms, (place + 1) * nominal_ms, mark, nominal_ms)
        states.append(state)
        if over is not None:
            ended.append(over)
    return states, ended


def is_latched(marks: list[int]) -> list[bool]:
    return [state.latch is not None for state in run(marks)[0]]


def test_one_exceeding_window_does_not_fire() -> None:
    assert not any(is_latched([C, E, C, C, E, C, C]))


def test_two_of_three_fire_with_the_window_that_completes_them() -> None:
    assert is_latched([E, C, E]) == [False, False, True]
    assert is_latched([E, E]) == [False, True]


def test_windows_that_cannot_be_judged_are_passed_over() -> None:
    assert is_latched([E, N, N, E]) == [False, False, False, True]


def test_the_last_three_reach_back_at_most_twelve_windows() -> None:
    assert is_latched([E, *[N] * 11, E])[-1]
    assert not is_latched([E, *[N] * 12, E])[-1]


def test_three_clear_windows_in_a_row_end_it() -> None:
    assert is_latched([E, E, C, C, B, C, C, C]) == [False, *[True] * 6, False]
    _, ended = run([E, E, C, C, C])
    assert ended == [
        Latch(2 * DAY_MS, ((0, DAY_MS), (DAY_MS, 2 * DAY_MS)), 2 * DAY_MS, 5 * DAY_MS, "cleared")
    ]


def test_a_window_in_between_neither_fires_nor_clears() -> None:
    assert is_latched([E, B, B, E]) == [False] * 4
    assert is_latched([E, E, B, B, B, B])[-1]


def test_an_exceeding_window_starts_the_clearing_anew() -> None:
    assert is_latched([E, E, C, C, E, C, C])[-1]


@pytest.mark.parametrize(
    ("nominal_ms", "silent", "after_ms"),
    # A week, or three windows where these are longer, and the hour by which clocks move.
    [(HOUR_MS, 169, 169 * HOUR_MS), (DAY_MS, 7, 169 * HOUR_MS), (7 * DAY_MS, 3, 505 * HOUR_MS)],
)
def test_without_evaluable_windows_for_too_long_it_expires(
    nominal_ms: int, silent: int, after_ms: int
) -> None:
    states, ended = run([E, E, *[N] * silent], nominal_ms)
    assert states[-1].latch is not None and not ended
    states, ended = run([E, E, *[N] * (silent + 1)], nominal_ms)
    assert states[-1].latch is None
    assert [latch.closed_as for latch in ended] == ["expired"]
    assert ended[0].closed_ms == 2 * nominal_ms + after_ms


def test_the_week_of_the_clock_change_does_not_expire_the_one_before() -> None:
    week = 7 * DAY_MS
    state = QUIET
    for start, end in ((0, week), (week, 2 * week + HOUR_MS)):
        state, over = step(state, start, end, E, week)
        assert over is None
    state, over = step(state, 2 * week + HOUR_MS, 3 * week + HOUR_MS, N, week)
    assert over is None and state.latch is not None


@given(st.lists(st.sampled_from([C, B, E, N]), max_size=40))
def test_a_state_survives_its_stored_form(marks: list[int]) -> None:
    for state in run(marks)[0]:
        assert State.from_json(state.to_json()) == state


@given(st.lists(st.sampled_from([C, B, E, N]), max_size=40))
def test_forgetting_a_quiet_state_changes_nothing(marks: list[int]) -> None:
    state, forgetful = QUIET, QUIET
    for place, mark in enumerate(marks):
        span = (place * DAY_MS, (place + 1) * DAY_MS)
        state, over = step(state, *span, mark, DAY_MS)
        forgetful, other = step(forgetful, *span, mark, DAY_MS)
        assert over == other
        assert (state.latch, state.ring) == (forgetful.latch, forgetful.ring)
        if forgetful.is_quiet:
            forgetful = QUIET


def test_a_day_of_25_hours_takes_none_from_the_reach() -> None:
    """Twelve windows on, an hour late by the clock; a moment more is too far."""
    for late_ms, fires in ((HOUR_MS, True), (HOUR_MS + 1, False)):
        state, _ = step(QUIET, 0, DAY_MS, E, DAY_MS)
        start = 12 * DAY_MS + late_ms
        state, _ = step(state, start, start + DAY_MS, E, DAY_MS)
        assert (state.latch is not None) == fires


def test_a_long_episode_keeps_its_first_64_windows_and_its_last_end() -> None:
    states, _ = run([E] * 100)
    latch = states[-1].latch
    assert latch is not None
    assert latch.exceeding == tuple((day * DAY_MS, (day + 1) * DAY_MS) for day in range(64))
    assert (latch.opened_ms, latch.last_ms) == (2 * DAY_MS, 100 * DAY_MS)
