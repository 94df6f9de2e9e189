"""One feature: through time, and in two ranges side by side."""

from __future__ import annotations

from monitor.api.answers.common import Answer, Instant, Page, said


class PointAnswer(Answer):
    """One statistic of one window."""

    start: Instant = said("Inclusive", "2013-05-15T04:00:00Z", at="start_ms")
    end: Instant = said("Exclusive", "2013-05-16T04:00:00Z", at="end_ms")
    version: str = said("The version that was judged", "3")
    reference_digest: str = said("What it was compared with", "c0ffee" + "0" * 58)
    rows: int = said("Rows of the window", 973)
    value: float | None = said("The statistic", 0.88)
    low: float | None = said(
        "99.9 % sure that it is above this; of KS, Wasserstein and sd certified; null where no "
        "interval is known",
        0.13,
    )
    high: float | None = said("The interval's other end", 0.88)
    limit: float | None = said(
        "What it was held against, learnt or fixed; null where it was not judged", 0.64
    )
    critical: float | None = said("The critical limit", 1.15)
    usual: float | None = said(
        "The same rate, mean or sd of the reference; null for distances", None
    )
    verdict: str | None = said("The finding's verdict", "warning")
    is_over: bool = said("Whether this statistic is above its limit", True)
    is_alarming: bool = said("Whether it stands in an alarm after this window", True)
    revision: int = said("1, and one more each time late events changed it", 1)
    closed_by: str = said("watermark, idle or hold", "watermark")
    incomplete: list[str] = said("What the window lacks", [])


class SeriesAnswer(Page[PointAnswer]):
    """A statistic of a feature through its windows."""

    feature: str = said("The feature", "temp")
    statistic: str = said("The one that is told", "psi")
    statistics: list[str] = said(
        "Those that can be asked for", ["psi", "ks", "w1_sigma", "missing", "out_of_range", "mean"]
    )
    standing: str = said("The one that says most: told when none is asked for", "psi")
    length: str = said("hour, day, week or 4weeks", "day")
    segment: str = said("`all`, or rows with one value of a dimension", "all")
    start: Instant = said("The range that is told: inclusive", "2013-02-15T05:00:00Z")
    end: Instant = said("... and exclusive", "2013-05-16T04:00:00Z")


class QuantileAnswer(Answer):
    """A quantile of binned values: it lies in [low, high], about at value."""

    value: float = said("About", 63.0)
    low: float = said("At least", 62.1)
    high: float = said("At most", 63.9)


class SideAnswer(Answer):
    """One of the two sides: a reference, or what was counted in a range."""

    name: str = said("`reference`, or the version whose reference it is; empty for a range", "")
    start: Instant | None = said(
        "Where what was counted begins", "2013-05-15T04:00:00Z", at="from_ms"
    )
    end: Instant | None = said("Exclusive", "2013-05-16T04:00:00Z", at="to_ms")
    is_cut: bool = said("Whether the range was too long: only its newest part counts", False)
    rows: int = said("Rows", 973)
    values: int = said("Values in bins", 961)
    missing: float | None = said("Share of rows without a value", 0.012)
    type_error: float | None = said("Share of rows with a value of another type", 0.0)
    out_of_range: float | None = said("Share of values outside the reference's range", 0.021)
    unseen: float | None = said("Share of rows with a value the reference never saw", None)
    below: int = said("Values below the reference's range", 0)
    above: int = said("... and above it", 20)
    n_missing: int = said("Rows without a value", 12)
    n_type_error: int = said("Rows with a value of another type", 0)
    n_unseen: int = said("Rows with a value the reference never saw", 0)
    infinite: int = said("Infinite values", 0)
    zeros: int = said("Zeros", 0)
    negatives: int = said("Negative values", 0)
    mean: float | None = said("The mean, exact", 62.4)
    median: QuantileAnswer | None = said("The median")
    p5: QuantileAnswer | None = said("The 5 % quantile")
    p95: QuantileAnswer | None = said("The 95 % quantile")
    low: float | None = said("The smallest value", 48.0)
    high: float | None = said("The largest", 82.9)


class PsiGroupAnswer(Answer):
    """One group of the PSI: its counts, and how much of the PSI comes from it."""

    words: str = said("What is in it", "values above 55.9")
    low: float | None = said("Exclusive; null = open", 55.9)
    high: float | None = said("Inclusive; null = open", None)
    is_atom: bool = said("Whether it is one value", False)
    reference: int = said("Rows of the reference", 2_700)
    current: int = said("Rows of the range", 610)
    reference_share: float = said("The same as a share", 0.1)
    current_share: float = said("The same as a share", 0.63)
    psi: float = said("What it adds to the PSI", 0.41)
    psi_share: float = said("The same as a share", 0.47)


class BinsAnswer(Answer):
    """The bins of a numeric feature, from low to high."""

    upper: list[float | None] = said("Upper edges, inclusive; the last, null, is open")
    is_atom: list[bool] = said("Whether a bin is one value")
    reference: list[int] = said("Rows of the reference in each")
    current: list[int] = said("Rows of the range in each")
    low: float = said("The reference's smallest value", 10.9)
    high: float = said("Its largest", 57.9)
    is_integer: bool = said("Whether the values are whole numbers", False)


class LevelAnswer(Answer):
    """A row of a categorical feature."""

    name: str = said("The category", "UA")
    kind: str = said("level, other (seen in the reference, rare) or unseen", "level")
    reference: int = said("Rows of the reference", 4_637)
    current: int = said("Rows of the range", 166)
    reference_share: float = said("The same as a share", 0.172)
    current_share: float = said("The same as a share", 0.171)
    psi_share: float | None = said(
        "Its share of the PSI; null where it shares a group with others", 0.02
    )


class NewValueAnswer(Answer):
    """A value that the reference never saw, over all segments, ever."""

    value: str = said("The value", "ANC")
    count: int = said("How often it came", 8)
    first: Instant = said("When first", "2013-07-06T04:00:00Z", at="first_ms")
    last: Instant = said("... and last", "2013-08-24T04:00:00Z", at="last_ms")


class DistributionAnswer(Answer):
    """A feature in two sides: what it is compared with, and the range that was asked for."""

    model: str = said("The model", "flight-delay")
    version: str = said("The version", "3")
    segment: str = said("`all`, or rows with one value of a dimension", "all")
    feature: str = said("The feature", "temp")
    kind: str = said("numeric, categorical or presence", "numeric")
    reference: SideAnswer = said("What it is compared with")
    current: SideAnswer = said("The range")
    season: str | None = said(
        "Where PSI is of a part of the reference: weekday, weekend, 17h hour, weekend 17h hour",
        None,
    )
    psi: float | None = said("Exact; null without values on a side", 0.88)
    ks_low: float | None = said("Kolmogorov-Smirnov's distance is at least this", 0.212)
    ks_high: float | None = said("... and at most this", 0.216)
    chi_square: float | None = said("Of categories", None)
    chi_square_df: int | None = said("Its degrees of freedom", None)
    is_honest: bool = said("Whether every group holds and expects five rows", True)
    groups: list[PsiGroupAnswer] = said("The groups of the PSI, by value")
    bins: BinsAnswer | None = said("Of numbers")
    levels: list[LevelAnswer] = said("Of categories by name")
    is_hashed: bool = said("Whether there are too many categories to know them by name", False)
    new_values: list[NewValueAnswer] = said("The most frequent that the reference never saw")
    vanished: list[str] = said("Categories of the reference that the range does not have", [])
    constant: str | None = said("The one value that all of the reference has", None)
    differs: float | None = said("... and the share of values that are another", None)
    notes: list[str] = said("What is not as it was asked for", [])
