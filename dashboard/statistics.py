"""What each statistic is called, how its values are written, and what there is to say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dashboard.words import percent, two
from driftline.stats.words import number
from monitor.views.statistics import SHARES, SIGNED

# Statistics that are called after people keep their capital letter.
PEOPLE: Final = ("Hellinger", "Wasserstein")


@dataclass(frozen=True)
class Word:
    """A statistic in words: in a list, as a chart's title, in the glossary."""

    name: str
    title: str
    means: str | None = None

    @property
    def inside(self) -> str:
        """The name within a sentence.

        >>> [Word(name, "").inside for name in ("Unseen", "PSI", "Hellinger")]
        ['unseen', 'PSI', 'Hellinger']
        """
        is_own = self.name[1].isupper() or self.name in PEOPLE
        return self.name if is_own else self.name[0].lower() + self.name[1:]


WORDS: Final = {
    "psi": Word("PSI", "PSI {each} against {against}", "psi"),
    "ks": Word("KS", "KS {each} against {against}, certified interval", "ks"),
    "w1_sigma": Word(
        "Wasserstein", "Wasserstein distance {each} in standard deviations of {against}",
        "w1",
    ),
    "js": Word("JS distance", "Jensen-Shannon distance {each} against {against}", "js"),
    "hellinger": Word("Hellinger", "Hellinger distance {each} against {against}", "hellinger"),
    "tv": Word("Total variation", "Total variation {each} against {against}", "tv"),
    "linf": Word("Largest change", "Largest change of one share {each} against {against}", "linf"),
    "chi_square": Word("Chi-square", "Chi-square {each} against {against}", "chi-square"),
    "missing": Word("Missing", "Missing values, share of rows {each}"),
    "unseen": Word("Unseen", "Unseen values, share of rows {each}"),
    "type_error": Word("Wrong type", "Values of the wrong type, share of rows {each}"),
    "out_of_range": Word("Out of range", "Values outside the reference's range, share {each}"),
    "infinite": Word("Infinite", "Infinite values, share of rows {each}"),
    "zero": Word("Zeros", "Zeros, share of values {each}"),
    "negative": Word("Negative", "Values below zero, share {each}"),
    "differs": Word("Differs", "Values that differ from the reference's one value, share {each}"),
    "mean": Word("Mean", "Mean {each}"),
    "mean_shift": Word(
        "Mean shift", "Shift of the mean {each} in standard deviations of {against}", "sigma"
    ),
    "sd": Word("Standard deviation", "Standard deviation {each}, certified interval"),
}  # fmt: skip
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
