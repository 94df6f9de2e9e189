"""Window lengths: the one list of them, by name, what each is nominally, and its words.

Hours are hours of elapsed time; days run from local midnight; weeks and 28 days begin on
local Mondays. 28 days tumble: the first began on Monday, 5 January 1970, so that any two
that compute them agree. This module knows no time zone.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

# The shortest first.
LENGTHS: Final = ("hour", "day", "week", "4weeks")
LONGEST: Final = LENGTHS[-1]
# What a monitor judges unless it is told otherwise; 28 days are for models with few rows.
DEFAULT_LENGTHS: Final = ("hour", "day", "week")
# What a length is when a rule counts in lengths ("three window lengths").
NOMINAL_MS: Final = {"hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "4weeks": 28 * DAY_MS}
# Below eight windows a standard deviation says little about the next window.
MIN_SLICES: Final = 8
# Whole local days of a length; an hour is none.
DAYS: Final = {"day": 1, "week": 7, "4weeks": 28}
# One of it and many of it, as in "the last 3 days"; and how long one is.
WORDS: Final = {
    "hour": ("hour", "hours"),
    "day": ("day", "days"),
    "week": ("week", "weeks"),
    "4weeks": ("window of 28 days", "windows of 28 days"),
}
SPAN: Final = {"hour": "1 hour", "day": "1 day", "week": "1 week", "4weeks": "28 days"}

# Day 0 of the epoch was a Thursday; day 4 was the first Monday.
_FIRST_MONDAY: Final = 4


Days = TypeVar("Days", int, NDArray[np.int64])


def first_day_of(day: Days, length: str) -> Days:
    """The first local day of the day, week or 28 days that hold `day`, counted from 1970-01-01.

    Examples
    --------
    >>> [first_day_of(day, "week") for day in (4, 10, 11)]
    [4, 4, 11]
    >>> [first_day_of(day, "4weeks") for day in (4, 31, 32)]
    [4, 4, 32]
    """
    # Days are counted one by one: modulo 1 it is itself.
    return day - (day - _FIRST_MONDAY) % DAYS[length]


def in_words(n: int, length: str, kind: str = "") -> str:
    """So many windows of a length, in words.

    Examples
    --------
    >>> in_words(1, "day"), in_words(1_200, "hour", "full"), in_words(9, "4weeks")
    ('1 day', '1,200 full hours', '9 windows of 28 days')
    """
    return f"{n:,} {kind}{' ' if kind else ''}{WORDS[length][n != 1]}"
