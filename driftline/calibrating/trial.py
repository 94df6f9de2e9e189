"""One length put to the test: windows that are drawn, judged by a rule that never saw them.

Every slice is judged against the rest, by limits learnt from the rest: the slices of a day, or
neighbouring days of a long reference, are left out together. Then months are put together from
the judged windows and told by the rule's own fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.calibrating.worlds import Change, World
from driftline.stats.calibration import Calibration, Floats, Ints, from_reference, observe
from driftline.stats.evidence import Judge
from driftline.stats.explain import visible_points, visible_shift
from driftline.stats.judgement import Mark
from driftline.stats.lengths import DAY_MS, DAYS, NOMINAL_MS
from driftline.stats.reference import ALL, Reference
from driftline.stats.rule import Rule
from driftline.stats.simulate import NOTHING, Marks, Told, fold, runs
from driftline.stats.slicing import Slices, offsets_ms
from driftline.stats.stack import Stack

SHIFTS: Final = (0.2, 0.35, 0.5, 0.75)
MISSING: Final = (0.02, 0.05, 0.10)
CHANGES: Final = (*(Change(shift=by) for by in SHIFTS), *(Change(missing=by) for by in MISSING))
MONTH_DAYS: Final = 30
# Left out together: more rules than these would be learnt for long references.
_FOLDS: Final = 32
# Windows judged: of the calm world and of each change; fewer where there are more slices.
_CALM: Final = 2_000
_CHANGED: Final = 400
# Slices that windows are drawn from; of a year of hours some weeks do.
_MOST: Final = 1_500
# Months are put together anew from resampled days so many times: the interval is theirs.
_WORLDS: Final = 20
_ONSETS: Final = 100
# Days that a change may take until it is told; afterwards it counts as not told.
_WAIT_DAYS: Final = {"hour": 7, "day": 28, "week": 12 * 7, "4weeks": 6 * 28}
# Windows that limits, and what they let through, are read off.
_READ: Final = 200


@dataclass(frozen=True)
class Size:
    """What came of windows of one size, by feature [F]; NaN where nothing is known.

    Attributes
    ----------
    rows
        Rows of a typical window.
    false, low, high
        False episodes a month, and an interval of 95 % of it.
    open_share
        Share of the windows during which an episode is open.
    noisiest
        Statistic of most of the false episodes; "" where there are none.
    limit, largest
        Of PSI in a typical window; NaN where it is not judged.
    is_blind
        PSI cannot exceed its limit.
    smallest_shift, smallest_missing
        In sigma and as a share, of a typical window.
    delays
        [changes, F] Windows until half of the changes are told; NaN where fewer ever are.
    """

    rows: int
    false: Floats
    low: Floats
    high: Floats
    open_share: Floats
    noisiest: list[str]
    psi: Floats
    limit: Floats
    is_blind: NDArray[np.bool_]
    values: Ints
    smallest_shift: Floats
    smallest_missing: Floats
    missing_limit: Floats
    delays: Floats


@dataclass(frozen=True)
class Trial:
    """What came of one length.

    Attributes
    ----------
    seen, seen_months
        Episodes of the slices themselves, by feature [F], and how many months they span.
    sizes
        By size, the smallest first.
    usual
        Place of the size that the slices have.
    """

    length: str
    slices: int
    calibration: Calibration
    seen: Ints
    seen_months: float
    sizes: tuple[Size, ...]
    usual: int


class _Units:
    """Slices by day, or by week: what months are put together from."""

    def __init__(self, slices: Slices, length: str, timezone: str) -> None:
        local = slices.starts_ms + offsets_ms(slices.starts_ms, ZoneInfo(timezone))
        is_short = length in ("hour", "day")
        key = local // DAY_MS if is_short else np.arange(len(local))
        self.days = 1 if is_short else DAYS[length]
        self.of_slice = np.unique(key, return_inverse=True)[1]
        self.n = int(self.of_slice.max()) + 1
        self.offset_ms = local % DAY_MS if length == "hour" else np.zeros(len(local), np.int64)
        first = np.searchsorted(self.of_slice, np.arange(self.n))
        self.is_weekend = slices.is_weekend[first] if is_short else None
        per_day = len(local) / self.n
        # Weeks of neighbouring days, all over the reference.
        n_weeks = max(1, int(_MOST / per_day) // 7)
        self.used = np.arange(self.n)
        if self.n > 7 * n_weeks:
            begins = np.linspace(0, self.n - 7, n_weeks).astype(np.int64)
            self.used = np.unique((begins[:, None] + np.arange(7)).ravel())
        self.fold_of_unit = np.arange(self.n) * min(self.n, _FOLDS) // self.n


def run(
    reference: Reference,
    length: str,
    rule: Rule,
    *,
    sizes: Sequence[int] | None,
    factors: Sequence[float],
    seed: Sequence[int],
    months: int,
    bins: Ints | None,
    progress: Callable[[], None],
) -> Trial:
    """Put a length to the test that has more slices than a calibration needs.

    Parameters
    ----------
    sizes
        Rows of a typical window; None takes `factors` times what the slices have.
    bins : int64 array [S, gridset.size], or None
        Profiles of the slices, where a limit needs them.
    progress
        Called `steps` times.
    """
    calibration = from_reference(reference, ALL, length)
    assert calibration is not None  # it has the slices
    world = World(reference, length, calibration, bins)
    units = _Units(world.slices, length, reference.timezone)
    typical = max(1, int(np.median(world.slices.rows)))
    wanted = [typical * f for f in factors] if sizes is None else [float(n) for n in sizes]
    ratios = sorted({max(1.0, n) / typical for n in wanted} | {1.0})
    judged = _Judged(world, units, rule, ratios, seed, progress)
    judge = Judge(reference, ALL, length, calibration, rule)
    made = []
    for place, ratio in enumerate(ratios):
        draw = np.random.default_rng([*seed, 1, place])
        told = judged.months(place, draw, months)
        delays = judged.delays(place, draw)
        made.append(_size(world, judge, draw, ratio, told, delays, judged))
        progress()
    seen, span = judged.seen()
    return Trial(length, len(world), calibration, seen, span, tuple(made), ratios.index(1.0))


def steps(slices: Slices, length: str, timezone: str, n_sizes: int) -> int:
    """How often `run` says that it is further."""
    return min(_Units(slices, length, timezone).n, _FOLDS) + n_sizes


class _Judged:
    """The marks of windows drawn from every slice that is used."""

    def __init__(
        self,
        world: World,
        units: _Units,
        rule: Rule,
        ratios: Sequence[float],
        seed: Sequence[int],
        progress: Callable[[], None],
    ) -> None:
        self._world, self._units = world, units
        self._nominal_ms = NOMINAL_MS[world.length]
        is_used = np.isin(units.of_slice, units.used)
        self._slots = np.flatnonzero(is_used)
        n_slots = len(self._slots)
        place_of = np.full(len(world), -1)
        place_of[self._slots] = np.arange(n_slots)
        copies = (max(1, -(-_CALM // n_slots)), max(1, -(-_CHANGED // n_slots)))
        changes = (Change(), *CHANGES)
        n_features = len(world.reference.gridset.features)
        self.names: list[str] = []
        # Of the months that were put together.
        self.span_months, self.n_windows = 0.0, 1
        # By size and change: [copies, slots, F, statistics].
        self._marks: list[list[Marks]] = []
        fold_of = units.fold_of_unit[units.of_slice]
        for number in np.unique(fold_of).tolist():
            here = fold_of == number
            without = world.without(here)
            learnt = from_reference(without, ALL, world.length)
            judge = Judge(without, ALL, world.length, learnt, rule)
            draw = np.random.default_rng([*seed, 0, number])
            mine = np.flatnonzero(here & is_used)
            jobs, parts = [], [world.seen().take(np.flatnonzero(here).tolist())]
            which = [np.flatnonzero(here)]
            for size, ratio in enumerate(ratios):
                for place, change in enumerate(changes):
                    again = np.tile(mine, copies[place > 0])
                    rows = np.maximum(np.rint(world.slices.rows[again] * ratio), 1)
                    jobs.append((size, place))
                    parts.append(world.draw(draw, again, rows.astype(np.int64), change))
                    which.append(again)
            marks = self._judge(judge, parts, np.concatenate(which))
            shape = (n_slots, n_features, len(self.names))
            if not self._marks:
                self._marks = [
                    [np.zeros((copies[c > 0], *shape), np.uint8) for c in range(len(changes))]
                    for _ in ratios
                ]
                self._seen = np.zeros((len(world), *shape[1:]), np.uint8)
            self._seen[here] = marks[: here.sum()]
            at = int(here.sum())
            for size, place in jobs:
                n = copies[place > 0] * len(mine)
                block = marks[at : at + n].reshape(copies[place > 0], len(mine), *shape[1:])
                self._marks[size][place][:, place_of[mine]] = block
                at += n
            progress()

    def _judge(self, judge: Judge, parts: list[Stack], which: Ints) -> Marks:
        """Marks for a warning [W, F, statistics]."""
        made, at = [], 0
        # Some thousand windows at once keep the memory small.
        while parts:
            some: list[Stack] = []
            n = 0
            while parts and (not some or n + len(parts[0].counts) <= 2_048):
                some.append(parts.pop(0))
                n += len(some[-1].counts)
            here = which[at : at + n]
            at += n
            if not n:
                continue
            found = judge.judge(Stack.together(some), self._world.at_of(here), with_measures=False)
            self.names = list(found.marks)
            made.append(np.stack([marks[:, :, 0] for marks in found.marks.values()], axis=-1))
        return np.concatenate(made)

    def seen(self) -> tuple[Ints, float]:
        """False episodes of the slices themselves by feature, and the months they span."""
        starts = self._world.slices.starts_ms
        ends = starts + self._nominal_ms
        told = self._fold(self._seen, starts, ends)
        opened = np.array([[t.opened for t in of] for of in told])
        span = (int(ends[-1]) - int(starts[0])) / DAY_MS / MONTH_DAYS
        return opened.sum(axis=1), span

    def _fold(
        self, marks: Marks, starts: Ints, ends: Ints, *, is_first_enough: bool = False
    ) -> list[list[Told]]:
        exceeds = (marks == Mark.EXCEEDS).sum(axis=0) >= 2
        made = [[NOTHING] * marks.shape[2] for _ in range(marks.shape[1])]
        for feature, statistic in np.argwhere(exceeds).tolist():
            made[feature][statistic] = fold(
                marks[:, feature, statistic],
                starts,
                ends,
                self._nominal_ms,
                is_first_enough=is_first_enough,
            )
        return made

    def _put_together(
        self, draw: np.random.Generator, n_units: int, weight: Ints, marks: Marks
    ) -> tuple[Marks, Ints, Ints]:
        """Windows of so many days or weeks in a row, with their starts and ends."""
        units = self._units
        of_used = units.of_slice[self._slots]
        first = np.searchsorted(of_used, units.used)
        last = np.searchsorted(of_used, units.used, side="right")
        weekend = None if units.is_weekend is None else units.is_weekend[units.used]
        order = runs(draw, n_units, weekend, weight, first=int(draw.integers(7)))
        n = (last - first)[order]
        begins = np.repeat(first[order], n)
        slots = begins + np.arange(n.sum()) - np.repeat(n.cumsum() - n, n)
        day = np.repeat(np.arange(n_units), n)
        starts = day * units.days * DAY_MS + units.offset_ms[self._slots[slots]]
        copy = draw.integers(len(marks), size=len(slots))
        return marks[copy, slots], starts, starts + self._nominal_ms

    def months(self, size: int, draw: np.random.Generator, months: int) -> list[list[list[Told]]]:
        """What months without any change told: by world, feature and statistic."""
        n_units = max(1, round(months * MONTH_DAYS / self._units.days))
        n_used = len(self._units.used)
        self.span_months = n_units * self._units.days / MONTH_DAYS
        made = []
        for _ in range(_WORLDS):
            weight = draw.multinomial(n_used, np.full(n_used, 1 / n_used))
            windows = self._put_together(draw, n_units, weight, self._marks[size][0])
            made.append(self._fold(*windows))
            self.n_windows = len(windows[1])
        return made

    def delays(self, size: int, draw: np.random.Generator) -> Floats:
        """Windows until a change is told [changes, F]: the median; NaN where half are not."""
        n_units = max(2, _WAIT_DAYS[self._world.length] // self._units.days)
        weight = np.ones(len(self._units.used), np.int64)
        made = []
        for marks in self._marks[size][1:]:
            took = np.full((_ONSETS, marks.shape[2]), np.inf)
            for onset in range(_ONSETS):
                windows, starts, ends = self._put_together(draw, n_units, weight, marks)
                for feature, of in enumerate(
                    self._fold(windows, starts, ends, is_first_enough=True)
                ):
                    first = [told.first for told in of if told.first >= 0]
                    if first:
                        passed = int(ends[min(first)] - starts[0])
                        took[onset, feature] = passed / self._nominal_ms
            middle = np.median(took, axis=0)
            made.append(np.where(np.isfinite(middle), np.round(middle, 1), np.nan))
        return np.array(made)


def _size(
    world: World,
    judge: Judge,
    draw: np.random.Generator,
    ratio: float,
    told: list[list[list[Told]]],
    delays: Floats,
    judged: _Judged,
) -> Size:
    opened = np.array([[[one.opened for one in of] for of in some] for some in told])
    while_open = np.array([[max(one.open_windows for one in of) for of in some] for some in told])
    by_feature = opened.sum(axis=2)
    false, low, high = _rate(by_feature, judged.span_months)
    most = opened.sum(axis=0)
    noisiest = [judged.names[int(of.argmax())] if of.any() else "" for of in most]

    place = np.unique(np.linspace(0, len(world) - 1, _READ).astype(np.int64))
    rows = np.maximum(np.rint(world.slices.rows[place] * ratio), 1).astype(np.int64)
    at = world.at_of(place)
    found = judge.judge(world.draw(draw, place, rows), at, with_measures=False)
    grids, reference = world.reference.gridset, world.reference
    limit = found.psi_limit
    has_limit = ~np.isnan(limit)
    unjudged = has_limit & (found.marks["psi"][:, :, 0] == Mark.NOT_EVALUABLE)
    is_blind = unjudged.sum(axis=0) * 2 > has_limit.sum(axis=0)
    seen = np.where(unjudged, np.nan, limit)
    own = observe(reference, reference.profiles[ALL].counts[None, :])
    hits, m = own.of("missing")
    tolerance = found.rates["missing"].limit
    rise = visible_points(rows[:, None], hits, m, tolerance)
    # A rate itself is held against a fixed limit.
    plain = np.maximum(tolerance - hits / np.maximum(m, 1), 0.0)
    rise = np.where(found.fixed["missing"], plain, rise)
    return Size(
        rows=int(np.median(rows)),
        false=false,
        low=low,
        high=high,
        open_share=while_open.sum(axis=0) / (len(told) * judged.n_windows),
        noisiest=noisiest,
        psi=_middle(found.psi),
        limit=_middle(limit),
        is_blind=is_blind,
        values=np.median(found.values, axis=0).astype(np.int64),
        smallest_shift=_middle(visible_shift(grids, judge.compared(at), seen), least=0.5),
        smallest_missing=_middle(rise),
        missing_limit=_middle(tolerance),
        delays=delays,
    )


def _rate(opened: Ints, months: float) -> tuple[Floats, Floats, Floats]:
    """Episodes a month [F] with an interval of 95 %, from their numbers [worlds, F].

    Chance in the counts (Poisson; F. Garwood, 1936), and how much the worlds, each of other
    days of the reference, differ beyond it.
    """
    exposure = len(opened) * months
    total = opened.sum(axis=0)
    rate = total / exposure
    low = np.where(total > 0, special.gammaincinv(np.maximum(total, 1), 0.025), 0.0) / exposure
    high = special.gammaincinv(total + 1, 0.975) / exposure
    beyond = (opened / months).var(axis=0, ddof=1) - rate / months
    # The two-sided normal quantile of 95 %.
    half = 1.96 * np.sqrt(np.maximum(beyond, 0.0))
    return rate, np.maximum(low - half, 0.0), high + half


def _middle(values: Floats, least: float = 0.0) -> Floats:
    """The median [F] of what is there of [W, F]; NaN where no more than a share is."""
    out = np.full(values.shape[1], np.nan)
    for feature, column in enumerate(values.T):
        there = column[~np.isnan(column)]
        if len(there) > least * len(column):
            out[feature] = np.median(there)
    return out
