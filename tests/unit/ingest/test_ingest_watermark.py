"""How far a partition's time has come: a wrong clock moves nothing, a quiet model moves on."""

from __future__ import annotations

import numpy as np

from consumers.watermark import AGREEING, STEP_MS, Progress, advance

DAY_MS = STEP_MS
HOUR_MS = 3_600_000


def after(*times_ms: int) -> Progress:
    return advance(Progress(0), np.array(times_ms, dtype=np.int64))[0]


def test_a_quiet_model_is_not_left_behind_after_a_pause() -> None:
    # 41 events a day: the hundred that agree take two and a half days.
    times = [30 * DAY_MS + i * DAY_MS // 41 for i in range(1_000)]
    assert after(*times) == Progress(times[-1])
    assert after(*times[:AGREEING]) == Progress(times[AGREEING - 1])


def test_one_wrong_clock_among_a_hundred_moves_nothing() -> None:
    times = [30 * DAY_MS + i * HOUR_MS for i in range(AGREEING)]
    for place in (0, 50, AGREEING - 1):
        wrong = [*times]
        wrong[place] = 365 * DAY_MS
        best = max(time for time in wrong if time != 365 * DAY_MS)
        assert after(*wrong).max_ms == best
        assert after(*wrong, best + HOUR_MS) == Progress(best + HOUR_MS)


def test_what_lies_beyond_a_second_pause_goes_on_waiting() -> None:
    friday = [30 * DAY_MS + i * HOUR_MS for i in range(8)]
    monday = [33 * DAY_MS + i for i in range(AGREEING - len(friday))]
    progress = after(*friday, *monday)
    assert progress == Progress(friday[-1], tuple(monday))
    tuesday = np.array([34 * DAY_MS + i for i in range(len(friday))], dtype=np.int64)
    assert advance(progress, tuesday)[0] == Progress(int(tuesday[-1]))


def test_fewer_than_a_hundred_move_nothing() -> None:
    times = [30 * DAY_MS + i for i in range(AGREEING - 1)]
    assert after(*times) == Progress(0, tuple(times))
    assert after(*times, HOUR_MS) == Progress(HOUR_MS)


def test_what_an_earlier_release_left_waiting_is_read() -> None:
    left = Progress.restore(5, '{"waiting": 98, "floor_ms": 200000000}')
    assert left == Progress(5, (200_000_000,) * 98)
    assert Progress.restore(5, left.pending()) == left
