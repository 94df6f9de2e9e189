"""From a judgement to rows: one for each feature, with the sentence that a user reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from driftline.comparing.counting import Counted
from driftline.comparing.lengths import Known
from driftline.stats.calibration import MIN_ROWS, MIN_ROWS_PSI, observe
from driftline.stats.evidence import STATISTICS, Judge, Judgement, Mark, round_significant
from driftline.stats.grid import NumericGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.profile import Stack
from driftline.stats.reference import ALL, Reference
from driftline.stats.words import Evidence, claim, number, part_of

# The worst first. What was not judged stands before what is fine: it wants a look.
VERDICTS: Final = ("critical", "warning", "blind", "insufficient_data", "ok")
# Unseen values named in a sentence.
_NAMED: Final = 3


@dataclass(frozen=True)
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


def judge(reference: Reference, counted: Counted, known: Known) -> tuple[Row, ...]:
    """Judge a counted frame as one window; the worst feature first."""
    judge_ = Judge(reference, ALL, known.length, known.calibration)
    judgement = judge_.judge(Stack.of([counted.profile]), known.at, with_measures=False)
    reader = _Reader(reference, counted, known, judgement, judge_.compared(known.at)[0])
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
        judgement: Judgement,
        compared: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    ) -> None:
        self._reference, self._counted, self._known = reference, counted, known
        self._judgement, self._compared = judgement, compared
        self._own = observe(reference, reference.profiles[ALL].counts[None, :])
        self._seen = observe(reference, counted.profile.counts[None, :])

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
        )

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
        over = [name for name in STATISTICS if Mark.EXCEEDS in j.marks[name][0, place]]
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
        worst = str(self._judgement.evidence[0, place])
        return sorted(names, key=lambda name: (name != worst, STATISTICS.index(name)))

    def _calm(self, feature: FeatureGrid, place: int, verdict: str) -> str:
        """What is said of a feature of which nothing is above a limit."""
        j = self._judgement
        if verdict == "blind":
            length = self._known.length
            if np.count_nonzero(self._compared[self._reference.gridset.groups[place]]) == 1:
                return "always the same in the reference: PSI cannot judge it, the rates do"
            return (
                f"PSI {number(j.psi[0, place])} cannot exceed its limit "
                f"{number(j.psi_limit[0, place])}: the reference's own {length}s differ as much"
            )
        if verdict == "insufficient_data":
            return self._too_few(feature, place)
        if not np.isnan(j.psi_limit[0, place]):
            return f"PSI {number(j.psi[0, place])}, limit {number(j.psi_limit[0, place])}"
        if np.isnan(j.rates["missing"].limit[0, place]):
            return self._too_few(feature, place)
        said = self._claim(feature, place, "missing")
        return said if feature.kind == "presence" else f"{said}; {self._too_few(feature, place)}"

    def _too_few(self, feature: FeatureGrid, place: int) -> str:
        """What was not judged, and what it would take."""
        rows, values = self._counted.profile.rows, int(self._seen.values[0, place])
        if feature.kind == "presence":
            return f"{_count(rows, 'row')}, missing values are judged from {MIN_ROWS['missing']}"
        if not int(self._own.values[0, place]):
            return "the reference has no value to compare with"
        if values < MIN_ROWS_PSI:
            said = f"{_count(values, 'value')}, PSI is judged from {MIN_ROWS_PSI}"
            if rows < MIN_ROWS["missing"]:
                said += f", missing values from {MIN_ROWS['missing']} rows"
            return said
        length = self._known.length
        return (
            f"PSI is not judged: fewer than 8 {length}s of the reference have {MIN_ROWS_PSI} values"
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


def _float(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
