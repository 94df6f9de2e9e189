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

from driftline.stats.gridset import Gridset
from driftline.stats.groups import per_feature, psi_by_feature
from driftline.stats.lengths import MIN_SLICES as MIN_SLICES
from driftline.stats.profile import COUNTERS, Profile
from driftline.stats.reference import Reference
from driftline.stats.slicing import Slices

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_ROWS_PSI = 100
MIN_ROWS = {"missing": 20, "type_error": 20, "unseen": 100, "out_of_range": 20}
RATES = tuple(MIN_ROWS)
# One-sided 99.9 %, like every other bound of the rule.
CONFIDENCE = 0.999


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
        [F] The largest PSI that windows known to be fine reach; limits never
        fall below it.
    seasonal
        [F] Whether weekends are compared with weekends.
    up, down
        {rate: [F]} How far the rate of a fine window may lie above or below
        the reference's, >= 0, as a share.
    """

    source: str
    windows: int
    tau2: Floats
    guard: Floats
    seasonal: NDArray[np.bool_]
    up: dict[str, Floats]
    down: dict[str, Floats]

    def to_json(self) -> dict[str, Any]:
        """Return a form JSON can hold, exact to the bit."""
        return {
            "source": self.source,
            "windows": self.windows,
            "tau2": _pack(self.tau2),
            "guard": _pack(self.guard),
            "seasonal": self.seasonal.astype(int).tolist(),
            "up": {rate: _pack(values) for rate, values in self.up.items()},
            "down": {rate: _pack(values) for rate, values in self.down.items()},
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Calibration:
        """Read `to_json`'s form back."""
        return cls(
            source=body["source"],
            windows=body["windows"],
            tau2=_unpack(body["tau2"]),
            guard=_unpack(body["guard"]),
            seasonal=np.array(body["seasonal"], dtype=bool),
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
        Whether weekends may be compared with weekends: without it every slice is
        compared with all others, which suits rows of weekdays and weekends together.

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
    weekend = slices.is_weekend if length == "day" and with_season else None
    buckets = reference.buckets.get(segment, {}) if weekend is not None else {}
    tau2, guard, seasonal = _distributions(reference, observed, whole.groups[0], weekend, buckets)
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
    return Calibration("reference", len(slices.starts_ms), tau2, guard, seasonal, up, down)


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
    tau2, guard, seasonal = _distributions(reference, observed, whole.groups[0], None, {})
    up, down = {}, {}
    for rate in RATES:
        hits, n = observed.of(rate)
        all_hits, all_n = whole.of(rate)
        excess = _share(hits, n) - _share(all_hits - hits, all_n - n)
        up[rate], down[rate] = _tolerances(excess, n >= MIN_ROWS[rate])
    return Calibration("live", len(counts), tau2, guard, seasonal, up, down)


def leave_one_out_psi(reference: Reference, observed: Observed) -> Floats:
    """Return the PSI [S, F] of each of the reference's slices against all the rest of it."""
    whole = observe(reference, reference.profiles["all"].counts[None, :])
    totals = np.broadcast_to(whole.groups[0], observed.groups.shape)
    return _leave_one_out(reference.gridset, observed, totals).psi


def unknown(reference: Reference) -> Calibration:
    """Return the calibration of one who knows no wobble at all: zero."""
    n_features = len(reference.gridset.features)
    zero = np.zeros(n_features)
    return Calibration(
        source="none",
        windows=0,
        tau2=zero,
        guard=zero,
        seasonal=np.zeros(n_features, dtype=bool),
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


def _distributions(
    reference: Reference,
    observed: Observed,
    whole: Ints,
    weekend: NDArray[np.bool_] | None,
    buckets: dict[str, Profile],
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return tau2, guard and whether weekends are kept apart, each [F]."""
    grids = reference.gridset
    enough = observed.values >= MIN_ROWS_PSI
    plain = _leave_one_out(grids, observed, np.broadcast_to(whole, observed.groups.shape))
    tau2, guard = _wobble(plain, enough)
    seasonal = np.zeros(len(grids.features), dtype=bool)
    if weekend is None or not buckets:
        return tau2, guard, seasonal
    totals = {name: grids.sum_groups(p.counts[None, :])[0] for name, p in buckets.items()}
    of_slice = np.where(weekend[:, None], totals["weekend"], totals["weekday"])
    apart = _leave_one_out(grids, observed, of_slice)
    finer_tau2, finer_guard = _wobble(apart, enough)
    judged = (enough & weekend[:, None]).sum(axis=0), (enough & ~weekend[:, None]).sum(axis=0)
    with np.errstate(invalid="ignore"):
        seasonal = (finer_tau2 < tau2 / 2) & (np.minimum(*judged) >= MIN_SLICES)
    return (
        np.where(seasonal, finer_tau2, tau2),
        np.where(seasonal, finer_guard, guard),
        seasonal,
    )


class _LeftOut(NamedTuple):
    psi: Floats  # [S, F] of each slice against the rest
    excess: Floats  # [S, F] per degree of freedom, beyond sampling noise


def _leave_one_out(grids: Gridset, observed: Observed, totals: Ints) -> _LeftOut:
    rest = totals - observed.groups
    psi, _ = psi_by_feature(grids, rest, observed.groups)
    n = np.maximum(observed.values, 1)
    m = np.maximum(np.asarray(per_feature(grids, rest), dtype=np.int64), 1)
    excess = psi / np.maximum(grids.B - 1, 1) - 1 / n - 1 / m
    return _LeftOut(psi, excess)


def _wobble(left_out: _LeftOut, enough: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    n_features = enough.shape[1]
    tau2, guard = np.full(n_features, np.nan), np.full(n_features, np.nan)
    for feature in range(n_features):
        use = enough[:, feature]
        if use.sum() < MIN_SLICES:
            continue
        tau2[feature] = max(0.0, float(left_out.excess[use, feature].mean()))
        seen = left_out.psi[use, feature]
        # With fewer than a hundred windows their 99th percentile is an invention.
        guard[feature] = seen.max() if len(seen) < 100 else np.quantile(seen, 0.99)
    return tau2, guard


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
