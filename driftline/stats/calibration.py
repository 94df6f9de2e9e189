"""What a length's windows wobble by when nothing is wrong, learnt from windows known to be fine.

The windows are the reference's full slices, or, for a length with too few of
them, the first live windows among themselves. Both are compared leave-one-out:
each with the sum of the others.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.distance import MIN_ROWS_PSI as MIN_ROWS_PSI
from driftline.stats.gridset import Gridset
from driftline.stats.groups import per_feature, psi_by_feature
from driftline.stats.lengths import MIN_SLICES as MIN_SLICES
from driftline.stats.novelty import as_others_know, expected, expecting
from driftline.stats.profile import COUNTERS
from driftline.stats.reference import ALL, Reference
from driftline.stats.season import (
    SCHEMES,
    bucket,
    bucket_groups,
    judged_buckets,
    when,
)
from driftline.stats.slicing import Slices

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_ROWS = {"missing": 20, "type_error": 20, "unseen": 100, "out_of_range": 20}
RATES = tuple(MIN_ROWS)
# One-sided 99.9 %, like every other bound of the rule.
CONFIDENCE = 0.999
# Slices compared together: the hours of a year would take half a gigabyte.
_AT_ONCE = 1_024


class Observed(NamedTuple):
    """Windows of one length as the rule sees them: group counts and rates' counts.

    `groups` is [W, groups of all features]; the rest are [W, F]. `values` counts
    the values that fell into bins.
    """

    rows: Ints
    groups: Ints
    values: Ints
    missing: Ints
    type_error: Ints
    unseen: Ints
    out_of_range: Ints

    def of(self, rate: str) -> tuple[Ints, Ints]:
        """Return how many rows have the rate's property, and of how many, both [W, F]."""
        hits: Ints = getattr(self, rate)
        if rate in ("missing", "type_error"):
            return hits, np.broadcast_to(self.rows[:, None], hits.shape)
        return hits, self.values


@dataclass(frozen=True)
class Calibration:
    """The natural wobble of one segment's windows of one length.

    Attributes
    ----------
    source
        `reference`, `live`, or `none`: judged without knowing any wobble.
    windows
        How many windows it was learnt from.
    tau2
        [F] Variance of the wobble, per degree of freedom of PSI, >= 0. NaN
        where fewer than eight windows had the rows that PSI needs.
    guard
        [F] The PSI that windows known to be fine hardly ever pass (the 99th
        percentile; the largest where they are fewer than 100); limits never
        fall below it.
    guard_max
        [F] The largest PSI that windows known to be fine reach.
    season
        [F] `Season`: which windows of the reference a window is compared with.
    up, down
        {rate: [F]} How far the rate of a fine window may lie above or below
        the reference's, >= 0, as a share.
    """

    source: str
    windows: int
    tau2: Floats
    guard: Floats
    guard_max: Floats
    season: NDArray[np.int8]
    up: dict[str, Floats]
    down: dict[str, Floats]

    def to_json(self) -> dict[str, Any]:
        """Return a form JSON can hold, exact to the bit."""
        return {
            "source": self.source,
            "windows": self.windows,
            "tau2": _pack(self.tau2),
            "guard": _pack(self.guard),
            "guard_max": _pack(self.guard_max),
            "season": self.season.tolist(),
            "up": {rate: _pack(values) for rate, values in self.up.items()},
            "down": {rate: _pack(values) for rate, values in self.down.items()},
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Calibration:
        """Read `to_json`'s form back, and that of a release without hours' seasons."""
        return cls(
            source=body["source"],
            windows=body["windows"],
            tau2=_unpack(body["tau2"]),
            guard=_unpack(body["guard"]),
            # Both were learnt from fewer than 100 windows: the largest is the guard.
            guard_max=_unpack(body.get("guard_max", body["guard"])),
            season=np.array(body["season" if "season" in body else "seasonal"], dtype=np.int8),
            up={rate: _unpack(values) for rate, values in body["up"].items()},
            down={rate: _unpack(values) for rate, values in body["down"].items()},
        )

    def no_wilder_than(self, shorter: Calibration) -> Calibration:
        """Cap everything learnt at what a shorter length shows: averaging calms.

        Where the shorter length knows nothing the own figure stands.
        """
        return replace(
            self,
            tau2=np.fmin(self.tau2, shorter.tau2),
            guard=np.fmin(self.guard, shorter.guard),
            guard_max=np.fmin(self.guard_max, shorter.guard_max),
            up={rate: np.fmin(values, shorter.up[rate]) for rate, values in self.up.items()},
            down={rate: np.fmin(values, shorter.down[rate]) for rate, values in self.down.items()},
        )


def from_reference(
    reference: Reference, segment: str, length: str, *, with_season: bool = True
) -> Calibration | None:
    """Learn the wobble of a length from the reference's full slices.

    Parameters
    ----------
    with_season
        Whether hours may be compared with the same hours and weekends with weekends:
        without it every slice is compared with all others, which suits rows of many hours,
        or of weekdays and weekends together.

    Returns
    -------
    Calibration or None
        None when the reference has fewer than eight full slices of this
        length, or keeps no counts for this segment.
    """
    slices = reference.slices.get(segment, {}).get(length)
    if slices is None or len(slices.starts_ms) < MIN_SLICES:
        return None
    observed = observed_slices(reference, slices)
    whole = observe(reference, reference.profiles[segment].counts[None, :])
    novel = expected(reference, segment, length)
    wobble, season = _distributions(reference.gridset, observed, whole.groups[0], novel), None
    if with_season:
        wobble, season = _by_season(reference, segment, length, observed, wobble)
    up, down = {}, {}
    for rate in RATES:
        hits, n = observed.of(rate)
        if rate in ("unseen", "out_of_range"):
            # Counted against the other slices already: the rest has none by definition.
            excess = _share(hits, n)
        else:
            all_hits, all_n = whole.of(rate)
            excess = _share(hits, n) - _share(all_hits - hits, all_n - n)
        up[rate], down[rate] = _tolerances(excess, n >= MIN_ROWS[rate])
    return _calibration("reference", len(slices.starts_ms), wobble, season, up, down)


def from_windows(reference: Reference, counts: Ints) -> Calibration:
    """Learn the wobble from live windows among themselves.

    Their distance from the reference plays no part, so that a drift which is
    there from the start is not learnt away.

    Parameters
    ----------
    counts
        [W, gridset.size] The windows' profiles, W >= 2.
    """
    observed = observe(reference, counts)
    whole = observe(reference, counts.sum(axis=0)[None, :])
    # Live windows are compared with one another, and each other's new values are known.
    none = np.zeros(len(reference.gridset.features))
    wobble = _distributions(reference.gridset, observed, whole.groups[0], none)
    up, down = {}, {}
    for rate in RATES:
        hits, n = observed.of(rate)
        all_hits, all_n = whole.of(rate)
        excess = _share(hits, n) - _share(all_hits - hits, all_n - n)
        up[rate], down[rate] = _tolerances(excess, n >= MIN_ROWS[rate])
    return _calibration("live", len(counts), wobble, None, up, down)


def leave_one_out_psi(reference: Reference, observed: Observed, length: str) -> Floats:
    """Return the PSI [S, F] of each of a length's slices against all the rest of the reference."""
    whole = observe(reference, reference.profiles[ALL].counts[None, :])
    totals = np.broadcast_to(whole.groups[0], observed.groups.shape)
    novel = expected(reference, ALL, length)
    return _leave_one_out(reference.gridset, observed, totals, novel).psi


def unknown(reference: Reference) -> Calibration:
    """Return the calibration of one who knows no wobble at all: zero."""
    n_features = len(reference.gridset.features)
    zero = np.zeros(n_features)
    return Calibration(
        source="none",
        windows=0,
        tau2=zero,
        guard=zero,
        guard_max=zero,
        season=np.zeros(n_features, dtype=np.int8),
        up=dict.fromkeys(RATES, zero),
        down=dict.fromkeys(RATES, zero),
    )


def observe(reference: Reference, counts: Ints) -> Observed:
    """Read group and rate counts off profiles [W, gridset.size] (or one profile's [1, size])."""
    grids = reference.gridset
    counter = {name: grids.counters[:, place] for place, name in enumerate(COUNTERS)}
    groups = grids.sum_groups(counts)
    return Observed(
        rows=counts[:, 0],
        groups=groups,
        values=np.asarray(per_feature(grids, groups), dtype=np.int64),
        missing=sum(
            (counts[:, counter[name]] for name in ("absent", "null", "nan")),
            np.zeros((len(counts), len(grids.features)), dtype=np.int64),
        ),
        type_error=counts[:, counter["type_error"]],
        unseen=_at(counts, grids.unseen),
        out_of_range=_at(counts, grids.under) + _at(counts, grids.over),
    )


def observed_slices(reference: Reference, slices: Slices) -> Observed:
    """Return the reference's slices in the form the rule reads."""
    groups = slices.groups.astype(np.int64)
    return Observed(
        rows=slices.rows.astype(np.int64),
        groups=groups,
        values=np.asarray(per_feature(reference.gridset, groups), dtype=np.int64),
        missing=slices.missing.astype(np.int64),
        type_error=slices.type_error.astype(np.int64),
        unseen=slices.unseen.astype(np.int64),
        out_of_range=slices.out_of_range.astype(np.int64),
    )


def _at(counts: Ints, places: Ints) -> Ints:
    """Return counts[:, places], 0 where a feature has no such place (-1)."""
    return np.where(places >= 0, counts[:, np.maximum(places, 0)], 0)


def _share(hits: Ints, n: Ints) -> Floats:
    return np.asarray(hits / np.maximum(n, 1))


class _LeftOut(NamedTuple):
    """Slices against the rest of what they are compared with, each [S, F]."""

    psi: Floats
    excess: Floats  # per degree of freedom, beyond sampling noise
    told: Floats  # the same of the groups that the reference has values in
    per_row: Floats  # 1 over the rows of the rest


class _Wobble(NamedTuple):
    """What slices show of each feature, [F]; and how far each is from the rest."""

    tau2: Floats
    guard: Floats
    guard_max: Floats
    left_out: _LeftOut


def _calibration(
    source: str,
    windows: int,
    wobble: _Wobble,
    season: NDArray[np.int8] | None,
    up: dict[str, Floats],
    down: dict[str, Floats],
) -> Calibration:
    none = np.zeros(len(wobble.tau2), np.int8)
    return Calibration(
        source,
        windows,
        wobble.tau2,
        wobble.guard,
        wobble.guard_max,
        none if season is None else season,
        up,
        down,
    )


def _distributions(grids: Gridset, observed: Observed, whole: Ints, novel: Floats) -> _Wobble:
    """Return the wobble of slices that are each compared with all others."""
    enough = observed.values >= MIN_ROWS_PSI
    totals = np.broadcast_to(whole, observed.groups.shape)
    return _wobble(_leave_one_out(grids, observed, totals, novel), enough)


def _by_season(
    reference: Reference, segment: str, length: str, observed: Observed, found: _Wobble
) -> tuple[_Wobble, NDArray[np.int8]]:
    """Return the wobble under the scheme that each feature takes, and the scheme, [F].

    The finer one where it more than halves tau2 on the slices that it judges. It must save more
    than its buckets cost by having fewer rows: halves of nothing are chance. Groups that no row
    of the reference is in (unseen values) do not choose: what Jeffreys adds to them grows with
    the rows compared with, and is of no hour.
    """
    enough = observed.values >= MIN_ROWS_PSI
    season = np.zeros(enough.shape[1], np.int8)
    at = when(reference.slices[segment][length].starts_ms, reference.timezone)
    novel = expected(reference, segment, length)
    for scheme in SCHEMES.get(length, ()):
        of_slice = bucket(scheme, at)
        totals = bucket_groups(reference, segment, length, scheme)
        judged = judged_buckets(reference, segment, length, scheme)
        use = enough & judged[of_slice]
        finer = _wobble(_leave_one_out(reference.gridset, observed, totals, novel, of_slice), use)
        rows_cost = _mean(finer.left_out.per_row - found.left_out.per_row, use)
        before = np.maximum(_mean(found.left_out.told, use), 0.0)
        after = np.maximum(_mean(finer.left_out.told, use), 0.0)
        take = ~np.isnan(finer.tau2) & (after < before / 2) & (before - after > rows_cost)
        take &= ~_vetoed(length, of_slice, enough, judged)
        season[take] = scheme
        found = _choose(take, finer, found)
    return found, season


def _vetoed(
    length: str, of_slice: Ints, enough: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the features [F] that have a bucket which ought to be judged and cannot be.

    A day's weekends and weekdays both. Of hours those that mostly have the values and are there
    fewer than eight times: a longer reference would know them. Thin night hours are there often
    enough; they are not judged and do not veto the others.
    """
    if length == "day":
        return np.asarray(~judged.all(axis=0))
    vetoed = np.zeros(enough.shape[1], np.bool_)
    for place in range(len(judged)):
        here = of_slice == place
        if 0 < here.sum() < MIN_SLICES:
            vetoed |= 2 * enough[here].sum(axis=0) >= here.sum()
    return vetoed


def _choose(take: NDArray[np.bool_], left: _Wobble, right: _Wobble) -> _Wobble:
    """Return `left` for the features that take it and `right` for the others."""
    return _Wobble(
        np.where(take, left.tau2, right.tau2),
        np.where(take, left.guard, right.guard),
        np.where(take, left.guard_max, right.guard_max),
        _LeftOut(
            *(np.where(take, a, b) for a, b in zip(left.left_out, right.left_out, strict=True))
        ),
    )


def _leave_one_out(
    grids: Gridset,
    observed: Observed,
    totals: Ints,
    novel: Floats,
    of_slice: Ints | None = None,
) -> _LeftOut:
    """Compare slices with the rest of `totals` [S, groups], or of `totals[of_slice]`.

    `novel` [F] is the share of never seen values that the rest has to expect.
    """
    has_mass = np.asarray(observed.groups.any(axis=0))
    df = np.asarray(per_feature(grids, has_mass[None, :].astype(np.int64)), np.int64)[0]
    made = []
    for first in range(0, max(len(observed.rows), 1), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        groups = observed.groups[some]
        rest = (totals[some] if of_slice is None else totals[of_slice[some]]) - groups
        groups = as_others_know(grids, groups, rest, observed.unseen[some])
        rest = expecting(grids, rest, novel)
        psi, parts = psi_by_feature(grids, rest, groups)
        n = np.maximum(observed.values[some], 1)
        per_row = 1 / np.maximum(np.asarray(per_feature(grids, rest), dtype=np.int64), 1)
        told = np.asarray(per_feature(grids, np.where(has_mass, parts, 0.0)), np.float64)
        noise = 1 / n + per_row
        excess = psi / np.maximum(grids.B - 1, 1) - noise
        made.append((psi, excess, told / np.maximum(df - 1, 1) - noise, per_row))
    return _LeftOut(*(np.concatenate(parts) for parts in zip(*made, strict=True)))


def _wobble(left_out: _LeftOut, use: NDArray[np.bool_]) -> _Wobble:
    n_features = use.shape[1]
    tau2, guard, most = (np.full(n_features, np.nan) for _ in range(3))
    for feature in range(n_features):
        here = use[:, feature]
        if here.sum() < MIN_SLICES:
            continue
        tau2[feature] = max(0.0, float(left_out.excess[here, feature].mean()))
        seen = left_out.psi[here, feature]
        most[feature] = seen.max()
        # With fewer than a hundred windows their 99th percentile is an invention.
        guard[feature] = most[feature] if len(seen) < 100 else np.quantile(seen, 0.99)
    return _Wobble(tau2, guard, most, left_out)


def _mean(values: Floats, use: NDArray[np.bool_]) -> Floats:
    return np.asarray(np.where(use, values, 0.0).sum(axis=0) / np.maximum(use.sum(axis=0), 1))


def _tolerances(excess: Floats, enough: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return how far above and below the rest a fine window's rate may lie, each [F], >= 0.

    The larger of what was seen and of the prediction bound for one more window.
    Source: W. Q. Meeker, G. J. Hahn, L. A. Escobar, Statistical Intervals
    (2017), 4.7: mean + t sd sqrt(1 + 1/J).
    """
    n_features = excess.shape[1]
    up, down = np.full(n_features, np.nan), np.full(n_features, np.nan)
    for feature in range(n_features):
        seen = excess[enough[:, feature], feature]
        j = len(seen)
        if j < MIN_SLICES:
            continue
        margin = special.stdtrit(j - 1, CONFIDENCE) * seen.std(ddof=1) * np.sqrt(1 + 1 / j)
        up[feature] = max(0.0, seen.max(), seen.mean() + margin)
        down[feature] = max(0.0, -seen.min(), -seen.mean() + margin)
    return up, down


def _pack(values: Floats) -> str:
    return base64.b64encode(values.astype("<f8").tobytes()).decode()


def _unpack(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), dtype="<f8").astype(np.float64)
