"""The rule: which statistic of which window is above its limit, and how sure that is.

"99.9 % sure that the true PSI is above 0.10": a limit grows as a window has
fewer rows, with the wobble that the feature shows anyway, and never falls
below what fine windows were seen to reach.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.stats.baseline import Baseline
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
    newcombe,
    psi_limit,
    psi_lower_bound,
    round_down,
    round_up,
    wilson,
)
from driftline.stats.distance import round_significant as round_significant
from driftline.stats.groups import largest_psi, number_bins, per_feature, psi_by_feature
from driftline.stats.judgement import Judgement, Mark, Rate, marked, worst_of
from driftline.stats.measures import Measures, measure, sigmas
from driftline.stats.reference import Reference
from driftline.stats.rule import FIXED, LEVELS, Rule
from driftline.stats.rule import KIND_OF as KIND_OF
from driftline.stats.season import When
from driftline.stats.side_by_side import portions
from driftline.stats.stack import Stack

ALPHA = 0.001
# The normal quantile of a one-sided 99.9 %.
Z = 3.09
# What a rate must change by at the least, as a share: below it nobody acts.
LEAST_EXCESS = {"missing": 0.01, "type_error": 0.01, "unseen": 0.005, "out_of_range": 0.01}
# A rate's excess beyond its tolerance at which it is critical.
CRITICAL_BEYOND = 0.05
# What the learnt rule judges; others of `rule.FIXED` are judged where a user gave a limit.
STATISTICS = ("psi", *RATES)
STANDARD = Rule()


class Judge:
    """Judges windows of one length against one reference, each against its segment."""

    def __init__(
        self,
        reference: Reference,
        segment: str | Sequence[str],
        length: str,
        calibration: Calibration | Sequence[Calibration | None] | None,
        rule: Rule = STANDARD,
    ) -> None:
        """Take what windows are judged against.

        Parameters
        ----------
        segment, calibration
            Of all windows, or sequences [W] of one for each window, as `Baseline` takes them. A
            calibration of None means that the length is collecting: shown, not judged; fixed
            limits of the rule judge nevertheless.
        """
        self.reference = reference
        self.length = length
        self.rule = rule
        self.base = Baseline(reference, length, segment, calibration)
        grids = reference.gridset
        self._fixed = rule.by_statistic(grids.names())
        # PSI of a feature with a single group says nothing.
        self._has_psi = grids.B > 1
        self._is_numeric = grids.under >= 0
        self._is_categorical = grids.unseen >= 0

    def judge(self, windows: Stack, at: When, *, with_measures: bool = True) -> Judgement:
        """Judge windows [W].

        Parameters
        ----------
        at
            Where they lie [W]; it matters for features with a season.
        with_measures
            Whether every other distance is computed, too; a fixed limit asks for it anyway.
        """
        counts = windows.counts
        seen = observe(self.reference, counts)
        psi, parts, v, r = self._distances(seen, at)
        limit, critical, lower, is_blind = self._limits(psi, v, r, seen.values)
        marks = {"psi": self._mark_psi(psi, limit, critical, v, is_blind)}
        limit, critical, is_blind = self._fix_psi(psi, limit, critical, is_blind, marks["psi"])
        rates = {}
        for name in RATES:
            rates[name], marks[name] = self._rate(name, seen)
        # Where PSI is judged, out-of-range is evidence beside it and no alarm of its own.
        beside = marks["psi"][:, :, 0] != Mark.NOT_EVALUABLE
        marks["out_of_range"][beside & ~self._is_fixed("out_of_range")] = Mark.NOT_EVALUABLE
        ks_low, ks_high = self._ks(counts, seen)
        measures = None
        others = [name for name in self._fixed if name not in STATISTICS]
        if with_measures or others:
            m = np.asarray(per_feature(self.reference.gridset, r), dtype=np.int64)
            measures = measure(
                self.reference, self.base.segments, windows, psi=psi, compared=m, ks_low=ks_low,
                of=self.base.of,
            )  # fmt: skip
        held = {"psi": (psi, limit)}
        held |= {name: (np.abs(rates[name].excess), rates[name].limit) for name in RATES}
        for name in others:
            assert measures is not None
            value, most = self._held(name, measures, ks_low, ks_high)
            marks[name] = self._mark_fixed(name, value, most, seen)
            held[name] = value, self._fixed[name].warning
        with np.errstate(divide="ignore", invalid="ignore"):  # a limit may be 0
            ratios = {name: value / line for name, (value, line) in held.items()}
        ratio, evidence = worst_of(ratios, marks)
        nothing = np.zeros((*psi.shape, 2), dtype=np.uint8)
        marks = {name: marks.get(name, nothing) for name in FIXED}
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
            measures=measures,
            fixed={name: np.broadcast_to(self._is_fixed(name), psi.shape) for name in FIXED},
        )

    def _is_fixed(self, name: str) -> NDArray[np.bool_]:
        """Return for which features [F] a statistic has a fixed limit."""
        limits = self._fixed.get(name)
        n_features = len(self.reference.gridset.features)
        return np.zeros(n_features, np.bool_) if limits is None else ~np.isnan(limits.warning)

    def _fix_psi(
        self,
        psi: Floats,
        limit: Floats,
        critical: Floats,
        is_blind: NDArray[np.bool_],
        marks: NDArray[np.uint8],
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Return limits with fixed ones in their place, and where PSI is still blind."""
        if "psi" not in self._fixed:
            return limit, critical, is_blind
        fixed = self._is_fixed("psi")
        lines = []
        for level, (own, line) in enumerate(
            zip(self._fixed["psi"], (limit, critical), strict=True)
        ):
            lines.append(np.where(fixed, np.where(np.isnan(psi), np.nan, own), line))
            made = marked(psi > own, psi <= own, ~np.isnan(psi) & ~np.isnan(own))
            marks[:, fixed, level] = made[:, fixed]
        return lines[0], lines[1], is_blind & ~fixed

    def _held(
        self, name: str, measures: Measures, ks_low: Floats, ks_high: Floats
    ) -> tuple[Floats, Floats]:
        """Return what is held against a fixed limit, and what must be below it to be calm."""
        if name == "ks":
            return ks_low, ks_high
        value: Floats = getattr(measures, name)
        if name == "w1_sigma":
            with np.errstate(invalid="ignore", divide="ignore"):
                most = measures.w1_high / self.base.rows(sigmas(self.reference, self.base.segments))
            return value, round_up(most)
        if name == "mean_shift":
            value = np.abs(value)
        return value, value

    def _mark_fixed(
        self, name: str, value: Floats, most: Floats, seen: Observed
    ) -> NDArray[np.uint8]:
        """Mark a statistic that only a fixed limit judges."""
        if name == "infinite":
            enough = np.broadcast_to((seen.rows >= MIN_ROWS["missing"])[:, None], value.shape)
        elif name in ("zero", "negative"):
            enough = seen.values >= MIN_ROWS["missing"]
        else:
            enough = seen.values >= MIN_ROWS_PSI
        out = np.zeros((*value.shape, 2), dtype=np.uint8)
        for level, line in enumerate(self._fixed[name]):
            judged = enough & ~np.isnan(value) & ~np.isnan(line)
            with np.errstate(invalid="ignore"):
                out[:, :, level] = marked(value > line, most <= line, judged)
        return out

    def _distances(self, seen: Observed, at: When) -> tuple[Floats, Floats, Floats, Ints]:
        """Return PSI, its parts, the variance v of its noise, and the reference's groups used."""
        r = self.compared(at)
        psi, parts = psi_by_feature(self.reference.gridset, r, seen.groups)
        enough = (seen.values >= MIN_ROWS_PSI) & self._has_psi
        psi = np.where(enough, psi, np.nan)
        return round_significant(psi), parts, self._noise(seen.values, r, at), r

    def compared(self, at: When) -> Ints:
        """Return the reference's groups that each window is compared with [W, groups]."""
        return self.base.compared(at)

    def _noise(self, values: Ints, r: Ints, at: When) -> Floats:
        """Return v: what chance and the natural wobble add to PSI, for each degree of freedom.

        NaN in hours of which the reference knows too little.
        """
        grids = self.reference.gridset
        m = np.asarray(per_feature(grids, r), dtype=np.float64)
        v = np.asarray(1 / np.maximum(values, 1) + 1 / np.maximum(m, 1) + self.base.tau2)
        v[self.base.unknown_hours(at)] = np.nan
        return v

    def psi_clears_below(self, values: Ints, at: When, level: str = "warning") -> Floats:
        """Return the PSI below which windows of so many values [W, F] count as clear.

        NaN where PSI is not judged then; a fixed limit itself counts as clear.
        """
        v = self._noise(values, self.compared(at), at)
        line = (self.reference.gridset.B - 1) * v + self.rule.delta(level) / 2
        if "psi" in self._fixed:
            own = self._fixed["psi"][LEVELS.index(level)]
            line = np.where(self._is_fixed("psi"), own, line)
        return np.asarray(line)

    def learnt_limit(self, values: Ints, at: When, level: str = "warning") -> Floats:
        """Return PSI's learnt limit for windows of so many values [W, F].

        Windows of fewer values than PSI is judged from have one, too: what they could have
        shown. NaN without a value, and where the wobble is not known.
        """
        limit = np.full(values.shape, np.nan)
        if self.base.is_collecting:
            return limit
        v = self._noise(values, self.compared(at), at)
        known = ~np.isnan(v) & (values > 0) & self._has_psi
        if known.any():
            df = np.broadcast_to(self.reference.gridset.B - 1, values.shape)[known].astype(float)
            guard = np.broadcast_to(self.base.learnt(self.rule.guard_of), values.shape)[known]
            line = psi_limit(v[known], df, self.rule.delta(level), ALPHA)
            limit[known] = np.maximum(line, guard)
        return round_significant(limit)

    def _limits(
        self, psi: Floats, v: Floats, r: Ints, n: Ints
    ) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        """Return the warning and critical limits, the lower bound, and where PSI is blind."""
        limit, critical, lower = (np.full(psi.shape, np.nan) for _ in range(3))
        is_blind = np.zeros(psi.shape, dtype=bool)
        if self.base.is_collecting:
            return limit, critical, lower, is_blind
        judged = ~np.isnan(psi) & ~np.isnan(v)
        if not judged.any():
            return limit, critical, lower, is_blind
        grids = self.reference.gridset
        df = np.broadcast_to(grids.B - 1, psi.shape)[judged].astype(float)
        guard = np.broadcast_to(self.base.learnt(self.rule.guard_of), psi.shape)[judged]
        noise = v[judged]
        for line, level in ((limit, "warning"), (critical, "critical")):
            line[judged] = np.maximum(psi_limit(noise, df, self.rule.delta(level), ALPHA), guard)
        lower[judged] = psi_lower_bound(psi[judged], noise, df, ALPHA)
        limit, critical = round_significant(limit), round_significant(critical)
        with np.errstate(invalid="ignore"):
            is_blind = judged & (limit >= largest_psi(grids, r, np.maximum(n, 1)))
        if self.base.is_unknown:
            critical = np.full(psi.shape, np.nan)
        return limit, critical, round_down(lower), is_blind

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
        for level, line in enumerate((limit, critical)):
            judged = ~np.isnan(psi) & ~np.isnan(line) & ~is_blind
            delta = self.rule.delta(LEVELS[level])
            out[:, :, level] = marked(psi > line, beyond_noise < delta / 2, judged)
        return out

    def _rate(self, name: str, seen: Observed) -> tuple[Rate, NDArray[np.uint8]]:
        hits, n = seen.of(name)
        own_hits, own_n = self.base.own.of(name)
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
        rise, fall = round_down(rise), round_down(fall)
        fell = fall > np.maximum(rise, 0.0)
        excess = np.where(present, np.where(fell, -fall, np.maximum(rise, 0.0)), np.nan)
        rate, marks = self._learnt(name, value, excess, fell, n, own, present)
        if name not in self._fixed:
            return rate, marks
        # The rate itself is held against a fixed limit, not its distance from the reference.
        fixed = self._is_fixed(name)
        enough = present & (n >= MIN_ROWS[name])
        for level, line in enumerate(self._fixed[name]):
            judged = enough & ~np.isnan(line)
            with np.errstate(invalid="ignore"):
                made = marked(rate.value > line, rate.value <= line, judged)
            marks[:, fixed, level] = made[:, fixed]
        limit = np.where(enough, self._fixed[name].warning, np.nan)
        return Rate(
            rate.value,
            np.where(fixed, rate.value, rate.excess),
            np.where(fixed, limit, rate.limit),
        ), marks

    def _learnt(
        self,
        name: str,
        value: Floats,
        excess: Floats,
        fell: NDArray[np.bool_],
        n: Ints,
        own: Floats,
        present: NDArray[np.bool_],
    ) -> tuple[Rate, NDArray[np.uint8]]:
        """Hold a rate's excess [W, F] against what fine windows have shown."""
        marks = np.zeros((*value.shape, 2), dtype=np.uint8)
        if self.base.is_collecting:
            return Rate(round_significant(value), excess, np.full(value.shape, np.nan)), marks
        least = LEAST_EXCESS[name]
        up = np.maximum(self.base.up[name], least)
        down = np.maximum(self.base.down[name], least)
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
            if level == 1 and self.base.is_unknown:
                continue
            with np.errstate(invalid="ignore"):
                marks[:, :, level] = marked(size > line, size <= line, judged)
        limit = np.where(judged, limit, np.nan)
        return Rate(round_significant(value), excess, limit), marks

    def _ks(self, counts: Ints, seen: Observed) -> tuple[Floats, Floats]:
        low, high = (np.full(seen.values.shape, np.nan) for _ in range(2))
        x = number_bins(self.reference.gridset)
        if x is None:
            return low, high
        use = seen.values[:, x.features] >= MIN_ROWS_PSI
        use &= self.base.own.values[:, x.features] > 0
        rows = np.flatnonzero(use.any(axis=1))
        for some in portions(len(rows), len(x.places)):
            at = rows[some]
            seen_here = x.bins.sample(counts[at].take(x.places, axis=1))
            found = x.bins.ks(x.is_atom, self.base.numbers(at), seen_here)
            for end, out in zip(found, (low, high), strict=True):
                out[np.ix_(at, x.features)] = np.where(use[at], end, np.nan)
        return round_down(low), round_up(high)

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
        # Rates alone say nothing of values that are all infinite: no learnt limit judges those.
        infinite = seen.rows[:, None] - seen.missing - seen.type_error - seen.values
        unjudged = self._is_numeric & (seen.values == 0) & (infinite > 0)
        unjudged &= marks["infinite"][:, :, 0] == Mark.NOT_EVALUABLE
        verdict[(~evaluated & ~is_blind) | unjudged] = "insufficient_data"
        if self.base.is_collecting:
            verdict[:] = "collecting"
        elif self.base.is_unknown:
            verdict[evaluated & ~unjudged] = "uncalibrated"
        verdict[warn] = "warning"
        verdict[crit] = "critical"
        return verdict
