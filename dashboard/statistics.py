"""How each statistic is drawn and written; what it is called, the core says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dashboard.words import percent, two
from driftline.stats.words import number
from monitor.views.statistics import SHARES, SIGNED


@dataclass(frozen=True)
class Drawn:
    """A statistic as a chart's title, and in the glossary."""

    title: str
    means: str | None = None


DRAWN: Final = {
    "psi": Drawn("PSI {each} against {against}", "psi"),
    "ks": Drawn("KS {each} against {against}, certified interval", "ks"),
    "w1_sigma": Drawn("Wasserstein distance {each} in standard deviations of {against}", "w1"),
    "js": Drawn("Jensen-Shannon distance {each} against {against}", "js"),
    "hellinger": Drawn("Hellinger distance {each} against {against}", "hellinger"),
    "tv": Drawn("Total variation {each} against {against}", "tv"),
    "linf": Drawn("Largest change of one share {each} against {against}", "linf"),
    "chi_square": Drawn("Chi-square {each} against {against}", "chi-square"),
    "missing": Drawn("Missing values, share of rows {each}"),
    "unseen": Drawn("Unseen values, share of rows {each}"),
    "type_error": Drawn("Values of the wrong type, share of rows {each}"),
    "out_of_range": Drawn("Values outside the reference's range, share {each}"),
    "infinite": Drawn("Infinite values, share of rows {each}"),
    "zero": Drawn("Zeros, share of values {each}"),
    "negative": Drawn("Values below zero, share {each}"),
    "differs": Drawn("Values that differ from the reference's one value, share {each}"),
    "mean": Drawn("Mean {each}"),
    "mean_shift": Drawn("Shift of the mean {each} in standard deviations of {against}", "sigma"),
    "sd": Drawn("Standard deviation {each}, certified interval"),
}
GROUPS: Final = {"distribution": "Distribution", "rates": "Rates", "moments": "Mean and spread"}
# Their intervals are certain, not 99.9 % sure.
CERTIFIED: Final = ("ks", "w1_sigma", "sd")
# Their axes are root, where they are asked for so: a shift of d sigma is d^2 of PSI.
ROOT: Final = ("psi",)


def is_share(statistic: str) -> bool:
    """Return whether it is told in percent."""
    return statistic in SHARES


def is_signed(statistic: str) -> bool:
    """Return whether it may lie below zero."""
    return statistic in SIGNED


def value_words(statistic: str, value: float | None) -> str:
    r"""Return a value as it is told.

    >>> value_words("missing", 0.012), value_words("psi", 0.3141), value_words("mean", 44.51)
    ('1.2\xa0%', '0.31', '44.51')
    """
    if value is None:
        return ""
    if is_share(statistic):
        return percent(value)
    return number(value, 4) if statistic in ("mean", "sd", "chi_square") else two(value)
