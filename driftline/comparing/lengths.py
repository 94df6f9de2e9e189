"""Which of the reference's lengths a frame is judged as: what wobble is natural for it.

The reference knows how hours, days and weeks differ from each other when nothing is wrong.
A frame is no window, so it is given the longest length that it holds at least one of and
that the reference could learn. Averaging calms: the limits of a length are never too tight
for rows that span more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from driftline.comparing.counting import Counted
from driftline.errors import InvalidFrame
from driftline.stats.calibration import MIN_SLICES, Calibration, from_reference, unknown
from driftline.stats.lengths import DAY_MS, HOUR_MS, LENGTHS, NOMINAL_MS, WORDS, in_words
from driftline.stats.reference import ALL, Reference
from driftline.stats.season import When, when

# From so long on the rows are a window of a length: a working day has eight hours, a working
# week spans four days and eight hours, four of them three weeks more.
_SPAN_MS: Final = {"hour": 0, "day": 6 * HOUR_MS, "week": 4 * DAY_MS, "4weeks": 25 * DAY_MS}

# One window; no calibration that has a season goes with it.
ANY_TIME: Final = When(np.zeros(1, np.int8), np.zeros(1, np.bool_))


@dataclass(frozen=True)
class Known:
    """The length that a frame is judged as, and what is known of its wobble.

    Attributes
    ----------
    length
        One of `driftline.stats.lengths.LENGTHS`.
    calibration
        Of source `none` where the reference teaches nothing.
    at
        Where the frame lies, which says what it is compared with where a feature has a season.
    note
        What was decided, as a sentence.
    """

    length: str
    calibration: Calibration
    at: When
    note: str


def known(reference: Reference, counted: Counted, length: str | None) -> Known:
    """Decide the length, if the user did not, and learn its wobble from the reference.

    Raises
    ------
    InvalidFrame
        When `length` is none.
    """
    if length is not None and length not in LENGTHS:
        raise InvalidFrame(f"length must be one of {', '.join(LENGTHS)}, not {length!r}")
    full = {name: len(slices.starts_ms) for name, slices in reference.slices.get(ALL, {}).items()}
    learnt = [name for name in LENGTHS if full.get(name, 0) >= MIN_SLICES]
    if not learnt:
        return Known(length or "day", unknown(reference), ANY_TIME, _unknown_words(full))
    if length is not None and length not in learnt:
        has = in_words(full.get(length, 0), length, "full")
        raise InvalidFrame(
            f"length {length!r}: the reference has {has}, {MIN_SLICES} are needed; "
            f"it knows {' and '.join(learnt)}"
        )
    chosen = length or _longest(reference, counted, learnt)
    at = _at(reference, counted, chosen)
    calibration = from_reference(reference, ALL, chosen, with_season=at is not None)
    assert calibration is not None  # it has the slices
    note = (
        f"judged as one {WORDS[chosen][0]}: the reference's "
        f"{in_words(full[chosen], chosen, 'full')} tell what moves by itself"
    )
    if _span_ms(counted) > 2 * NOMINAL_MS[chosen]:
        note += "; these rows span more, and what is longer moves less: limits err towards silence"
    return Known(chosen, calibration, at or ANY_TIME, note)


def _span_ms(counted: Counted) -> int:
    times = counted.times_ms
    return 0 if times is None else int(times.max() - times.min())


def _unknown_words(full: dict[str, int]) -> str:
    why = "the reference has no times (timestamp= gives them)"
    if full:
        counts = ", ".join(in_words(n, name, "full") for name, n in full.items())
        why = f"the reference has {counts}, and {MIN_SLICES} of one length are needed"
    return (
        f"natural wobble unknown, because {why}: limits allow for chance only, and no verdict "
        "is above warning"
    )


def _at(reference: Reference, counted: Counted, length: str) -> When | None:
    """Where in the week, and hours where in the day, all rows lie; None where it is no one place.

    Rows of many hours, or of weekdays and weekends together, are like no season's.
    """
    if counted.times_ms is None:
        return None
    at = when(counted.times_ms, reference.timezone)
    is_one = (at.is_weekend == at.is_weekend[0]).all()
    if length == "hour":
        is_one &= (at.hour == at.hour[0]).all()
    return When(at.hour[:1], at.is_weekend[:1]) if is_one else None


def _longest(reference: Reference, counted: Counted, learnt: list[str]) -> str:
    """The longest learnt length that the rows hold one of; by their number without times."""
    if counted.times_ms is not None:
        fits = [name for name in learnt if _span_ms(counted) >= _SPAN_MS[name]]
    else:
        rows = counted.profile.rows
        slices = reference.slices[ALL]
        # Half of the usual slice's rows: a quiet day is a day.
        fits = [name for name in learnt if 2 * rows >= np.median(slices[name].rows)]
    return fits[-1] if fits else learnt[0]
