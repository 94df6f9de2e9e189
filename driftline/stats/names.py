"""What each statistic is called: one place for sentences, reports and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# They are called after people, and keep their capital letter.
_PEOPLE: Final = ("Hellinger", "Wasserstein")


@dataclass(frozen=True, slots=True)
class Name:
    """The names of one statistic.

    Attributes
    ----------
    label
        In a list: "JS distance", "Wrong type".
    told
        Beside its value: "Jensen-Shannon distance 0.12", "0.4 % of the wrong type".
    noun
        What was measured: "a limit of its JS distance", "of its values of the wrong type".
    """

    label: str
    told: str
    noun: str

    @property
    def inside(self) -> str:
        """The label within a sentence.

        Examples
        --------
        >>> [NAMES[name].inside for name in ("unseen", "psi", "hellinger", "js")]
        ['unseen', 'PSI', 'Hellinger', 'JS distance']
        """
        is_own = self.label[1].isupper() or self.label in _PEOPLE
        return self.label if is_own else self.label[0].lower() + self.label[1:]


NAMES: Final = {
    "psi": Name("PSI", "PSI", "PSI"),
    "ks": Name("KS", "KS", "KS"),
    "w1_sigma": Name("Wasserstein", "Wasserstein-1 in sigma", "Wasserstein distance"),
    "js": Name("JS distance", "Jensen-Shannon distance", "JS distance"),
    "hellinger": Name("Hellinger", "Hellinger distance", "Hellinger distance"),
    "tv": Name("Total variation", "total variation", "total variation"),
    "linf": Name("Largest change", "L-infinity distance", "largest difference of a share"),
    "chi_square": Name("Chi-square", "chi-square", "chi-square"),
    "missing": Name("Missing", "missing", "missing values"),
    "type_error": Name("Wrong type", "of the wrong type", "values of the wrong type"),
    "unseen": Name("Unseen", "of rows unseen before", "unseen values"),
    "out_of_range": Name("Out of range", "of values outside the range", "values out of range"),
    "infinite": Name("Infinite", "infinite", "infinities"),
    "zero": Name("Zeros", "zero", "zeros"),
    "negative": Name("Negative", "negative", "negative values"),
    "differs": Name("Differs", "different", "values that differ"),
    "mean": Name("Mean", "mean", "mean"),
    "mean_shift": Name("Mean shift", "mean shift in sigma", "mean"),
    "sd": Name("Standard deviation", "standard deviation", "standard deviation"),
}
