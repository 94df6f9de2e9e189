"""When a message is tried again, and when not any more. Pure: instant and draw are given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from monitor.storage.retrain_rows import Run

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
# Each after the one before: a restart of the receiver is over in seconds, an outage in hours,
# a forgotten weekend in three days and a bit.
DELAYS_S: Final = (
    0, 5, 5 * MINUTE_S, 30 * MINUTE_S, 2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S,
    20 * HOUR_S, 24 * HOUR_S,
)  # fmt: skip
# So much later at most: receivers that fell together are not all asked at one moment.
JITTER_RATIO: Final = 0.1
MAX_RETRY_AFTER_S: Final = 24 * HOUR_S
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one attempt.

    Attributes
    ----------
    status
        Of the HTTP answer; None without one.
    error
        Why there was none, or why the one that came is a refusal whatever its status, in one line.
    retry_after
        The header of that name, as it came.
    body
        The answer's beginning.
    run
        The training that it began, where it can be followed.
    """

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    body: str = ""
    run: Run | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has taken it."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def why(self) -> str | None:
        """Why it was not delivered, in one line."""
        if self.is_delivered:
            return None
        if self.status is None or self.error is not None:
            return self.error or "no answer"
        if 300 <= self.status < 400:
            return f"it answered {self.status}: redirects are not followed, name the new address"
        if self.status == GONE:
            return "it answered 410 Gone: it wants no more webhooks"
        return f"it answered {self.status}"


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a message: its state, and when a pending one is due again."""

    state: str  # delivered | pending | dead
    due_ms: int | None = None
    is_gone: bool = False  # the endpoint wants nothing more


def next_step(
    answer: Answer, number: int, now_ms: int, draw: float, *, attempts: int = len(DELAYS_S)
) -> Next:
    """Return what becomes of a message after attempt `number` (from 1).

    `draw` is from [0, 1); `attempts` is how many there are at most.

    Examples
    --------
    >>> next_step(Answer(status=500), 1, 0, 0.0)
    Next(state='pending', due_ms=5000, is_gone=False)
    >>> next_step(Answer(status=503, retry_after="120"), 1, 0, 0.0).due_ms
    120000
    >>> next_step(Answer(status=500), 10, 0, 0.0).state
    'dead'
    """
    if answer.is_delivered:
        return Next("delivered")
    if answer.status == GONE:
        return Next("dead", is_gone=True)
    if number >= attempts:
        return Next("dead")
    delay_s = DELAYS_S[number] * (1 + JITTER_RATIO * draw)
    # A receiver may ask for more time, not for less: one that always says "1" would have used
    # up all attempts in ten seconds.
    wait_s = max(delay_s, retry_after_s(answer.retry_after, now_ms) or 0.0)
    return Next("pending", now_ms + round(wait_s * 1_000))


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Return for how long `Retry-After` asks to wait, at most a day; None where it says nothing.

    Examples
    --------
    >>> retry_after_s("120", 0), retry_after_s("99999999", 0), retry_after_s("soon", 0)
    (120.0, 86400.0, None)
    >>> retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 10_000)
    50.0
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # No more digits than a year of seconds has are read.
        wait_s = float(text[:9]) if len(text) <= 9 else float(MAX_RETRY_AFTER_S)
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            # A number in it may have any number of digits.
            return None
        # A date without a zone is read as GMT, which is the only one that HTTP knows.
        moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        wait_s = moment.timestamp() - now_ms / 1_000
    return min(max(wait_s, 0.0), float(MAX_RETRY_AFTER_S))
