"""The sentences: one place where numbers become words, for dashboard, alerts and CLI alike.

Subject first, number second. Only what the system knows: it has no units and
no meanings, so "values above 40", never "hotter".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import MIN_ROWS, RATES
from driftline.stats.distance import MIN_ROWS_PSI
from driftline.stats.grid import CategoricalGrid, NumericGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.lengths import WORDS
from driftline.stats.names import NAMES
from driftline.stats.rule import FIXED, SHARES

# Missing values are judged from so many rows on.
_MIN_ROWS = MIN_ROWS["missing"]
NBSP = "\u00a0"
# The smallest normal float32: what is below is told as 0, whose bin ends there.
_NORMAL = 1.1754944e-38
# A share of PSI worth naming: below it the change is spread out.
WORTH_NAMING = 0.25
# What only a limit of the user's own judges: distances, and shares.
_DISTANCES = tuple(name for name in FIXED if name not in (*SHARES, "psi"))
_SHARES = tuple(name for name in SHARES if name not in RATES)


@dataclass(frozen=True)
class Part:
    """The group of values that moved most: its share of PSI, and of the rows before and now."""

    where: str
    share: float
    reference: float
    window: float


@dataclass(frozen=True)
class Evidence:
    """The window that shows a problem best, in numbers.

    `value` is the statistic, `reference` the same rate in the reference (rates
    only), `excess` the 99.9 % bound of the distance (rates), `lower` that of
    PSI; `is_honest` says whether "99.9 % sure" may be said, and `delta` of which PSI.
    `is_fixed` says that the limit is the user's own: a rate itself is held against it.
    `over` of `of` windows in a row exceeded.
    """

    feature: str
    statistic: str
    length: str
    start_ms: int
    end_ms: int
    rows: int
    value: float
    limit: float
    critical: bool = False
    reference: float | None = None
    excess: float | None = None
    lower: float | None = None
    is_honest: bool = False
    low: float | None = None
    high: float | None = None
    part: Part | None = None
    values: tuple[str, ...] = ()
    delta: float | None = None
    is_fixed: bool = False
    over: int = 2
    of: int = 3


def sentence(evidence: Evidence, timezone: str) -> str:
    """Return the one sentence that says what was seen, against which limit, and when."""
    when = window_words(evidence.start_ms, evidence.length, timezone)
    lasting = f", in {evidence.over} of the last {evidence.of} {WORDS[evidence.length][1]}"
    return f"{evidence.feature}: {_claim(evidence, f' {when}', lasting, 'the first were')}."


def claim(evidence: Evidence) -> str:
    """Return what was seen and against which limit, of rows that stand by themselves.

    Examples
    --------
    >>> gone = Evidence("age", "missing", "day", 0, 0, 900, value=0.77, limit=0.04, reference=0.003)
    >>> claim(gone).replace(NBSP, " ")
    'missing 0.3 % → 77 % of 900 rows, limit 4 points'
    """
    return _claim(evidence, "", "", "such as")


def measured(statistic: str, value: float, rows: int) -> str:
    """Return the value of a statistic that fixed limits alone judge.

    Examples
    --------
    >>> measured("js", 0.1234, 900), measured("zero", 0.5, 900).replace(NBSP, " ")
    ('Jensen-Shannon distance 0.12', '50 % zero of 900 rows')
    """
    if statistic in _DISTANCES:
        return f"{NAMES[statistic].told} {number(value)}"
    return f"{percent(value)} {NAMES[statistic].told} of {rows:,} rows"


def _claim(evidence: Evidence, when: str, lasting: str, for_example: str) -> str:
    """`when` and `lasting` follow what they are said of, their separators included."""
    if evidence.statistic == "psi":
        delta = evidence.delta or (0.25 if evidence.critical else 0.10)
        numbers = f"{number(evidence.value)}, limit {number(evidence.limit)}"
        if evidence.is_honest:
            said = f"99.9{NBSP}% sure that PSI is above {delta:.2f} ({numbers}{when})"
        else:
            said = f"PSI {numbers}{',' if when else ''}{when}"
        said += lasting
        part = evidence.part
        if part is not None and part.share >= WORTH_NAMING:
            said += (
                f"; {percent(part.share, 0)} of it from {part.where}, "
                f"now {percent(part.window)} of rows instead of {percent(part.reference)}"
            )
        return said
    if evidence.statistic in _DISTANCES or evidence.statistic in _SHARES:
        said = measured(evidence.statistic, evidence.value, evidence.rows)
        shown = number if evidence.statistic in _DISTANCES else percent
        return f"{said}{when}, limit {shown(evidence.limit)}{lasting}"
    if evidence.statistic == "absent":
        return (
            f"not sent{when}: its key is absent from more than {percent(evidence.limit)} of "
            f"{evidence.rows:,} rows{lasting}"
        )
    excess = abs(evidence.excess or 0.0)
    if evidence.statistic in ("missing", "type_error"):
        return (
            f"{NAMES[evidence.statistic].told} {percent(evidence.reference or 0.0)} \u2192 "
            f"{percent(evidence.value)} of {evidence.rows:,} rows{when}, limit "
            f"{percent(evidence.limit) if evidence.is_fixed else points(evidence.limit)}{lasting}"
        )
    least = "" if evidence.is_fixed else f"at least {percent(excess)}, "
    bound = f"({least}limit {percent(evidence.limit)}){lasting}"
    if evidence.statistic == "unseen":
        said = (
            f"{percent(evidence.value)} of rows have values the reference never saw{when} {bound}"
        )
        if evidence.values:
            said += f"; {for_example} {', '.join(evidence.values)}"
        return said
    span = ""
    if evidence.low is not None and evidence.high is not None:
        span = f" {number(evidence.low, 4)} to {number(evidence.high, 4)}"
    return (
        f"{percent(evidence.value)} of values lie outside the reference's range{span}{when} {bound}"
    )


@dataclass(frozen=True)
class Calm:
    """A feature of a window of which nothing is above a limit, in numbers.

    `n` counts values; `visible` is the smallest shift, in sigma, that so many could have shown;
    `infinite` is a share of rows. What is not known is None.
    """

    verdict: str
    length: str
    rows: int
    n: int
    psi: float | None = None
    psi_limit: float | None = None
    missing: float | None = None
    missing_reference: float | None = None
    missing_limit: float | None = None
    is_missing_fixed: bool = False
    visible: float | None = None
    infinite: float | None = None
    is_presence: bool = False
    is_constant: bool = False
    has_reference: bool = True


def calm(found: Calm) -> str:
    """Return what was seen, and why it is no alarm or was not judged.

    Examples
    --------
    >>> calm(Calm("ok", "day", 900, 890, psi=0.05, psi_limit=0.18))
    'PSI 0.05, limit 0.18'
    >>> calm(Calm("insufficient_data", "hour", 40, 38, visible=1.31))
    '38 values, PSI is judged from 100; only a shift above 1.3 sigma could have been seen'
    >>> calm(Calm("insufficient_data", "day", 900, 0, infinite=1.0)).split(":")[0]
    'infinite in 100\xa0% of 900 rows, no value is left'
    """
    many = WORDS[found.length][1]
    psi = "" if found.psi is None else f"PSI {number(found.psi)}"
    if found.verdict == "collecting":
        return f"{psi or 'values'}, not judged: what {many} wobble by is being learnt"
    if found.verdict == "blind":
        if found.is_constant:
            return "always the same in the reference: PSI cannot judge it, the rates do"
        limit = "" if found.psi_limit is None else f" {number(found.psi_limit)}"
        return f"{psi} cannot exceed its limit{limit}: the reference's own {many} differ as much"
    if found.verdict == "insufficient_data":
        return _unjudged(found, many)
    if found.psi_limit is not None:
        said = f"{psi}, limit {number(found.psi_limit)}"
    elif found.missing_limit is None or found.missing is None:
        return _unjudged(found, many)
    else:
        said = f"missing {percent(found.missing)}, within its limit"
        if found.missing_reference is not None:
            seen = Evidence(
                "", "missing", found.length, 0, 0, found.rows, found.missing, found.missing_limit,
                reference=found.missing_reference, is_fixed=found.is_missing_fixed,
            )  # fmt: skip
            said = claim(seen)
        if not found.is_presence:
            said += f"; {_unjudged(found, many)}"
    return f"{said}; natural wobble unknown" if found.verdict == "uncalibrated" else said


def _unjudged(found: Calm, many: str) -> str:
    """What was not judged, and what it would take."""
    if found.is_presence:
        return f"{_so_many(found.rows, 'row')}, missing values are judged from {_MIN_ROWS}"
    if found.infinite and not found.n:
        return (
            f"infinite in {percent(found.infinite)} of {_so_many(found.rows, 'row')}, no value is "
            "left: PSI and learnt limits cannot judge it, a fixed limit of infinite can"
        )
    if not found.has_reference:
        return "the reference has no value to compare with"
    if found.n >= MIN_ROWS_PSI and found.is_constant:
        return "always the same in the reference: PSI cannot judge it, the rates do"
    if found.n >= MIN_ROWS_PSI:
        return f"PSI is not judged: fewer than 8 {many} of the reference have {MIN_ROWS_PSI} values"
    said = f"{_so_many(found.n, 'value')}, PSI is judged from {MIN_ROWS_PSI}"
    if found.rows < _MIN_ROWS:
        said += f", missing values from {_MIN_ROWS} rows"
    if found.n and found.visible is not None:
        said += f"; only a shift above {found.visible:.1f} sigma could have been seen"
    return said


def _so_many(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def ending(
    feature: str, statistic: str, length: str, held: Sequence[float], *, is_expired: bool = False
) -> str:
    """Return what ended an episode: the last windows of the latch that ended last.

    `held` is what they had, oldest first: PSI, or the bound of a rate's excess.

    Examples
    --------
    >>> ending("temp", "psi", "week", (0.34, 0.21, 0.1))
    'temp: 3 calm weeks in a row ended it, with PSI 0.34, 0.21 and 0.10.'
    """
    if is_expired:
        return f"{feature}: no {WORDS[length][0]} could be judged for too long, so it expired."
    said = f"{feature}: 3 calm {WORDS[length][1]} in a row ended it"
    if statistic == "absent":
        return f"{feature}: its key was there in 3 {WORDS[length][1]} in a row, which ended it."
    if not held:
        return f"{said}."
    is_distance, is_share = statistic == "psi" or statistic in _DISTANCES, statistic in _SHARES
    shown = number if is_distance else percent if is_share else points
    told = [shown(abs(value) if is_distance else max(value, 0.0)) for value in held]
    listed = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else told[0]
    if is_distance:
        return f"{said}, with {NAMES[statistic].told} {listed}."
    if is_share:
        return f"{said}, with {listed} {NAMES[statistic].told}."
    return f"{said}, with at least {listed} more {NAMES[statistic].told} than in the reference."


def summary(opening: Evidence, worst: Evidence, timezone: str) -> str:
    """Return what opened an incident, and how bad it was at its worst where that is news."""
    said = sentence(opening, timezone)
    if worst == opening:
        return said
    when = window_words(worst.start_ms, worst.length, timezone)
    if worst.statistic == "psi" or worst.statistic in _DISTANCES:
        # Its limit too: the worst is the furthest above its own.
        told = f"{NAMES[worst.statistic].told} {number(worst.value)}"
        return f"{said} At its worst: {told}, limit {number(worst.limit)}, {when}."
    if worst.statistic == "absent":
        return said
    what = "" if worst.statistic == opening.statistic else f" {NAMES[worst.statistic].told}"
    return f"{said} At its worst: {percent(worst.value)}{what} {when}."


def window_words(start_ms: int, length: str, timezone: str) -> str:
    """Return a window by its date in the model's zone.

    Examples
    --------
    >>> window_words(1360360800000, "hour", "America/New_York")
    'at 17h on 8 February 2013'
    >>> window_words(1360299600000, "day", "America/New_York")
    'on 8 February 2013'
    """
    local = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(ZoneInfo(timezone))
    # A day whose midnight the clock change skips begins at 1h.
    day = f"{local.day} {local:%B} {local.year}"
    if length == "hour":
        minutes = f":{local:%M}" if local.minute else "h"
        return f"at {local.hour}{minutes} on {day}"
    if length == "week":
        return f"in the week of {day}"
    if length == "4weeks":
        return f"in the 28 days from {day}"
    return f"on {day}"


def number(value: float, digits: int = 2) -> str:
    """Return a number with two decimals from .1 up, two significant digits below.

    Examples
    --------
    >>> number(0.6789), number(0.0345), number(13.1), number(1234.5)
    ('0.68', '0.035', '13.1', '1,234')
    >>> number(1.1e-41, 4)  # where the bin of 0 ends
    '0'
    """
    if abs(value) < _NORMAL:
        value = 0.0
    if not math.isfinite(value):
        return "none" if math.isnan(value) else ("\u2212" if value < 0 else "") + "\u221e"
    size = abs(value)
    if digits > 2 and size < 1000:
        text = f"{size:.{digits}g}"
    elif size >= 1000:
        text = f"{size:,.0f}"
    elif size >= 10:
        text = f"{size:.1f}"
    elif size >= 0.095 or size == 0:
        text = f"{size:.2f}"
    else:
        text = f"{size:.2g}"
    return f"\u2212{text}" if value < 0 else text


def percent(share: float, decimals: int = 1) -> str:
    """Return a share in percent; whole where a tenth says nothing.

    Examples
    --------
    >>> percent(0.0213).replace(NBSP, " "), percent(0.77).replace(NBSP, " ")
    ('2.1 %', '77 %')
    """
    if share >= 0.0995 or share == 0:
        decimals = 0
    return f"{100 * share:.{decimals}f}{NBSP}%"


def points(share: float) -> str:
    """Return a difference of shares in percentage points.

    Examples
    --------
    >>> points(0.01), points(0.042)
    ('1 point', '4.2 points')
    """
    size = f"{100 * share:.1f}".removesuffix(".0")
    return f"{size} point" if size == "1" else f"{size} points"


def part_of(
    feature: FeatureGrid,
    parts: NDArray[np.float64],
    reference: NDArray[np.int64],
    window: NDArray[np.int64],
) -> Part | None:
    """Return the group that PSI comes from most.

    Parameters
    ----------
    parts, reference, window
        [groups] what each group of the feature adds to PSI, and its counts.
    """
    total = float(parts.sum())
    if total <= 0:
        return None
    group = int(parts.argmax())
    return Part(
        where=group_words(feature, group),
        share=float(parts[group]) / total,
        reference=float(reference[group] / max(reference.sum(), 1)),
        window=float(window[group] / max(window.sum(), 1)),
    )


def group_words(feature: FeatureGrid, group: int) -> str:
    """Return which values a group holds."""
    return _group_words(feature, group, _upper(feature))


def all_group_words(feature: FeatureGrid) -> tuple[str, ...]:
    """Return which values each group of a feature holds."""
    upper = _upper(feature)
    return tuple(_group_words(feature, group, upper) for group in range(feature.n_groups))


def _upper(feature: FeatureGrid) -> NDArray[np.float64]:
    grid = feature.grid
    return grid.upper() if isinstance(grid, NumericGrid) else np.empty(0)


def _group_words(feature: FeatureGrid, group: int, upper: NDArray[np.float64]) -> str:
    bins = np.flatnonzero(feature.groups == group)
    grid = feature.grid
    if isinstance(grid, CategoricalGrid):
        if grid.unseen in bins:
            return "values the reference never saw"
        if grid.is_hashed:
            return "some of its many categories"
        names = [grid.levels[b] for b in bins if b < len(grid.levels)]
        if len(names) == 1:
            return f"\u201c{names[0]}\u201d"
        return "its rarer categories"
    if not isinstance(grid, NumericGrid) or not len(bins):
        return "some of its values"
    first, last = int(bins[0]), int(bins[-1])
    is_lowest, is_highest = first == 0, last == len(upper) - 1
    low = None if is_lowest else float(upper[first - 1])
    high = None if is_highest else float(upper[last])
    if low is None and high is None:
        return "all of its values"
    if low is None:
        return f"values up to {number(float(high or 0.0), 4)}"
    if high is None:
        return f"values above {number(low, 4)}"
    if first == last and bool(grid.is_atom[first]):
        return f"the value {number(high, 4)}"
    return f"values above {number(low, 4)} up to {number(high, 4)}"
