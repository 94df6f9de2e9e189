"""Two profiles of one feature, compared: sides, groups, levels, bins. Pure.

Counts on one grid are all that is needed: this module knows no database, and bars for
display are `bars`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import RATES, observe
from driftline.stats.distance import (
    chi_square,
    ks_interval,
    psi_contributions,
    round_down,
    round_significant,
    round_up,
)
from driftline.stats.grid import CategoricalGrid, NumericGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.profile import COUNTERS, Profile
from driftline.stats.reference import Reference
from driftline.stats.words import group_words, number
from monitor.storage.rows import UnseenValue

# Below five expected rows in a group a bound of PSI is not to be trusted.
HONEST_ROWS: Final = 5
# Beside the range a value this small is 0.
NOTHING: Final = 1e-9
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Incomparable:
    """Why two sides cannot be compared, in a sentence."""

    reason: str
    left: str
    right: str


@dataclass(frozen=True)
class Quantile:
    """A quantile of binned values: it lies in `[low, high]`, about at `value`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Side:
    """One of the two: a reference, or the panes of a range.

    Attributes
    ----------
    name
        "reference", or the version whose reference it is; empty for a range.
    from_ms, to_ms
        The range that was added up; None for a reference.
    is_cut
        Whether the range asked for had too many panes: only the newest were added.
    values
        Values in bins; missing, wrong and infinite ones are not.
    missing, type_error, out_of_range, unseen
        Shares, as findings store them; None where there is nothing to divide by.
    below, above
        Values under and over the reference's range; 0 for categories.
    mean
        Exact, of canonical values; None where sums are not kept or were clipped.
    low, high
        Smallest and largest value; None where there is none, or it is not kept.
    """

    name: str
    from_ms: int | None
    to_ms: int | None
    is_cut: bool
    rows: int
    values: int
    missing: float | None
    type_error: float | None
    out_of_range: float | None
    unseen: float | None
    below: int
    above: int
    n_missing: int
    n_type_error: int
    n_unseen: int
    infinite: int
    zeros: int
    negatives: int
    mean: float | None
    median: Quantile | None
    p5: Quantile | None
    p95: Quantile | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Group:
    """One PSI group: its counts, and how much of the PSI comes from it.

    `low` and `high` are its edges (low exclusive; None = open, or no numbers at all).
    """

    words: str
    low: float | None
    high: float | None
    is_atom: bool
    reference: int
    current: int
    reference_share: float
    current_share: float
    psi: float
    psi_share: float

    @property
    def is_more(self) -> bool:
        """Whether it holds a larger share than in the reference."""
        return self.current_share > self.reference_share


@dataclass(frozen=True)
class Level:
    """One row of a categorical feature.

    `kind` is "level", "other" (seen in the reference, rare) or "unseen". `psi_share` is None
    for those that share a PSI group with others: the group's row has it.
    """

    name: str
    kind: str
    reference: int
    current: int
    reference_share: float
    current_share: float
    psi_share: float | None

    @property
    def points(self) -> float:
        """Change of the share."""
        return self.current_share - self.reference_share


@dataclass(frozen=True)
class Bins:
    """The bins of a numeric feature: upper edges (the last is inf), atoms, counts of both."""

    upper: tuple[float, ...]
    is_atom: tuple[bool, ...]
    reference: tuple[int, ...]
    current: tuple[int, ...]
    low: float
    high: float
    is_integer: bool

    def ecdf(self) -> tuple[list[float], list[float], list[float]]:
        """Return edges and the share of values up to each, of the reference and of the range."""
        r, c = np.cumsum(self.reference), np.cumsum(self.current)
        return (
            list(self.upper[:-1]),
            (r[:-1] / max(int(r[-1]), 1)).tolist(),
            (c[:-1] / max(int(c[-1]), 1)).tolist(),
        )


@dataclass(frozen=True)
class Distribution:
    """A feature in two sides: what it is compared with (`reference`) and `current`.

    Attributes
    ----------
    kind
        numeric, categorical or presence.
    season
        Where PSI is of a part of the reference, which one: "weekday", "weekend", "17h hour",
        "weekend 17h hour"; else None.
    psi
        Exact; None without values on a side, or with a single group.
    ks_low, ks_high
        The certified interval of the two-sample statistic; None for categories.
    chi_square, chi_square_df
        Of the levels; None for numbers.
    is_honest
        Whether every group holds and expects five rows, so that a bound may be spoken of.
    groups
        By value; empty without PSI.
    bins
        Of a numeric feature; None otherwise.
    levels
        Of a categorical feature by name, other and unseen last; empty for numbers and where
        the categories are counted by hash.
    is_hashed
        Whether categories are too many to be known by name.
    new_values
        The most frequent values that the reference never saw: of all segments, ever.
    vanished
        Levels of the reference that the range does not have.
    constant
        The one value that all of the reference has, and None elsewhere.
    differs
        With a constant reference, the share of values that are another.
    notes
        What is not as it was asked for, a sentence each.
    """

    feature: str
    kind: str
    reference: Side
    current: Side
    season: str | None
    psi: float | None
    ks_low: float | None
    ks_high: float | None
    chi_square: float | None
    chi_square_df: int | None
    is_honest: bool
    groups: tuple[Group, ...]
    bins: Bins | None
    levels: tuple[Level, ...]
    is_hashed: bool
    new_values: tuple[UnseenValue, ...]
    vanished: tuple[str, ...]
    constant: str | None
    differs: float | None
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the range has no value at all: nothing to compare."""
        return self.current.values == 0


def side_of(
    reference: Reference,
    place: int,
    profile: Profile,
    name: str,
    from_ms: int | None,
    to_ms: int | None,
    is_cut: bool,
) -> Side:
    """Return what a profile says of the feature at `place` of the reference's gridset."""
    grids = reference.gridset
    feature = grids.features[place]
    seen = observe(reference, profile.counts[None, :])
    counters = {
        counter: int(profile.counts[grids.counters[place, at]])
        for at, counter in enumerate(COUNTERS)
    }
    counts = profile.counts[grids.bins[place]]
    n = int(counts.sum())
    applies = {"unseen": feature.kind == "categorical", "out_of_range": feature.kind == "numeric"}
    shares: dict[str, float | None] = {}
    hits = {}
    for rate in RATES:
        found, of = seen.of(rate)
        hits[rate] = int(found[0, place])
        total = int(of[0, place])
        known = total > 0 and applies.get(rate, True)
        # Rounded as findings are, so that the two say the same.
        shares[rate] = (
            float(round_significant(np.array([hits[rate] / total]))[0]) if known else None
        )
    grid = feature.grid
    p5 = median = p95 = None
    mean = low = high = None
    below = above = 0
    if isinstance(grid, NumericGrid) and n:
        low, high = float(profile.low[place]), float(profile.high[place])
        low, high = (low, high) if low <= high else (grid.low, grid.high)
        below, above = int(counts[0]), int(counts[-1])
        p5, median, p95 = (quantile(grid, counts, share, low, high) for share in (0.05, 0.5, 0.95))
        sums = profile.sums
        if sums is not None and sums[grids.counters[place, 0]] == 0:
            mean = float(sums[grids.bins[place]].sum()) * 2.0**grid.quantum / n
    return Side(
        name=name,
        from_ms=from_ms,
        to_ms=to_ms,
        is_cut=is_cut,
        rows=profile.rows,
        values=n,
        missing=shares["missing"],
        type_error=shares["type_error"],
        out_of_range=shares["out_of_range"],
        unseen=shares["unseen"],
        below=below,
        above=above,
        n_missing=hits["missing"],
        n_type_error=hits["type_error"],
        n_unseen=hits["unseen"],
        infinite=counters["pos_inf"] + counters["neg_inf"],
        zeros=counters["zero"],
        negatives=counters["negative"],
        mean=mean,
        median=median,
        p5=p5,
        p95=p95,
        low=low,
        high=high,
    )


def quantile(grid: NumericGrid, counts: Ints, share: float, low: float, high: float) -> Quantile:
    """Return where the `share`-quantile lies: in one bin, at a place in proportion to its rows.

    `low` and `high` are the smallest and the largest value: they close the open bins.
    """
    cumulated = np.cumsum(counts)
    rank = share * float(cumulated[-1])
    at = int(np.searchsorted(cumulated, max(rank, 1.0), side="left"))
    upper = shown_edges(grid)
    top = min(float(upper[at]), high) if at else min(float(upper[0]), grid.low)
    bottom = max(float(upper[at - 1]), low) if at else low
    if bool(grid.is_atom[at]):
        return Quantile(top, top, top)
    bottom, top = min(bottom, top), max(bottom, top)
    inside = int(counts[at])
    before = float(cumulated[at]) - inside
    value = bottom + (top - bottom) * min(1.0, max(0.0, (rank - before) / max(inside, 1)))
    return Quantile(value, bottom, top)


def compare(
    feature: str, grid: FeatureGrid, reference: Side, current: Side, r: Ints, c: Ints, judged: Ints
) -> Distribution:
    """Compare counts `r` and `c` of the bins; PSI is of `judged`, the season's part of `r`."""
    psi = ks_low = ks_high = chi = None
    df = None
    groups: tuple[Group, ...] = ()
    honest = False
    both = int(r.sum()) > 0 and int(c.sum()) > 0
    if both and grid.n_groups > 1:
        groups, psi, honest = _groups(grid, judged, c)
    bins = None
    levels: tuple[Level, ...] = ()
    vanished: tuple[str, ...] = ()
    values = grid.grid
    if isinstance(values, NumericGrid):
        bins = Bins(
            tuple(shown_edges(values).tolist()), tuple(values.is_atom.tolist()), tuple(r.tolist()),
            tuple(c.tolist()), values.low, values.high, values.cells == "integers",
        )  # fmt: skip
        if both:
            low, high = ks_interval(r, c, grid.is_atom())
            ks_low, ks_high = float(round_down(low)), float(round_up(high))
    elif values is not None:
        levels = _levels(values, grid, r, c, groups)
        vanished = tuple(
            level.name
            for level in levels
            if level.kind == "level" and level.reference and not level.current
        )
        if both:
            chi, df = float(chi_square(r, c)), max(int((r + c > 0).sum()) - 1, 1)
    constant, differs = _constant(values, r, c)
    return Distribution(
        feature=feature, kind=grid.kind, reference=reference, current=current, season=None,
        psi=psi, ks_low=ks_low, ks_high=ks_high, chi_square=chi, chi_square_df=df,
        is_honest=honest, groups=groups, bins=bins, levels=levels,
        is_hashed=isinstance(values, CategoricalGrid) and values.is_hashed,
        new_values=(), vanished=vanished if both else (), constant=constant, differs=differs,
    )  # fmt: skip


def _groups(grid: FeatureGrid, r: Ints, c: Ints) -> tuple[tuple[Group, ...], float, bool]:
    inside = grid.groups >= 0
    before = np.bincount(grid.groups[inside], weights=r[inside], minlength=grid.n_groups)
    now = np.bincount(grid.groups[inside], weights=c[inside], minlength=grid.n_groups)
    parts = psi_contributions(before, now)
    total = float(parts.sum())
    m, n = max(before.sum(), 1.0), max(now.sum(), 1.0)
    expected = before / m * n
    honest = bool((expected >= HONEST_ROWS).all() and (now >= HONEST_ROWS).all())
    groups = []
    for at in range(grid.n_groups):
        low, high, is_atom = _edges(grid, at)
        groups.append(
            Group(
                words=_words(grid, at, low, high, is_atom),
                low=low,
                high=high,
                is_atom=is_atom,
                reference=int(before[at]),
                current=int(now[at]),
                reference_share=float(before[at] / m),
                current_share=float(now[at] / n),
                psi=float(parts[at]),
                psi_share=float(parts[at]) / total if total > 0 else 0.0,
            )
        )
    return tuple(groups), float(round_significant(np.array(total))), honest


def _words(
    grid: FeatureGrid, group: int, low: float | None, high: float | None, is_atom: bool
) -> str:
    """Return `group_words`, with the edges that are shown."""
    if not isinstance(grid.grid, NumericGrid) or (low is None and high is None):
        return group_words(grid, group)
    if low is None:
        return f"values up to {number(high or 0.0, 4)}"
    if high is None:
        return f"values above {number(low, 4)}"
    if is_atom:
        return f"the value {number(high, 4)}"
    return f"values above {number(low, 4)} up to {number(high, 4)}"


def shown_edges(values: NumericGrid) -> NDArray[np.float64]:
    """Return the upper edges of the bins; what is nothing beside the range is 0.

    The cell of the float 0 ends at 6e-42: true, and no help to anyone.
    """
    upper = values.upper()
    nothing = NOTHING * max(abs(values.low), abs(values.high))
    return np.where(np.abs(upper) < nothing, 0.0, upper)


def _edges(grid: FeatureGrid, group: int) -> tuple[float | None, float | None, bool]:
    values = grid.grid
    bins = np.flatnonzero(grid.groups == group)
    if not isinstance(values, NumericGrid) or not len(bins):
        return None, None, False
    upper = shown_edges(values)
    first, last = int(bins[0]), int(bins[-1])
    return (
        None if first == 0 else float(upper[first - 1]),
        None if last == len(upper) - 1 else float(upper[last]),
        first == last and bool(values.is_atom[first]),
    )


def _levels(
    values: CategoricalGrid, grid: FeatureGrid, r: Ints, c: Ints, groups: Sequence[Group]
) -> tuple[Level, ...]:
    if values.is_hashed:
        return ()
    m, n = max(int(r.sum()), 1), max(int(c.sum()), 1)
    alone = np.bincount(grid.groups[grid.groups >= 0], minlength=grid.n_groups) == 1

    def row(at: int, name: str, kind: str) -> Level:
        group = int(grid.groups[at])
        known = bool(groups) and group >= 0 and bool(alone[group])
        return Level(
            name, kind, int(r[at]), int(c[at]), float(r[at]) / m, float(c[at]) / n,
            groups[group].psi_share if known else None,
        )  # fmt: skip

    rows = [row(at, name, "level") for at, name in enumerate(values.levels)]
    if values.rare:
        rows.append(row(values.other, "other", "other"))
    return (*rows, row(values.unseen, "unseen", "unseen"))


def _constant(
    values: NumericGrid | CategoricalGrid | None, r: Ints, c: Ints
) -> tuple[str | None, float | None]:
    """Return the one value that the reference has, and the share of values that differ."""
    filled = np.flatnonzero(r)
    if len(filled) != 1:
        return None, None
    at, n = int(filled[0]), int(c.sum())
    differs = 1 - float(c[at]) / n if n else None
    if isinstance(values, NumericGrid):
        if values.low != values.high:
            return None, None
        return f"{values.low:g}", differs
    if values is not None and not values.is_hashed and at < len(values.levels):
        return values.levels[at], differs
    return None, None
