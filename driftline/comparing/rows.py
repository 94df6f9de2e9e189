"""From a judgement to rows: one for each feature, with the sentence that a user reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from driftline.comparing.counting import Counted
from driftline.comparing.lengths import Known
from driftline.stats.calibration import observe
from driftline.stats.evidence import Judge, round_significant
from driftline.stats.explain import OF_ROWS, PART_DIGITS, share_interval, visible
from driftline.stats.grid import NumericGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.judgement import Judgement, Mark
from driftline.stats.measures import MEASURES, measure
from driftline.stats.reference import ALL, Reference
from driftline.stats.rule import SHARES, Rule
from driftline.stats.stack import Stack
from driftline.stats.words import Calm, Evidence, all_group_words, calm, claim, part_of

# The worst first. What was not judged stands before what is fine: it wants a look.
VERDICTS: Final = ("critical", "warning", "blind", "insufficient_data", "ok")
# Unseen values named in a sentence.
_NAMED: Final = 3


@dataclass(frozen=True, repr=False)
class Row:
    """One feature of two frames.

    Attributes
    ----------
    kind
        numeric, categorical, or presence where only missing values are watched.
    rows_reference, rows_current
        Rows of the frames.
    psi
        In nats, 0 = identical, unbounded above; None below 100 values.
    psi_limit
        What PSI must exceed for a warning; None where PSI is not judged.
    ks_low, ks_high
        The exact two-sample KS statistic lies between them, in [0, 1]; numbers only.
    missing_reference, missing_current
        Shares of rows that are absent, null or NaN.
    verdict
        critical, warning, blind, insufficient_data or ok.
    why
        One sentence.
    psi_critical, psi_lower
        What PSI must exceed to be critical; the true PSI that is 99.9 % sure to be exceeded.
    visible
        The smallest shift, in standard deviations, that so many rows could have shown; where PSI
        is never judged, the smallest rise of missing values, as a share. None of categories that
        PSI judges: they have no standard deviation.
    missing_low, missing_high
        The current rate lies between them (Wilson, 99.8 %), in [0, 1].
    missing_excess, missing_limit
        By how much the rate is above the reference's (below it: negative) with 99.9 % certainty,
        and how much is tolerated, as shares. Under a fixed limit the rate itself, and the limit.
    type_error_reference, ..., out_of_range_limit
        The same of values of the wrong type, never seen before and out of range; None where
        there is no such thing.
    infinite_reference, ..., negative_high
        Rates that only fixed limits judge.
    psi_star to differs
        Every other distance, as in `driftline.stats.measures`; None where it is not known.
    parts
        What each group of values adds to PSI, in the order of the grid's groups.
    groups
        Which values each of them holds, in words.
    """

    feature: str
    kind: str
    rows_reference: int
    rows_current: int
    psi: float | None
    psi_limit: float | None
    ks_low: float | None
    ks_high: float | None
    missing_reference: float | None
    missing_current: float | None
    verdict: str
    why: str
    psi_critical: float | None
    psi_lower: float | None
    visible: float | None
    missing_low: float | None
    missing_high: float | None
    missing_excess: float | None
    missing_limit: float | None
    type_error_reference: float | None
    type_error_current: float | None
    type_error_low: float | None
    type_error_high: float | None
    type_error_excess: float | None
    type_error_limit: float | None
    unseen_reference: float | None
    unseen_current: float | None
    unseen_low: float | None
    unseen_high: float | None
    unseen_excess: float | None
    unseen_limit: float | None
    out_of_range_reference: float | None
    out_of_range_current: float | None
    out_of_range_low: float | None
    out_of_range_high: float | None
    out_of_range_excess: float | None
    out_of_range_limit: float | None
    infinite_reference: float | None
    infinite_current: float | None
    infinite_low: float | None
    infinite_high: float | None
    zero_reference: float | None
    zero_current: float | None
    zero_low: float | None
    zero_high: float | None
    negative_reference: float | None
    negative_current: float | None
    negative_low: float | None
    negative_high: float | None
    psi_star: float | None
    psi_p: float | None
    ks_p: float | None
    w1_low: float | None
    w1_high: float | None
    w1_sigma: float | None
    w1_tail: float | None
    js: float | None
    hellinger: float | None
    tv: float | None
    linf: float | None
    chi_square: float | None
    chi_square_df: int | None
    chi_square_p: float | None
    mean: float | None
    mean_shift: float | None
    sd_low: float | None
    sd_high: float | None
    sd_ratio: float | None
    differs: float | None
    parts: tuple[float, ...] | None
    groups: tuple[str, ...] | None

    def __repr__(self) -> str:
        """What matters most: all of a row is a screen full."""
        return f"<Row {self.feature}: {self.verdict}, {self.why}>"


def judge(reference: Reference, counted: Counted, known: Known, rule: Rule) -> tuple[Row, ...]:
    """Judge a counted frame as one window; the worst feature first."""
    judge_ = Judge(reference, ALL, known.length, known.calibration, rule)
    judgement = judge_.judge(Stack.of([counted.profile]), known.at)
    reader = _Reader(reference, counted, known, judge_, judgement)
    rows = [reader.row(place) for place in range(len(reference.gridset.features))]
    ratio = np.nan_to_num(judgement.ratio[0], nan=-1.0)
    order = sorted(
        range(len(rows)),
        key=lambda at: (VERDICTS.index(rows[at].verdict), -ratio[at], rows[at].feature),
    )
    return tuple(rows[at] for at in order)


class _Reader:
    """Reads one feature after the other off a judgement of one window."""

    def __init__(
        self,
        reference: Reference,
        counted: Counted,
        known: Known,
        judge_: Judge,
        judgement: Judgement,
    ) -> None:
        self._reference, self._counted, self._known = reference, counted, known
        self._judgement, self._rule = judgement, judge_.rule
        self._compared = judge_.compared(known.at)[0]
        own = reference.profiles[ALL].counts[None, :]
        self._own = observe(reference, own)
        self._seen = observe(reference, counted.profile.counts[None, :])
        nothing = np.full((1, len(reference.gridset.features)), np.nan)
        self._own_measures = measure(
            reference, (ALL,), Stack.of([reference.profiles[ALL]]), psi=nothing,
            compared=self._own.values, ks_low=nothing,
        )  # fmt: skip
        self._visible = visible(judge_, judgement, known.at)

    def row(self, place: int) -> Row:
        j = self._judgement
        feature = self._reference.gridset.features[place]
        verdict = self._verdict(place)
        return Row(
            feature=feature.name,
            kind=feature.kind,
            rows_reference=self._reference.rows,
            rows_current=self._counted.profile.rows,
            psi=_float(j.psi[0, place]),
            psi_limit=_float(j.psi_limit[0, place]),
            ks_low=_float(j.ks_low[0, place]),
            ks_high=_float(j.ks_high[0, place]),
            missing_reference=self._own_rate("missing", place),
            missing_current=_float(j.rates["missing"].value[0, place]),
            verdict=verdict,
            why=self._why(feature, place, verdict),
            psi_critical=_float(j.psi_critical[0, place]),
            psi_lower=_float(j.psi_lower[0, place]),
            visible=_float(self._visible[0, place]),
            **self._rates(place),
            **self._measures(place),
            parts=self._parts(place),
            groups=self._groups(feature, place),
        )

    def _rates(self, place: int) -> dict[str, Any]:
        """Every rate of both sides, with the interval of the current one."""
        j = self._judgement
        made: dict[str, Any] = {}
        for name in SHARES:
            if name in j.rates:
                now = _float(j.rates[name].value[0, place])
                before = None if now is None else self._own_rate(name, place)
                made[f"{name}_excess"] = _float(j.rates[name].excess[0, place])
                made[f"{name}_limit"] = _float(j.rates[name].limit[0, place])
            else:
                now = _float(getattr(j.measures, name)[0, place])
                before = _float(getattr(self._own_measures, name)[0, place])
            of = self._seen.rows[0] if name in OF_ROWS else self._seen.values[0, place]
            low, high = share_interval(now, int(of))
            made |= {f"{name}_low": low, f"{name}_high": high}
            if name != "missing":
                made |= {f"{name}_reference": before, f"{name}_current": now}
        return made

    def _measures(self, place: int) -> dict[str, Any]:
        # As the service does: of no values there is nothing to measure.
        has_values = self._seen.values[0, place] > 0
        made: dict[str, Any] = {}
        for name in MEASURES:
            if name not in SHARES:
                value = getattr(self._judgement.measures, name)[0, place]
                made[name] = _float(value) if has_values else None
        df = made["chi_square_df"]
        return made | {"chi_square_df": None if df is None else int(df)}

    def _parts(self, place: int) -> tuple[float, ...] | None:
        if np.isnan(self._judgement.psi[0, place]):
            return None
        span = self._reference.gridset.groups[place]
        parts = round_significant(self._judgement.parts[0, span], PART_DIGITS)
        return tuple(parts.tolist())

    def _groups(self, feature: FeatureGrid, place: int) -> tuple[str, ...] | None:
        if np.isnan(self._judgement.psi[0, place]):
            return None
        return all_group_words(feature)

    def _verdict(self, place: int) -> str:
        verdict = str(self._judgement.verdict[0, place])
        # What the service calls uncalibrated is said in the sentence.
        return "ok" if verdict == "uncalibrated" else verdict

    def _own_rate(self, rate: str, place: int) -> float:
        hits, n = self._own.of(rate)
        # Rounded as the judgement's figures are: equal shares are equal.
        share = np.array([hits[0, place] / max(n[0, place], 1)])
        return float(round_significant(share)[0])

    def _why(self, feature: FeatureGrid, place: int, verdict: str) -> str:
        j = self._judgement
        over = [name for name, marks in j.marks.items() if Mark.EXCEEDS in marks[0, place]]
        # Where it comes from is told of the worst: of the others it is mostly the same.
        said = [
            self._claim(feature, place, name, with_part=at == 0)
            for at, name in enumerate(self._worst_first(over, place))
        ]
        if feature.name in self._counted.vanished:
            said.insert(0, "the current frame has no such column")
        if not over:
            said.append(self._calm(feature, place, verdict))
        if self._known.calibration.source == "none" and verdict != "insufficient_data":
            said.append("natural wobble unknown")
        return "; ".join(said)

    def _worst_first(self, names: list[str], place: int) -> list[str]:
        worst, order = str(self._judgement.evidence[0, place]), list(self._judgement.marks)
        return sorted(names, key=lambda name: (name != worst, order.index(name)))

    def _calm(self, feature: FeatureGrid, place: int, verdict: str) -> str:
        """What is said of a feature of which nothing is above a limit."""
        j = self._judgement
        assert j.measures is not None  # `judge` asks for them
        missing = j.rates["missing"]
        compared = self._compared[self._reference.gridset.groups[place]]
        return calm(
            Calm(
                verdict=verdict,
                length=self._known.length,
                rows=self._counted.profile.rows,
                n=int(self._seen.values[0, place]),
                psi=_float(j.psi[0, place]),
                psi_limit=_float(j.psi_limit[0, place]),
                missing=_float(missing.value[0, place]),
                missing_reference=self._own_rate("missing", place),
                missing_limit=_float(missing.limit[0, place]),
                is_missing_fixed=bool(j.fixed["missing"][0, place]),
                visible=_float(self._visible[0, place]),
                infinite=_float(j.measures.infinite[0, place]),
                is_presence=feature.kind == "presence",
                is_constant=int(np.count_nonzero(compared)) == 1,
                has_reference=bool(self._own.values[0, place]),
            )
        )

    def _claim(
        self, feature: FeatureGrid, place: int, statistic: str, *, with_part: bool = True
    ) -> str:
        j, rows = self._judgement, self._counted.profile.rows
        made = Evidence(
            feature=feature.name,
            statistic=statistic,
            length=self._known.length,
            start_ms=0,
            end_ms=0,
            rows=rows,
            value=0.0,
            limit=0.0,
        )
        if statistic == "psi":
            span = self._reference.gridset.groups[place]
            part = part_of(
                feature, j.parts[0, span], self._compared[span], self._seen.groups[0, span]
            )
            value, limit = float(j.psi[0, place]), float(j.psi_limit[0, place])
            return claim(replace(made, value=value, limit=limit, part=part if with_part else None))
        made = replace(made, is_fixed=bool(j.fixed[statistic][0, place]))
        if statistic not in j.rates:
            return claim(replace(made, **self._fixed(statistic, place)))
        rate = j.rates[statistic]
        grid = feature.grid
        return claim(
            replace(
                made,
                value=float(rate.value[0, place]),
                limit=float(np.nan_to_num(rate.limit[0, place])),
                excess=float(rate.excess[0, place]),
                reference=self._own_rate(statistic, place),
                low=float(grid.low) if isinstance(grid, NumericGrid) else None,
                high=float(grid.high) if isinstance(grid, NumericGrid) else None,
                values=tuple(self._counted.unseen.get(feature.name, ()))[:_NAMED],
            )
        )

    def _fixed(self, statistic: str, place: int) -> dict[str, Any]:
        """The value that is held against a limit of the user's own, and that limit."""
        j = self._judgement
        value = j.ks_low if statistic == "ks" else getattr(j.measures, statistic)
        limits = self._rule.by_statistic(self._reference.gridset.names())[statistic]
        return {"value": float(value[0, place]), "limit": float(limits.warning[place])}


def _float(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
