"""Windows, findings, segments: what was judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from monitor.api.answers.common import Answer, Instant, said


def _names(value: object) -> object:
    """The table keeps them comma-separated."""
    if isinstance(value, str):
        return [name for name in value.split(",") if name]
    return value


class WindowAnswer(Answer):
    """A judged window."""

    length: str = said("hour, day, week or 4weeks", "day")
    segment: str = said("`all`, or rows with one value of a dimension", "all")
    start: Instant = said("Inclusive", "2013-05-15T04:00:00Z", at="start_ms")
    end: Instant = said("Exclusive", "2013-05-16T04:00:00Z", at="end_ms")
    rows: int = said("Predictions counted in it", 973)
    revision: int = said("1, and one more each time late events changed it", 1)
    closed_by: str = said("watermark, idle or hold", "watermark")
    incomplete: list[str] = said(
        "What it lacks; empty when it lacks nothing",
        ["5,539 records were lost by retention (driftline.events 2)"],
    )
    reference_digest: str = said("What it was compared with", "c0ffee" + "0" * 58)
    judged: Instant = said("When, by the wall clock", "2025-06-02T08:00:04Z", at="judged_ms")


class FindingAnswer(Answer):
    """One feature of one window. What could not be computed or was not judged is null.

    A rate (`missing`, `type_error`, `unseen`, `out_of_range`) has an `_excess`, the 99.9 %
    bound of what it is above the reference, and the `_limit` that this is held against; `_low`
    and `_high` are its own interval (Wilson, 99.8 %). A statistic with a fixed limit is held
    against that instead. Distances need 100 values.
    """

    start: Instant = said("The window's start", "2013-05-15T04:00:00Z", at="start_ms")
    segment: str = said("`all`, or rows with one value of a dimension", "all")
    feature: str = said("`prediction` and `prediction.score` are the model's output", "temp")
    verdict: str = said(
        "ok, warning, critical, insufficient_data, blind, uncalibrated or collecting", "warning"
    )
    is_alarming: bool = said("Whether it stands in an alarm after this window", True)
    rows: int = said("Rows of the window", 973)
    n: int = said("Values that were counted in bins", 961)
    evidence: str | None = said("The statistic that lies worst against its limit", "psi")
    ratio: float | None = said("... and its evidence over its limit: 1 is at the limit", 1.375)
    psi: float | None = said("Population stability index; exact", 0.88)
    psi_limit: float | None = said("What PSI warns above", 0.64)
    psi_critical: float | None = said("What PSI is critical above", 1.15)
    psi_lower: float | None = said("99.9 % sure that the true PSI is above this", 0.13)
    ks_low: float | None = said("Kolmogorov-Smirnov's distance is at least this", 0.212)
    ks_high: float | None = said("... and at most this", 0.216)
    missing: float | None = said("Share of rows without a value", 0.012)
    missing_excess: float | None = said("At least so much above the reference", -0.004)
    missing_limit: float | None = said("The tolerance", 0.031)
    type_error: float | None = said("Share of rows with a value of another type", 0.0)
    type_error_excess: float | None = said("At least so much above the reference", 0.0)
    type_error_limit: float | None = said("The tolerance", 0.01)
    unseen: float | None = said("Share of rows with a value the reference never saw", None)
    unseen_excess: float | None = said("At least so much above the reference", None)
    unseen_limit: float | None = said("The tolerance", None)
    out_of_range: float | None = said("Share of rows outside the reference's range", 0.0)
    out_of_range_excess: float | None = said("At least so much above the reference", 0.0)
    out_of_range_limit: float | None = said("The tolerance", 0.01)
    exceeds: Annotated[list[str], BeforeValidator(_names)] = said(
        "The statistics above their limit", ["psi"]
    )
    visible: float | None = said(
        "The smallest change that the window could have shown. Of numbers a shift in standard "
        "deviations of the reference (below 100 values the one that so many could have shown, at "
        "best where the natural wobble is not known); from 100 values on without `psi_limit` a "
        "rise of the share of missing values. Null of categories that PSI judges: they have no "
        "standard deviation",
        0.55,
    )
    missing_low: float | None = said("99.9 % sure that the true share is above this", 0.005)
    missing_high: float | None = said("... and that it is below this", 0.028)
    type_error_low: float | None = said("99.9 % sure that the true share is above this", 0.0)
    type_error_high: float | None = said("... and that it is below this", 0.01)
    unseen_low: float | None = said("99.9 % sure that the true share is above this", None)
    unseen_high: float | None = said("... and that it is below this", None)
    out_of_range_low: float | None = said("99.9 % sure that the true share is above this", 0.0)
    out_of_range_high: float | None = said("... and that it is below this", 0.01)
    infinite: float | None = said("Share of rows with an infinite value", 0.0)
    infinite_low: float | None = said("99.9 % sure that the true share is above this", 0.0)
    infinite_high: float | None = said("... and that it is below this", 0.01)
    zero: float | None = said("Share of values that are 0", 0.002)
    zero_low: float | None = said("99.9 % sure that the true share is above this", 0.0)
    zero_high: float | None = said("... and that it is below this", 0.013)
    negative: float | None = said("Share of values below 0", 0.0)
    negative_low: float | None = said("99.9 % sure that the true share is above this", 0.0)
    negative_high: float | None = said("... and that it is below this", 0.01)
    psi_star: float | None = said("PSI less what chance alone adds", 0.87)
    psi_p: float | None = said(
        "Chance of such a PSI without any change; shown, decides nothing", 0.0
    )
    ks_p: float | None = said("The same of KS, from its lower end", 1.2e-37)
    w1_low: float | None = said(
        "Wasserstein-1 distance, in the feature's units: its estimate and lower end", 18.1
    )
    w1_high: float | None = said("... and at most this", 18.3)
    w1_sigma: float | None = said("The lower end in standard deviations of the reference", 1.79)
    w1_tail: float | None = said(
        "Share of it that comes from the outermost 1 % of values: where it is large, the distance "
        "says little",
        0.02,
    )
    js: float | None = said(
        "Jensen-Shannon distance, natural logarithm, at most 0.83. As the three below: of numbers "
        "over the groups of PSI, of categories over the levels",
        0.41,
    )
    hellinger: float | None = said("Hellinger distance, 0 to 1", 0.42)
    tv: float | None = said("Total variation, 0 to 1", 0.53)
    linf: float | None = said("Largest change of one share, 0 to 1", 0.53)
    chi_square: float | None = said("Two-sample chi-square; of categories", None)
    chi_square_df: int | None = said("Its degrees of freedom", None)
    chi_square_p: float | None = said("Its p-value", None)
    mean: float | None = said("The mean, exact", 62.4)
    mean_shift: float | None = said(
        "What the mean moved by, in standard deviations of the reference, with its sign", 1.79
    )
    sd_low: float | None = said("The standard deviation is at least this", 7.6)
    sd_high: float | None = said("... and at most this", 7.7)
    sd_ratio: float | None = said(
        "... over the reference's; null where the two lie far apart", 0.76
    )
    differs: float | None = said("Share that differs from the one value of the reference", None)
    parts: list[float] | None = said(
        "What each group of values adds to PSI, in the order of the reference's groups",
        [0.02, 0.01, 0.05, 0.39, 0.41],
    )
    why: str = said(
        "The same in a sentence",
        "PSI 0.88, limit 0.64; 47\N{NO-BREAK SPACE}% of it from values above 55.9",
    )


class VerdictAnswer(Answer):
    """The whole model in one window: how many of its judged features had drifted.

    A feature has drifted while one of its alarms stands; the model's own outputs are not counted.
    """

    start: Instant = said("Inclusive", "2013-05-15T04:00:00Z", at="start_ms")
    end: Instant = said("Exclusive", "2013-05-16T04:00:00Z", at="end_ms")
    segment: str = said("`all`, or rows with one value of a dimension", "all")
    judged: int = said("Features that could be judged", 15)
    drifted: int = said("... and that had drifted", 2)
    share: float | None = said("Drifted over judged; null where none was", 0.133)
    weighted: float | None = said("The same by importance; null without one", 0.21)
    verdict: str = said("The worst of its features", "warning")


class SegmentAnswer(Answer):
    """A segment of a version that has judged windows."""

    segment: str = said("Its name", "origin=JFK")
    dimension: str | None = said("The column; null for `all`", "origin")
    value: str | None = said("The column's value", "JFK")
    windows: int = said("How many were judged at this length", 104)
    first: Instant = said("Start of the first", "2013-02-01T05:00:00Z", at="first_ms")
    last: Instant = said("Start of the last", "2013-05-15T04:00:00Z", at="last_ms")
    rows: int = said("Rows of all of them", 97_303)
