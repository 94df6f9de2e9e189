"""What the rule says of windows: plain values, and how statistics are marked and compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distance import round_significant
from driftline.stats.measures import Measures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The ratio of what exceeds a fixed limit of 0, which has no ratio: JSON knows no infinity.
_BEYOND_ZERO = 1e6


@dataclass(frozen=True)
class Rate:
    """One rate of W windows, each [W, F]; NaN where there is nothing to divide by.

    `excess` is the 99.9 % bound of the distance from the reference, signed:
    below zero where the rate fell. `limit` is the tolerance it is held against.
    Under a fixed limit the rate itself is held against it, and is the excess.
    """

    value: Floats
    excess: Floats
    limit: Floats


@dataclass(frozen=True)
class Judgement:
    """Everything the rule says about W windows and F features.

    Floats are rounded to nine significant digits, before they were compared; the ends of
    intervals and bounds away from what they hold.

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
        {statistic: [W, F, 2] uint8} for warning and critical, as `Mark`; all of `rule.FIXED`.
    verdict
        [W, F] strings.
    ratio, evidence
        [W, F] The worst evidence over its limit, and the statistic it is of.
    measures
        Every other distance; None where they were not asked for.
    fixed
        {statistic: [W, F]} Whether a fixed limit stands in the place of the learnt one.
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
    measures: Measures | None
    fixed: dict[str, NDArray[np.bool_]]


class Mark:
    """What the fold of verdicts reads off one statistic of one window."""

    NOT_EVALUABLE = 0
    CLEAR = 1
    BETWEEN = 2
    EXCEEDS = 3
    LETTERS = "?c-e"


def marked(
    exceeds: NDArray[np.bool_], clear: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return the marks of one statistic and level; what clears and exceeds, exceeds."""
    out = np.full(judged.shape, Mark.BETWEEN, dtype=np.uint8)
    out[clear] = Mark.CLEAR
    out[exceeds] = Mark.EXCEEDS
    out[~judged] = Mark.NOT_EVALUABLE
    return out


def worst_of(
    ratios: dict[str, Floats], marks: dict[str, NDArray[np.uint8]]
) -> tuple[Floats, NDArray[np.str_]]:
    """Return the worst evidence / limit among the statistics that were evaluated."""
    names = list(ratios)
    stacked = np.stack(
        [
            np.where(marks[name][:, :, 0] != Mark.NOT_EVALUABLE, ratios[name], np.nan)
            for name in names
        ]
    )
    # Whatever exceeds a limit of 0 is worse than all that has one.
    stacked = np.where(np.isinf(stacked), _BEYOND_ZERO, stacked)
    filled = np.where(np.isnan(stacked), -1.0, stacked)
    place = filled.argmax(axis=0)
    worst = filled.max(axis=0)
    evidence = np.where(worst < 0, "", np.array(names)[place])
    return round_significant(np.where(worst < 0, np.nan, worst)), evidence
