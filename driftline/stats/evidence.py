"""The rule: which statistic of which window is above its limit, and how sure that is.

"99.9 % sure that the true PSI is above 0.10": a limit grows as a window has
fewer rows, with the wobble that the feature shows anyway, and never falls
below what fine windows were seen to reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import (
    MIN_ROWS,
    MIN_ROWS_PSI,
    RATES,
    Calibration,
    Floats,
    Ints,
    Observed,
    observe,
)
from driftline.stats.distance import (
    ks_interval,
    newcombe,
    psi_limit,
    psi_lower_bound,
    wilson,
)
from driftline.stats.groups import largest_psi, per_feature, psi_by_feature
from driftline.stats.reference import Reference
from driftline.stats.season import Season, When, bucket, bucket_groups, judged_buckets

ALPHA = 0.001
# The normal quantile of a one-sided 99.9 %.
Z = 3.09
# What a rate must change by at the least, as a share: below it nobody acts.
LEAST_EXCESS = {"missing": 0.01, "type_error": 0.01, "unseen": 0.005, "out_of_range": 0.01}
# A rate's excess beyond its tolerance at which it is critical.
CRITICAL_BEYOND = 0.05
STATISTICS = ("psi", *RATES)
KIND_OF = {
    "psi": "distribution",
    "out_of_range": "distribution",
    "missing": "missing",
    "type_error": "type_error",
    "unseen": "unseen",
}


# The PSI that matters: the industry's .10 and .25, which limits tend to as windows grow.
DELTA = {"warning": 0.10, "critical": 0.25}


@dataclass(frozen=True)
class Rate:
    """One rate of W windows, each [W, F]; NaN where there is nothing to divide by.

    `excess` is the 99.9 % bound of the distance from the reference, signed:
    below zero where the rate fell. `limit` is the tolerance it is held against.
    """

    value: Floats
    excess: Floats
    limit: Floats


@dataclass(frozen=True)
class Judgement:
    """Everything the rule says about W windows and F features.

    Floats are rounded to nine significant digits, before they were compared.

    Attributes
    ----------
    rows, values
        [W] rows; [W, F] values in bins.
    psi, psi_limit, psi_critical, psi_lower
        [W, F]; NaN where PSI is not judged. `psi` itself is there from 100
        values on.
    ks_low, ks_high
        [W, F] The certified interval of the two-sample KS statistic, in [0, 1].
    rates
        By name.
    marks
        {statistic: [W, F, 2] uint8} for warning and critical, as `Mark`.
    verdict
        [W, F] strings.
    ratio, evidence
        [W, F] The worst evidence over its limit, and the statistic it is of.
    """

    rows: Ints
    values: Ints
    psi: Floats
    psi_limit: Floats
    psi_critical: Floats
    psi_lower: Floats
    ks_low: Floats
    ks_high: Floats
    parts: Floats  # [W, groups] what each group adds to PSI
    rates: dict[str, Rate]
    marks: dict[str, NDArray[np.uint8]]
    verdict: NDArray[np.str_]
    ratio: Floats
    evidence: NDArray[np.str_]


class Mark:
    """What the fold of verdicts reads off one statistic of one window."""

    NOT_EVALUABLE = 0
    CLEAR = 1
    BETWEEN = 2
    EXCEEDS = 3
    LETTERS = "?c-e"


class Judge:
    """Judges windows of one segment and length against one reference."""

    def __init__(
        self,
        reference: Reference,
        segment: str,
        length: str,
        calibration: Calibration | None,
    ) -> None:
        """`calibration` None means that the length is collecting: shown, not judged."""
        self.reference = reference
        self.length = length
        self.calibration = calibration
        grids = reference.gridset
        own = reference.profiles[segment].counts[None, :]
        self._own = observe(reference, own)
        self._own_counts = own[0]
        self._seasons = (
            {}
            if calibration is None
            else {
                season: (
                    bucket_groups(reference, segment, length, season),
                    judged_buckets(reference, segment, length, season),
                )
                for season in np.unique(calibration.season).tolist()
                if season != Season.NONE
            }
        )
        # PSI of a feature with a single group says nothing.
        self._has_psi = grids.B > 1
        self._is_numeric = grids.under >= 0
        self._is_categorical = grids.unseen >= 0

    def judge(self, counts: Ints, at: When) -> Judgement:
        """Judge the windows whose profiles are `counts` [W, gridset.size].

        `at` says where the windows [W] lie; it matters for features with a season.
        """
        seen = observe(self.reference, counts)
        psi, parts, v, r = self._distances(seen, at)
        limit, critical, lower, is_blind = self._limits(psi, v, r, seen.values)
        marks = {"psi": self._mark_psi(psi, limit, critical, v, is_blind)}
        rates = {}
        for name in RATES:
            rates[name], marks[name] = self._rate(name, seen)
        # Where PSI is judged, out-of-range is evidence beside it and no alarm of its own.
        marks["out_of_range"][marks["psi"][:, :, 0] != Mark.NOT_EVALUABLE] = Mark.NOT_EVALUABLE
        ratio, evidence = _worst(psi, limit, rates, marks)
        ks_low, ks_high = self._ks(counts, seen)
        return Judgement(
            rows=seen.rows,
            values=seen.values,
            psi=psi,
            psi_limit=limit,
            psi_critical=critical,
            psi_lower=lower,
            ks_low=ks_low,
            ks_high=ks_high,
            parts=parts,
            rates=rates,
            marks=marks,
            verdict=self._verdict(seen, marks, is_blind),
            ratio=ratio,
            evidence=evidence,
        )

    def _distances(self, seen: Observed, at: When) -> tuple[Floats, Floats, Floats, Ints]:
        """Return PSI, its parts, the variance v of its noise, and the reference's groups used."""
        r = self.compared(at)
        psi, parts = psi_by_feature(self.reference.gridset, r, seen.groups)
        enough = (seen.values >= MIN_ROWS_PSI) & self._has_psi
        psi = np.where(enough, psi, np.nan)
        return round_significant(psi), parts, self._noise(seen.values, r, at), r

    def compared(self, at: When) -> Ints:
        """Return the reference's groups that each window is compared with [W, groups]."""
        r = np.broadcast_to(self._own.groups, (len(at), self._own.groups.shape[1]))
        for season, (groups, _) in self._seasons.items():
            r = np.where(
                np.repeat(self._has(season), self.reference.gridset.B),
                groups[bucket(season, at)],
                r,
            )
        return r

    def _has(self, season: int) -> NDArray[np.bool_]:
        assert self.calibration is not None
        return np.asarray(self.calibration.season == season)

    def _noise(self, values: Ints, r: Ints, at: When) -> Floats:
        """Return v: what chance and the natural wobble add to PSI, for each degree of freedom.

        NaN in hours of which the reference knows too little.
        """
        grids = self.reference.gridset
        m = np.asarray(per_feature(grids, r), dtype=np.float64)
        tau2 = np.zeros(len(grids.features)) if self.calibration is None else self.calibration.tau2
        v = np.asarray(1 / np.maximum(values, 1) + 1 / np.maximum(m, 1) + tau2)
        for season, (_, judged) in self._seasons.items():
            v[self._has(season) & ~judged[bucket(season, at)]] = np.nan
        return v

    def psi_clears_below(self, values: Ints, at: When, level: str = "warning") -> Floats:
        """Return the PSI below which windows of so many values [W, F] count as clear."""
        v = self._noise(values, self.compared(at), at)
        return (self.reference.gridset.B - 1) * v + DELTA[level] / 2

    def _limits(
        self, psi: Floats, v: Floats, r: Ints, n: Ints
    ) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        """Return the warning and critical limits, the lower bound, and where PSI is blind."""
        limit, critical, lower = (np.full(psi.shape, np.nan) for _ in range(3))
        is_blind = np.zeros(psi.shape, dtype=bool)
        if self.calibration is None:
            return limit, critical, lower, is_blind
        judged = ~np.isnan(psi) & ~np.isnan(v)
        if not judged.any():
            return limit, critical, lower, is_blind
        grids = self.reference.gridset
        df = np.broadcast_to(grids.B - 1, psi.shape)[judged].astype(float)
        guard = np.broadcast_to(self.calibration.guard, psi.shape)[judged]
        noise = v[judged]
        limit[judged] = np.maximum(psi_limit(noise, df, DELTA["warning"], ALPHA), guard)
        critical[judged] = np.maximum(psi_limit(noise, df, DELTA["critical"], ALPHA), guard)
        lower[judged] = psi_lower_bound(psi[judged], noise, df, ALPHA)
        limit, critical = round_significant(limit), round_significant(critical)
        with np.errstate(invalid="ignore"):
            is_blind = judged & (limit >= largest_psi(grids, r, np.maximum(n, 1)))
        if self.calibration.source == "none":
            critical = np.full(psi.shape, np.nan)
        return limit, critical, round_significant(lower), is_blind

    def _mark_psi(
        self,
        psi: Floats,
        limit: Floats,
        critical: Floats,
        v: Floats,
        is_blind: NDArray[np.bool_],
    ) -> NDArray[np.uint8]:
        beyond_noise = round_significant(psi - (self.reference.gridset.B - 1) * v)
        out = np.zeros((*psi.shape, 2), dtype=np.uint8)
        for level, (line, delta) in enumerate(zip((limit, critical), DELTA.values(), strict=True)):
            judged = ~np.isnan(psi) & ~np.isnan(line) & ~is_blind
            out[:, :, level] = _marks(psi > line, beyond_noise < delta / 2, judged)
        return out

    def _rate(self, name: str, seen: Observed) -> tuple[Rate, NDArray[np.uint8]]:
        hits, n = seen.of(name)
        own_hits, own_n = self._own.of(name)
        applies = {
            "unseen": self._is_categorical,
            "out_of_range": self._is_numeric,
        }.get(name, np.ones(len(self._is_numeric), dtype=bool))
        present = (n > 0) & applies
        value = np.where(present, hits / np.maximum(n, 1), np.nan)
        own = own_hits / np.maximum(own_n, 1)
        if name == "unseen":  # the reference has none by definition: the rate stands alone
            rise, _ = wilson(hits, np.maximum(n, 1), Z)
            fall = np.zeros(value.shape)
        else:
            rise, most = newcombe(
                hits, np.maximum(n, 1), np.broadcast_to(own_hits, hits.shape),
                np.broadcast_to(np.maximum(own_n, 1), hits.shape), Z,
            )  # fmt: skip
            fall = -most
        rise, fall = round_significant(rise), round_significant(fall)
        fell = fall > np.maximum(rise, 0.0)
        excess = np.where(present, np.where(fell, -fall, np.maximum(rise, 0.0)), np.nan)
        marks = np.zeros((*value.shape, 2), dtype=np.uint8)
        if self.calibration is None:
            return Rate(round_significant(value), excess, np.full(value.shape, np.nan)), marks
        least = LEAST_EXCESS[name]
        up = np.maximum(self.calibration.up[name], least)
        down = np.maximum(self.calibration.down[name], least)
        limit = round_significant(np.where(fell, down, up))
        with np.errstate(invalid="ignore"):
            judged = present & (n >= MIN_ROWS[name]) & ~np.isnan(limit)
            # Blind where the tolerance leaves no room on either side.
            judged &= (up < 1 - own) | (down < own)
        if name == "out_of_range" and self.length == "hour":
            judged[:] = False
        size = np.abs(excess)
        levels = (limit, limit + CRITICAL_BEYOND)
        for level, line in enumerate(levels):
            if level == 1 and self.calibration.source == "none":
                continue
            with np.errstate(invalid="ignore"):
                marks[:, :, level] = _marks(size > line, size <= line, judged)
        limit = np.where(judged, limit, np.nan)
        return Rate(round_significant(value), excess, limit), marks

    def _ks(self, counts: Ints, seen: Observed) -> tuple[Floats, Floats]:
        grids = self.reference.gridset
        low, high = (np.full(seen.values.shape, np.nan) for _ in range(2))
        for feature, grid in enumerate(grids.features):
            if grid.kind != "numeric":
                continue
            use = seen.values[:, feature] >= MIN_ROWS_PSI
            if not use.any() or self._own.values[0, feature] == 0:
                continue
            span = grids.bins[feature]
            low[use, feature], high[use, feature] = ks_interval(
                self._own_counts[span], counts[use, span], grid.is_atom()
            )
        return round_significant(low), round_significant(high)

    def _verdict(
        self, seen: Observed, marks: dict[str, NDArray[np.uint8]], is_blind: NDArray[np.bool_]
    ) -> NDArray[np.str_]:
        shape = seen.values.shape
        warn, crit, evaluated = (np.zeros(shape, dtype=bool) for _ in range(3))
        for mark in marks.values():
            warn |= mark[:, :, 0] == Mark.EXCEEDS
            crit |= mark[:, :, 1] == Mark.EXCEEDS
            evaluated |= mark[:, :, 0] != Mark.NOT_EVALUABLE
        verdict = np.full(shape, "ok", dtype="<U17")
        verdict[is_blind] = "blind"
        verdict[~evaluated & ~is_blind] = "insufficient_data"
        if self.calibration is None:
            verdict[:] = "collecting"
        elif self.calibration.source == "none":
            verdict[evaluated] = "uncalibrated"
        verdict[warn] = "warning"
        verdict[crit] = "critical"
        return verdict


def _marks(
    exceeds: NDArray[np.bool_], clear: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    out = np.full(judged.shape, Mark.BETWEEN, dtype=np.uint8)
    out[clear] = Mark.CLEAR
    out[exceeds] = Mark.EXCEEDS
    out[~judged] = Mark.NOT_EVALUABLE
    return out


def _worst(
    psi: Floats, limit: Floats, rates: dict[str, Rate], marks: dict[str, NDArray[np.uint8]]
) -> tuple[Floats, NDArray[np.str_]]:
    """Return the worst evidence / limit among the statistics that were evaluated."""
    candidates = [psi / limit]
    candidates += [np.abs(rates[name].excess) / rates[name].limit for name in RATES]
    stacked = np.stack(
        [
            np.where(marks[name][:, :, 0] != Mark.NOT_EVALUABLE, ratio, np.nan)
            for name, ratio in zip(STATISTICS, candidates, strict=True)
        ]
    )
    filled = np.where(np.isnan(stacked), -1.0, stacked)
    place = filled.argmax(axis=0)
    worst = filled.max(axis=0)
    evidence = np.where(worst < 0, "", np.array(STATISTICS)[place])
    return round_significant(np.where(worst < 0, np.nan, worst)), evidence


def round_significant(values: Floats, digits: int = 9) -> Floats:
    """Round to significant digits, so that stored and recomputed figures are equal.

    Examples
    --------
    >>> round_significant(np.array([0.123456789012, 0.0])).tolist()
    [0.123456789, 0.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.floor(np.log10(np.abs(values)))
        # Kept within what 10.0 ** x can hold; smaller figures are noise.
        scale = 10.0 ** np.clip(digits - 1 - magnitude, -300, 300)
        out = np.round(values * scale) / scale
    return np.where(np.isfinite(out), out, values)
