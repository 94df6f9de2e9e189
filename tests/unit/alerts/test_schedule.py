"""A message is tried for three days, as fast as is kind to who receives it."""

from __future__ import annotations

import doctest

import pytest

from monitor.alerts import schedule
from monitor.alerts.schedule import DELAYS_S, Answer, Next, next_step, retry_after_s

FAILED = Answer(status=500)
HOUR_MS = 3_600_000


def test_attempts_come_at_the_promised_times() -> None:
    waits = [next_step(FAILED, number, 0, 0.0).due_ms for number in range(1, 10)]
    assert waits == [
        5_000, 300_000, 1_800_000, *(hours * HOUR_MS for hours in (2, 5, 10, 14, 20, 24)),
    ]  # fmt: skip


def test_after_the_tenth_attempt_a_message_is_dead() -> None:
    assert next_step(FAILED, 10, 0, 0.0) == Next("dead")
    assert next_step(FAILED, 11, 0, 0.0) == Next("dead")
    assert next_step(Answer(status=200), 10, 0, 0.0) == Next("delivered")


def test_jitter_makes_a_wait_longer_by_a_tenth_at_most() -> None:
    for number in range(1, 10):
        least = DELAYS_S[number] * 1_000
        drawn = [next_step(FAILED, number, 0, draw).due_ms or 0 for draw in (0.0, 0.5, 0.999)]
        assert drawn == sorted(set(drawn))
        assert least <= drawn[0] and drawn[-1] <= least * 1.1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert next_step(Answer(status=status), 1, 0, 0.0) == Next("delivered")
    assert Answer(status=status).why is None


@pytest.mark.parametrize("status", [None, 101, 199, 300, 301, 302, 304, 307, 308, 400, 404, 500])
def test_everything_else_is_tried_again_and_says_why(status: int | None) -> None:
    answer = Answer(status=status)
    assert next_step(answer, 1, 0, 0.0).state == "pending"
    assert answer.why


def test_a_redirect_says_that_it_is_not_followed() -> None:
    assert "redirects are not followed" in (Answer(status=302).why or "")


def test_410_ends_it_at_once() -> None:
    assert next_step(Answer(status=410), 1, 0, 0.0) == Next("dead", is_gone=True)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_may_ask_for_more_time_and_not_for_less(status: int) -> None:
    def due(header: str, number: int) -> int | None:
        return next_step(Answer(status=status, retry_after=header), number, 0, 0.0).due_ms

    assert due("60", 1) == 60_000
    assert due("1", 1) == 5_000
    assert due("60", 4) == 2 * HOUR_MS
    assert due("Thu, 01 Jan 1970 02:00:00 GMT", 1) == 2 * HOUR_MS
    assert due("9" * 400, 1) == 24 * HOUR_MS
    assert next_step(Answer(status=status, retry_after="60"), 10, 0, 0.0) == Next("dead")


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("１２", None),
        ("0", 0.0), (" 7 ", 7.0), ("86401", 86_400.0), ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Thu, 01 Jan 1970 00:00:30", 20.0), ("Thu, 99 Foo 1970 00:00:00 GMT", None),
        (f"Thu, 01 Jan {'9' * 20} 00:00:00 GMT", None),
        (f"Thu, 01 Jan 1970 00:00:00 +{'9' * 20}", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str | None, wait_s: float | None) -> None:
    assert retry_after_s(header, 10_000) == wait_s


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(schedule).failed == 0
