"""Which of the reference's lengths a frame is judged as: what wobble is natural for it.

The reference knows how hours, days and weeks differ from each other when nothing is wrong.
A frame is no window, so it is given the longest length that it holds at least one of and
that the reference could learn. Averaging calms: the limits of a length are never too tight
for rows that span more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from driftline.comparing.counting import Counted
from driftline.errors import InvalidFrame
from driftline.stats.calibration import MIN_SLICES, Calibration, from_reference, unknown
from driftline.stats.lengths import DAY_MS, HOUR_MS, LENGTHS, NOMINAL_MS, WORDS, in_words
from driftline.stats.reference import ALL, Reference
from driftline.stats.slicing import is_weekend

# From so long on the rows are a window of a length: a working day has eight hours, a working
# week spans four days and eight hours, four of them three weeks more.
_SPAN_MS: Final = {"hour": 0, "day": 6 * HOUR_MS, "week": 4 * DAY_MS, "4weeks": 25 * DAY_MS}


@dataclass(frozen=True)
class Known:
    """The length that a frame is judged as, and what is known of its wobble.

    Attributes
    ----------
    length
        One of `driftline.stats.lengths.LENGTHS`.
    calibration
        Of source `none` where the reference teaches nothing.
    is_weekend
        Whether weekends are what the frame is compared with, where a feature has a season.
    note
        What was decided, as a sentence.
    """

    length: str
    calibration: Calibration
    is_weekend: bool
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
    weekend = _weekend(reference, counted)
    full = {name: len(slices.starts_ms) for name, slices in reference.slices.get(ALL, {}).items()}
    learnt = [name for name in LENGTHS if full.get(name, 0) >= MIN_SLICES]
    if not learnt:
        return Known(length or "day", unknown(reference), bool(weekend), _unknown_words(full))
    if length is not None and length not in learnt:
        has = in_words(full.get(length, 0), length, "full")
        raise InvalidFrame(
            f"length {length!r}: the reference has {has}, {MIN_SLICES} are needed; "
            f"it knows {' and '.join(learnt)}"
        )
    chosen = length or _longest(reference, counted, learnt)
    calibration = from_reference(reference, ALL, chosen, with_season=weekend is not None)
    assert calibration is not None  # it has the slices
    note = (
        f"judged as one {WORDS[chosen][0]}: the reference's "
        f"{in_words(full[chosen], chosen, 'full')} tell what moves by itself"
    )
    if _span_ms(counted) > 2 * NOMINAL_MS[chosen]:
        note += "; these rows span more, and what is longer moves less: limits err towards silence"
    return Known(chosen, calibration, bool(weekend), note)


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


def _weekend(reference: Reference, counted: Counted) -> bool | None:
    """Whether all rows are of a weekend or none is; None where both are, or it is not known."""
    if counted.times_ms is None:
        return None
    at_weekend = is_weekend(counted.times_ms, ZoneInfo(reference.timezone))
    return bool(at_weekend[0]) if (at_weekend == at_weekend[0]).all() else None


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
