"""Windows as the user's rows would make them: drawn from the slices of the reference.

A window is like one of the slices, as far as that slice differs from the others by more than
chance: the shares of a slice are drawn towards those of all until they wobble as much as the
rule says they do (tau2; for rates the same by their variance), and rows are drawn from these
shares. Drawn from a slice's rows alone they would carry the chance of that slice as well, and
windows of other sizes than the slices could not be made at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import Calibration, Floats, Ints
from driftline.stats.explain import shifted
from driftline.stats.grid import NumericGrid
from driftline.stats.gridset import Gridset
from driftline.stats.profile import COUNTERS, Profile
from driftline.stats.reference import ALL, Reference
from driftline.stats.season import N_BUCKETS, Season, When, bucket, when
from driftline.stats.slicing import Slices
from driftline.stats.stack import Stack

# What a row may hold of a feature, the value last.
_STATES: Final = ("missing", "type_error", "neither", "value")
_MISSING, _TYPE_ERROR, _NEITHER, _VALUE = range(len(_STATES))
_NULL: Final = COUNTERS.index("null")
_WRONG: Final = COUNTERS.index("type_error")
# Places of a span that hold a value, a missing one, or are added to others.
_ABSENT: Final = tuple(COUNTERS.index(name) for name in ("absent", "null", "nan"))
_INFINITE: Final = tuple(COUNTERS.index(name) for name in ("pos_inf", "neg_inf"))


@dataclass(frozen=True)
class Change:
    """What is done to the windows.

    Attributes
    ----------
    shift
        Sigma that every feature is shifted by; see `driftline.stats.explain`.
    missing
        What is added to the share of missing values, 0.05 = 5 points.
    """

    shift: float = 0.0
    missing: float = 0.0


class World:
    """The slices of one length, and windows drawn from them.

    Attributes
    ----------
    slices
    at
        Where the slices lie.
    """

    def __init__(
        self,
        reference: Reference,
        length: str,
        calibration: Calibration,
        bins: Ints | None = None,
    ) -> None:
        """`bins` [S, gridset.size] are the slices' whole profiles, where a limit needs them."""
        self.reference, self.length = reference, length
        self.slices: Slices = reference.slices[ALL][length]
        self.at: When = when(self.slices.starts_ms, reference.timezone)
        self._grids: Gridset = reference.gridset
        self._has_bins = bins is not None
        self._features = [
            _Feature(reference, self.slices, self.at, calibration, feature, bins)
            for feature in range(len(self._grids.features))
        ]

    def __len__(self) -> int:
        return len(self.slices.starts_ms)

    def at_of(self, which: Ints) -> When:
        """Where some of the slices lie."""
        return When(self.at.hour[which], self.at.is_weekend[which])

    def draw(
        self, draw: np.random.Generator, which: Ints, rows: Ints, change: Change = Change()
    ) -> Stack:
        """Draw windows [W] of so many rows [W], each like the slice `which` [W] of them names."""
        counts = np.zeros((len(which), self._grids.size), np.int64)
        counts[:, 0] = rows
        for feature in self._features:
            feature.draw(draw, which, rows, change, counts)
        return self._stack(counts)

    def seen(self, *, with_outside: bool = True) -> Stack:
        """The slices as they were; what lies outside of all others is known by itself, or not."""
        rows = self.slices.rows.astype(np.int64)
        counts = np.zeros((len(self), self._grids.size), np.int64)
        counts[:, 0] = rows
        for feature in self._features:
            outside = feature.outside if with_outside else np.zeros_like(feature.outside)
            feature.put(counts, feature.states, feature.cells, outside)
        return self._stack(counts)

    def without(self, left_out: NDArray[np.bool_]) -> Reference:
        """The reference as if the slices [S] had not been there."""
        # In the reference itself nothing is unseen, and nothing is out of range.
        seen, own = self.seen(with_outside=False), self.reference
        kept = {name: getattr(self.slices, name)[~left_out] for name in vars(self.slices)}
        weekend = self.slices.is_weekend
        buckets = {
            name: self._less(profile, seen, left_out & (weekend == (name == "weekend")))
            for name, profile in own.buckets.get(ALL, {}).items()
        }
        return replace(
            own,
            profiles={ALL: self._less(own.profiles[ALL], seen, left_out)},
            buckets={ALL: buckets},
            slices={ALL: {self.length: Slices(**kept)}},
            dimensions={},
        )

    def _less(self, profile: Profile, seen: Stack, left_out: NDArray[np.bool_]) -> Profile:
        whole = np.zeros(self._grids.size, np.int64)
        whole[0] = profile.counts[0]
        for feature in self._features:
            feature.collapse(profile.counts, whole)
        counts = np.maximum(whole - seen.counts[left_out].sum(axis=0), 0)
        sums = None
        if self._has_bins and profile.sums is not None:
            sums = profile.sums - seen.sums[left_out].sum(axis=0)
        return replace(profile, counts=counts, sums=sums)

    def _stack(self, counts: Ints) -> Stack:
        made = Stack.of_counts(counts, len(self._grids.features))
        if not self._has_bins:
            return made
        sums = np.zeros(counts.shape, np.int64)
        for place, feature in enumerate(self._features):
            feature.fill(counts, sums, made.low[:, place], made.high[:, place])
        return replace(made, sums=sums, has_sums=np.ones(len(counts), np.bool_))


class _Feature:
    """One feature of all slices: what its rows held, as shares.

    Attributes
    ----------
    states : int64 array [S, 4]
        Rows by state.
    cells : int64 array [S, cells]
        Values by group; by bin where the slices' bins are known.
    outside : int64 array [S]
        Values that no other slice has, or that lie outside the range of all others.
    """

    def __init__(
        self,
        reference: Reference,
        slices: Slices,
        at: When,
        calibration: Calibration,
        feature: int,
        bins: Ints | None,
    ) -> None:
        grids = reference.gridset
        self._grids, self._feature = grids, feature
        grid = grids.features[feature]
        self._is_numeric = isinstance(grid.grid, NumericGrid)
        self._span = grids.span(feature)
        self._whole, self._has_bins = reference.profiles[ALL], bins is not None
        self._choose()
        groups = slices.groups[:, grids.groups[feature]].astype(np.int64)
        self.cells = groups if bins is None else bins[:, self._places]
        missing, wrong = (
            getattr(slices, name)[:, feature].astype(np.int64) for name in ("missing", "type_error")
        )
        values = self.cells.sum(axis=1)
        rows = slices.rows.astype(np.int64)
        self.states = np.stack([missing, wrong, rows - missing - wrong - values, values], axis=1)
        outside = slices.out_of_range if self._is_numeric else slices.unseen
        self.outside = outside[:, feature].astype(np.int64)

        season = int(calibration.season[feature])
        self._bucket = bucket(season, at)
        n_buckets = N_BUCKETS[Season(season)]
        pooled = np.zeros((n_buckets, self.cells.shape[1]))
        np.add.at(pooled, self._bucket, self.cells)
        self._pool = _shares(pooled)
        tau2 = float(np.nan_to_num(calibration.tau2[feature]))
        n = np.maximum(values, 1)
        self._of_cells = np.sqrt(tau2 / (tau2 + 1 / n))
        self._of_states = np.maximum.reduce(
            [_kept(self.states[:, state], rows) for state in (_MISSING, _TYPE_ERROR)]
        )
        self._of_outside = _kept(self.outside, values)

    def _choose(self) -> None:
        """Where the cells lie: a bin for each group, or every bin."""
        grids, feature = self._grids, self._feature
        span, grid = grids.bins[feature], grids.features[feature]
        self._beyond = int(grids.over[feature] if self._is_numeric else grids.unseen[feature])
        if self._has_bins:
            self._places = np.arange(span.start, span.stop)
            # In the order of groups, in which a shift moves; bins of no group come last.
            order = np.where(grid.groups < 0, grid.n_groups, grid.groups)
            self._places = self._places[np.argsort(order, kind="stable")]
            return
        special = {int(grids.under[feature]), int(grids.over[feature])}
        self._places = np.zeros(grid.n_groups, np.int64)
        for group in range(grid.n_groups):
            own = np.flatnonzero(grid.groups == group) + span.start
            inside = [place for place in own.tolist() if place not in special]
            self._places[group] = inside[0] if inside else own[0]

    def collapse(self, counts: Ints, into: Ints) -> None:
        """Add one profile's counts of this feature to `into`, on the places used here."""
        span, grid = self._grids.bins[self._feature], self._grids.features[self._feature]
        counters = self._grids.counters[self._feature]
        into[counters[_NULL]] = counts[counters[list(_ABSENT)]].sum()
        into[counters[_WRONG]] = counts[counters[_WRONG]]
        into[counters[_INFINITE[0]]] = counts[counters[list(_INFINITE)]].sum()
        if self._has_bins:
            into[span] = counts[span]
            return
        for group, place in enumerate(self._places.tolist()):
            into[place] += counts[span][grid.groups == group].sum()

    def draw(
        self, draw: np.random.Generator, which: Ints, rows: Ints, change: Change, counts: Ints
    ) -> None:
        states = _mixed(_shares(self.states)[which], _pooled(self.states), self._of_states[which])
        if change.missing:
            states = _with_missing(states, change.missing)
        by_state = draw.multinomial(rows, states)
        values = by_state[:, _VALUE]
        cells = np.zeros((len(which), self.cells.shape[1]), np.int64)
        outside = np.zeros(len(which), np.int64)
        if self.cells.shape[1]:
            pool = self._pool[self._bucket[which]]
            shares = _mixed(_shares(self.cells)[which], pool, self._of_cells[which])
            if change.shift:
                with np.errstate(divide="ignore", invalid="ignore"):
                    weight = np.where(pool > 0, shifted(pool, change.shift) / pool, 0.0)
                shares = _shares(shares * weight)
            # What cannot be drawn from holds nothing: no slice of its hour has a value.
            known = shares.sum(axis=1) > 0
            cells[known] = draw.multinomial(values[known], shares[known])
            share = self.outside / np.maximum(self.states[:, _VALUE], 1)
            all_outside = self.outside.sum() / max(int(self.states[:, _VALUE].sum()), 1)
            mixed = share * self._of_outside + all_outside * (1 - self._of_outside)
            outside = draw.binomial(cells.sum(axis=1), mixed[which])
        self.put(counts, by_state, cells, outside)

    def put(self, counts: Ints, states: Ints, cells: Ints, outside: Ints) -> None:
        """Write windows [W] into their profiles `counts` [W, size]."""
        counters = self._grids.counters[self._feature]
        counts[:, counters[_NULL]] = states[:, _MISSING]
        counts[:, counters[_WRONG]] = states[:, _TYPE_ERROR]
        if not cells.shape[1]:
            return
        if self._is_numeric:
            counts[:, counters[_INFINITE[0]]] = states[:, _NEITHER]
        left, inside = outside.copy(), cells.copy()
        for cell in range(cells.shape[1] - 1, -1, -1):
            taken = np.minimum(inside[:, cell], left)
            inside[:, cell] -= taken
            left -= taken
        counts[:, self._places] += inside
        counts[:, self._beyond] += outside - left

    def fill(
        self,
        counts: Ints,
        sums: Ints,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
    ) -> None:
        """Sums, range and the counts of zeros and negatives that go with these counts."""
        grid = self._grids.features[self._feature].grid
        if not isinstance(grid, NumericGrid):
            return
        span = self._grids.bins[self._feature]
        whole, own = self._whole.counts[span], counts[:, span]
        assert self._whole.sums is not None
        mean = self._whole.sums[span] / np.maximum(whole, 1)
        sums[:, span] = np.rint(own * mean)
        self._signs(own, whole, counts, grid.upper())
        ends = np.clip(grid.upper(), grid.low, grid.high)
        has = own > 0
        some = has.any(axis=1)
        first, last = has.argmax(axis=1), has.shape[1] - 1 - has[:, ::-1].argmax(axis=1)
        low[some] = np.concatenate([[grid.low], ends[:-1]])[first[some]]
        high[some] = ends[last[some]]

    def _signs(self, own: Ints, whole: Ints, counts: Ints, upper: Floats) -> None:
        """How many values are zero and negative: below the bin of zero all are."""
        counters = self._grids.counters[self._feature]
        zero = min(int(np.searchsorted(upper, 0.0)), len(upper) - 1)
        in_zero = max(int(whole[zero]), 1)
        zeros, negatives = (
            int(self._whole.counts[counters[COUNTERS.index(name)]]) for name in ("zero", "negative")
        )
        share = min(max(negatives - int(whole[:zero].sum()), 0) / in_zero, 1.0)
        below = own[:, :zero].sum(axis=1) + np.rint(own[:, zero] * share)
        counts[:, counters[COUNTERS.index("negative")]] = below
        share = min(zeros / in_zero, 1.0)
        counts[:, counters[COUNTERS.index("zero")]] = np.rint(own[:, zero] * share)


def _shares(counts: NDArray[np.int64] | Floats) -> Floats:
    """Shares [..., K]; zeros where there is nothing."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.asarray(counts / np.where(total > 0, total, 1))


def _pooled(counts: Ints) -> Floats:
    return _shares(counts.sum(axis=0))


def _mixed(own: Floats, pool: Floats, kept: Floats) -> Floats:
    """Shares [W, K] of windows that keep so much [W] of what is their own; they add up to 1."""
    made = own * kept[:, None] + pool * (1 - kept)[:, None]
    # A slice without a value is like all.
    made = np.where(own.sum(axis=1, keepdims=True) > 0, made, pool)
    return _shares(made)


def _kept(hits: Ints, n: Ints) -> Floats:
    """How much of each slice's distance from the common rate is more than chance, [S] in [0, 1]."""
    is_there = n > 0
    total = int(n.sum())
    common = int(hits.sum()) / total if total else 0.0
    if not 0 < common < 1:
        return np.zeros(len(n))
    chance = common * (1 - common) / np.maximum(n, 1)
    spread = (hits / np.maximum(n, 1) - common) ** 2
    beyond = max(0.0, float((spread - chance)[is_there].mean()))
    return np.asarray(np.sqrt(beyond / (beyond + chance)))


def _with_missing(states: Floats, added: float) -> Floats:
    """Shares of states [W, 4] with more rows missing, the others in proportion."""
    missing = np.minimum(states[:, _MISSING] + added, 1.0)
    left = np.maximum(1 - states[:, _MISSING], 1e-12)
    made = states * ((1 - missing) / left)[:, None]
    made[:, _MISSING] = missing
    return _shares(made)
