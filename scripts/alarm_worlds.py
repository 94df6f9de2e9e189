"""Streams whose truth is known, judged by the rule itself: what `make bench-alarms` is made of.

A world says how a feature's hours (or days) behave while nothing is wrong, or from when on
something is. Its windows are drawn as counts on a real grid, a reference is made of 28 days
of them, and `Judge` and `episodes.step` say what a user would be told. Nothing here decides
anything: the rules it is compared with are written out below, and folded the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from driftline.stats.calibration import (
    Calibration,
    from_reference,
    leave_one_out_psi,
    observed_slices,
    unknown,
)
from driftline.stats.distance import ks_p_value
from driftline.stats.episodes import QUIET, step
from driftline.stats.evidence import Judge
from driftline.stats.grid import NumericGrid
from driftline.stats.gridset import Gridset
from driftline.stats.groups import psi_by_feature
from driftline.stats.judgement import Judgement, Mark
from driftline.stats.lengths import DAY_MS, HOUR_MS, NOMINAL_MS
from driftline.stats.profile import COUNTERS, Profile
from driftline.stats.reference import Reference, build_reference
from driftline.stats.season import when as place_of
from driftline.stats.slicing import Slices
from driftline.stats.stack import Stack
from monitor.detect.incidents import REOPENS_WITHIN_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Monday, 1 January 2024, 00:00 UTC: weekends are where one expects them.
FIRST_MS = 1_704_067_200_000
REFERENCE_DAYS = 28
MONTH_DAYS = 30
# Rows that the grid is made of; their number matters little, 256 bins need some thousands.
GRID_ROWS = 20_000


@dataclass(frozen=True)
class Windows:
    """Windows one after the other: number since the first hour or day, hour, weekend."""

    starts_ms: Ints
    hour: Ints
    is_weekend: Bools

    def __len__(self) -> int:
        return len(self.starts_ms)


def windows(length: str, first: int, n: int) -> Windows:
    """`n` windows of a length, the `first` of them counted from `FIRST_MS`."""
    starts = FIRST_MS + NOMINAL_MS[length] * np.arange(first, first + n)
    days = (starts - FIRST_MS) // DAY_MS
    return Windows(starts, starts // HOUR_MS % 24, days % 7 >= 5)


# Bin shares of each window, [W, bins], of a feature with this grid.
Shares = Callable[[NumericGrid, Windows, np.random.Generator], Floats]


def normal_shares(grid: NumericGrid, mean: Floats, sd: float | Floats = 1.0) -> Floats:
    """Shares [W, bins] of normal values with these means: the grid's cells cut them exactly."""
    ends = grid.upper()[None, :-1]
    scale = np.broadcast_to(np.asarray(sd, np.float64), np.shape(mean))[:, None]
    below = special.ndtr((ends - np.asarray(mean)[:, None]) / scale)
    return np.diff(below, prepend=0.0, append=1.0, axis=1)


def calm(grid: NumericGrid, when: Windows, _: np.random.Generator) -> Floats:
    """Independent rows of one and the same normal distribution."""
    return normal_shares(grid, np.zeros(len(when)))


# PSI wobbles by (B - 1) / 2,000 = .0045: nothing at 200 rows, 45 times the noise at 10,000.
CONCENTRATION = 2_000


def dirichlet(grid: NumericGrid, when: Windows, rng: np.random.Generator) -> Floats:
    """The shares of ten tenths wobble from window to window, each window by itself."""
    plain = normal_shares(grid, np.zeros(1))[0]
    tenth = np.minimum((np.cumsum(plain) - plain / 2) * 10, 9).astype(int)
    mass = np.bincount(tenth, plain, 10)
    drawn = rng.dirichlet(CONCENTRATION * mass, len(when))
    return (plain / mass[tenth])[None, :] * drawn[:, tenth]


def daily(grid: NumericGrid, when: Windows, _: np.random.Generator) -> Floats:
    """The mean goes up and down by .6 sigma with the clock, every day alike."""
    return normal_shares(grid, 0.6 * np.sin(when.hour * np.pi / 12))


def weekly(grid: NumericGrid, when: Windows, _: np.random.Generator) -> Floats:
    """The daily cycle on weekdays; on weekends a flatter one, half a sigma higher."""
    cycle = np.sin(when.hour * np.pi / 12)
    return normal_shares(grid, np.where(when.is_weekend, 0.5 + 0.2 * cycle, 0.6 * cycle))


def persistent(sd: float, phi: float = 0.9) -> Shares:
    """The mean wanders: AR(1) from window to window, `sd` sigmas wide."""

    def shares(grid: NumericGrid, when: Windows, rng: np.random.Generator) -> Floats:
        return normal_shares(grid, sd * autoregressive(phi, len(when), rng))

    return shares


def bursts(share: float, by: float) -> Shares:
    """Now and then a window is `by` sigmas off, each by itself: holidays, storms, batches."""

    def shares(grid: NumericGrid, when: Windows, rng: np.random.Generator) -> Floats:
        return normal_shares(grid, by * (rng.random(len(when)) < share))

    return shares


def autoregressive(phi: float, n: int, rng: np.random.Generator) -> Floats:
    """AR(1) of variance 1, from its stationary distribution on."""
    steps = rng.normal(size=n) * np.sqrt(1 - phi * phi)
    steps[0] = rng.normal()
    out = np.empty(n)
    level = 0.0
    for place, drawn in enumerate(steps):
        level = out[place] = phi * level + drawn
    return out


def shifted(by: float, sd: float = 1.0) -> Shares:
    """What `calm` turns into: the mean `by` sigmas higher, or spread `sd` times as wide."""

    def shares(grid: NumericGrid, when: Windows, _: np.random.Generator) -> Floats:
        return normal_shares(grid, np.full(len(when), by), sd)

    return shares


def overdispersed(share: float, rho: float, phi: float, n: int, rng: np.random.Generator) -> Floats:
    """Shares of missing rows [n]: beta with variance rho p (1 - p), correlated from day to day.

    The correlation is of the normal scores (a Gaussian copula).
    """
    total = 1 / rho - 1
    quantiles = special.ndtr(autoregressive(phi, n, rng))
    return np.asarray(stats.beta.ppf(quantiles, share * total, (1 - share) * total))


def gridset(n_features: int, rng: np.random.Generator, shares: Shares = calm) -> Gridset:
    """Grids of so many features, each made of rows of its own as registration makes them.

    The rows are drawn from all hours of a week alike, as `shares` has them.
    """
    fine = build_reference(pd.DataFrame({"x": rng.normal(0, 1.5, GRID_ROWS)})).gridset
    wide = fine.features[0].grid
    assert isinstance(wide, NumericGrid)
    columns = {}
    ends = wide.upper()
    middle = np.concatenate([ends[:1], (ends[:-2] + ends[1:-1]) / 2, ends[-2:-1]])
    for f in range(n_features):
        mixed = shares(wide, windows("hour", 0, 24 * 7), rng).mean(axis=0)
        counts = rng.multinomial(GRID_ROWS, mixed)
        # A little noise tells the values of one bin apart: without it each bin is an atom.
        values = np.repeat(middle, counts) + rng.normal(0, 0.02, GRID_ROWS)
        columns[f"x{f}"] = values
    return build_reference(pd.DataFrame(columns)).gridset


def draw(
    grids: Gridset,
    shares: Shares,
    when: Windows,
    rows: int,
    rng: np.random.Generator,
    missing: Floats | None = None,
) -> Ints:
    """Counts [W, gridset.size] of windows with so many rows each.

    `missing` [F, W] is the share of rows whose value is null.
    """
    counts = np.zeros((len(when), grids.size), np.int64)
    counts[:, 0] = rows
    for f, feature in enumerate(grids.features):
        assert isinstance(feature.grid, NumericGrid)
        n = np.full(len(when), rows)
        if missing is not None:
            nulls = rng.binomial(rows, missing[f])
            counts[:, grids.counters[f, COUNTERS.index("null")]] = nulls
            n = n - nulls
        # Float shares may add up to a hair more than 1, which `multinomial` refuses.
        p = shares(feature.grid, when, rng)
        counts[:, grids.bins[f]] = rng.multinomial(n, p / p.sum(axis=1, keepdims=True))
    return counts


def reference_of(grids: Gridset, counts: Ints, when: Windows, length: str) -> Reference:
    """The reference whose full slices are these windows; `test_worlds` holds it to the real one.

    Out of range is 0 in every slice: where PSI is judged it alarms nobody.
    """
    n, features = len(counts), len(grids.features)
    total = counts.sum(axis=0)
    nothing = np.zeros((n, features), np.int32)
    counter = {name: grids.counters[:, place] for place, name in enumerate(COUNTERS)}
    missing = counts[:, counter["absent"]] + counts[:, counter["null"]] + counts[:, counter["nan"]]
    slices = Slices(
        starts_ms=when.starts_ms,
        is_weekend=when.is_weekend,
        rows=counts[:, 0],
        groups=grids.sum_groups(counts).astype(np.int32),
        missing=missing.astype(np.int32),
        type_error=counts[:, counter["type_error"]].astype(np.int32),
        unseen=nothing,
        out_of_range=nothing,
    )
    return Reference(
        gridset=grids,
        profiles={"all": _profile(grids, total)},
        buckets={
            "all": {
                "weekday": _profile(grids, counts[~when.is_weekend].sum(axis=0)),
                "weekend": _profile(grids, counts[when.is_weekend].sum(axis=0)),
            }
        },
        slices={"all": {length: slices}},
        dimensions={},
        timezone="UTC",
        first_ms=int(when.starts_ms[0]),
        last_ms=int(when.starts_ms[-1]) + NOMINAL_MS[length] - 1,
        rows=int(total[0]),
    )


def _profile(grids: Gridset, counts: Ints) -> Profile:
    empty = Profile.empty(grids, with_sums=False)
    return Profile(counts, None, empty.low, empty.high, grids.digest)


@dataclass(frozen=True)
class Month:
    """A reference, its calibration, and the windows that came after it, judged."""

    reference: Reference
    length: str
    calibration: Calibration
    when: Windows
    counts: Ints
    found: Judgement


def month(
    shares: Shares,
    rows: int,
    n_features: int,
    seed: int,
    *,
    length: str = "hour",
    after: Shares | None = None,
    missing: Callable[[int, np.random.Generator], Floats] | None = None,
    n_windows: int | None = None,
) -> Month:
    """28 days of a world as the reference, then 30 days judged against it.

    Parameters
    ----------
    rows
        Of each window, in the reference and after it.
    after
        The world after the reference; the same one unless given.
    missing
        Shares of null values of n consecutive windows of a feature.
    n_windows
        Instead of 30 days.
    """
    rng = np.random.default_rng(seed)
    per_day = DAY_MS // NOMINAL_MS[length]
    n_before = REFERENCE_DAYS * per_day
    n_after = n_windows or MONTH_DAYS * per_day
    grids = gridset(n_features, rng, shares)
    # One draw for both: what is persistent goes on where the reference ends.
    rates = None
    if missing is not None:
        rates = np.stack([missing(n_before + n_after, rng) for _ in range(n_features)])
    before, when = windows(length, 0, n_before), windows(length, n_before, n_after)
    if after is None:
        both = draw(grids, shares, windows(length, 0, n_before + n_after), rows, rng, rates)
        known, counts = both[:n_before], both[n_before:]
    else:
        known = draw(grids, shares, before, rows, rng)
        counts = draw(grids, after, when, rows, rng)
    reference = reference_of(grids, known, before, length)
    calibration = from_reference(reference, "all", length)
    assert calibration is not None
    return judged(reference, length, calibration, when, counts)


def judged(
    reference: Reference, length: str, calibration: Calibration, when: Windows, counts: Ints
) -> Month:
    """The windows under the real rule."""
    judge = Judge(reference, "all", length, calibration)
    windows_ = Stack.of_counts(counts, len(reference.gridset.features))
    at = place_of(when.starts_ms, reference.timezone)
    # Nothing here asks for distances that no rule reads; without sums there are not all of them.
    found = judge.judge(windows_, at, with_measures=False)
    return Month(reference, length, calibration, when, counts, found)


@dataclass(frozen=True)
class Told:
    """What folding one statistic of F features over a month tells.

    Attributes
    ----------
    episodes
        [F] How often each feature fired.
    incidents
        [F] What a user would be told of: an episode that comes back within 14 days of the end
        of the one before is the same incident.
    on
        [F] The share of windows in which it was latched.
    first
        [F] The number of the window that fired first (1 = the first); 0 = none did.
    runs
        [F] Stretches of windows over the line, one window or more: how often a rule would
        have alarmed that asks for no second window.
    """

    episodes: Ints
    incidents: Ints
    on: Floats
    first: Ints
    runs: Ints


def told(marks: NDArray[np.uint8], when: Windows, length: str) -> Told:
    """Fold marks [W, F] as the evaluator does."""
    nominal = NOMINAL_MS[length]
    n_windows, n_features = marks.shape
    episodes, incidents, first = (np.zeros(n_features, np.int64) for _ in range(3))
    on = np.zeros(n_features)
    starts = when.starts_ms.tolist()
    for f in range(n_features):
        state, ended_ms = QUIET, -np.inf
        for place, (start, mark) in enumerate(zip(starts, marks[:, f].tolist(), strict=True)):
            was_on = state.latch is not None
            state, ended = step(state, start, start + nominal, mark, nominal)
            if ended is not None and ended.closed_ms is not None:
                ended_ms = ended.closed_ms
            is_on = state.latch is not None
            on[f] += is_on
            if is_on and (not was_on or ended is not None):
                episodes[f] += 1
                incidents[f] += start + nominal - ended_ms > REOPENS_WITHIN_MS
                first[f] = first[f] or place + 1
    over = np.vstack([np.zeros((1, n_features), np.bool_), marks == Mark.EXCEEDS])
    runs = (over[1:] & ~over[:-1]).sum(axis=0)
    return Told(episodes, incidents, on / n_windows, first, runs)


def _over(exceeds: Bools) -> NDArray[np.uint8]:
    """Marks of a rule that knows no state in between."""
    return np.where(exceeds, Mark.EXCEEDS, Mark.CLEAR).astype(np.uint8)


def plain_psi(made: Month) -> Floats:
    """PSI [W, F] against the whole reference: other rules know no seasons."""
    grids = made.reference.gridset
    whole = grids.sum_groups(made.reference.profiles["all"].counts[None, :])
    return psi_by_feature(grids, whole, grids.sum_groups(made.counts))[0]


def by_psi(made: Month, line: float = 0.2) -> NDArray[np.uint8]:
    """The fixed limit: PSI of the same ten groups above .2."""
    return _over(plain_psi(made) > line)


def _ks_p(made: Month) -> Floats:
    m = int(made.reference.rows)
    return np.asarray(ks_p_value(made.found.ks_low, m, made.found.values))


def by_ks(made: Month, alpha: float = 0.05) -> NDArray[np.uint8]:
    """The two-sample Kolmogorov-Smirnov test of each window, p below .05."""
    return _over(_ks_p(made) < alpha)


def by_benjamini_hochberg(made: Month, alpha: float = 0.05) -> NDArray[np.uint8]:
    """The same test, the false discovery rate over the features of a window kept at 5 %."""
    adjusted = stats.false_discovery_control(np.clip(_ks_p(made), 0, 1), axis=1)
    return _over(adjusted < alpha)


def by_chunks(made: Month) -> NDArray[np.uint8]:
    """PSI above mean + 3 sd of the reference's own chunks, each against the others."""
    slices = made.reference.slices["all"][made.length]
    own = leave_one_out_psi(made.reference, observed_slices(made.reference, slices), made.length)
    return _over(plain_psi(made) > own.mean(axis=0) + 3 * own.std(axis=0, ddof=1))


def by_the_rule(made: Month) -> NDArray[np.uint8]:
    """The marks of PSI as `Judge` sets them."""
    return made.found.marks["psi"][:, :, 0]


def by_the_rule_without_times(made: Month) -> NDArray[np.uint8]:
    """The marks of PSI where the reference has no times: no wobble is known, only noise."""
    none = unknown(made.reference)
    again = judged(made.reference, made.length, none, made.when, made.counts)
    return by_the_rule(again)


RULES: dict[str, Callable[[Month], NDArray[np.uint8]]] = {
    "PSI > 0.2": by_psi,
    "KS p < 0.05": by_ks,
    "Benjamini-Hochberg 5 %": by_benjamini_hochberg,
    "mean + 3 sd of the reference's chunks": by_chunks,
    "this rule, reference without times": by_the_rule_without_times,
    "this rule": by_the_rule,
}
