"""Windows, findings, segments, and one feature through time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that has judged windows, and what they hold."""

    segment: str
    dimension: str | None
    value: str | None
    windows: int
    first: datetime
    last: datetime
    rows: int


@dataclass(frozen=True, slots=True)
class Window:
    """A judged window, `[start, end)`; `incomplete` lists what it lacks."""

    length: str
    segment: str
    start: datetime
    end: datetime
    rows: int
    revision: int
    closed_by: str
    incomplete: tuple[str, ...]
    reference_digest: str
    judged: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """One feature of one window; None where something was not computed or not judged.

    A rate (`missing`, `type_error`, `unseen`, `out_of_range`) comes with `_excess`, the
    99.9 % bound of what it is above the reference, and with the `_limit` this is held against;
    every rate has its own interval in `_low` and `_high`. `visible` is the smallest change that
    the window could have shown: of numbers a shift in standard deviations of the reference, from
    100 values on without `psi_limit` a rise of the share of missing values; None of categories
    that PSI judges. `w1_low` to `w1_high` is the Wasserstein-1 distance in the feature's units,
    `w1_tail` how much of it comes from the outermost 1 % of values. `parts` is what each group
    of values adds to PSI. p-values are shown and decide nothing.
    """

    start: datetime
    segment: str
    feature: str
    verdict: str
    is_alarming: bool
    rows: int
    n: int
    evidence: str | None
    ratio: float | None
    psi: float | None
    psi_limit: float | None
    psi_critical: float | None
    psi_lower: float | None
    ks_low: float | None
    ks_high: float | None
    missing: float | None
    missing_excess: float | None
    missing_limit: float | None
    type_error: float | None
    type_error_excess: float | None
    type_error_limit: float | None
    unseen: float | None
    unseen_excess: float | None
    unseen_limit: float | None
    out_of_range: float | None
    out_of_range_excess: float | None
    out_of_range_limit: float | None
    exceeds: tuple[str, ...]
    visible: float | None
    missing_low: float | None
    missing_high: float | None
    type_error_low: float | None
    type_error_high: float | None
    unseen_low: float | None
    unseen_high: float | None
    out_of_range_low: float | None
    out_of_range_high: float | None
    infinite: float | None
    infinite_low: float | None
    infinite_high: float | None
    zero: float | None
    zero_low: float | None
    zero_high: float | None
    negative: float | None
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
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole model in one window: how many of its judged features had drifted.

    `share` is drifted over judged, `weighted` the same by importance; None where there is none.
    """

    start: datetime
    end: datetime
    segment: str
    judged: int
    drifted: int
    share: float | None
    weighted: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Point:
    """One statistic of one window, and the limit it was held against."""

    start: datetime
    end: datetime
    version: str
    reference_digest: str
    rows: int
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    critical: float | None
    usual: float | None
    verdict: str | None
    is_over: bool
    is_alarming: bool
    revision: int
    closed_by: str
    incomplete: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """A statistic of a feature through its windows, `items` by start."""

    items: tuple[Point, ...]
    feature: str
    statistic: str
    statistics: tuple[str, ...]
    standing: str
    length: str
    segment: str
    start: datetime
    end: datetime
