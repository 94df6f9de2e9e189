"""For how long what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from driftline.stats.episodes import REACH
from driftline.stats.lengths import DAY_MS, LENGTHS, NOMINAL_MS

# The longest window; one that ends now may hold hours of its whole length.
LONGEST_DAYS: Final = max(NOMINAL_MS[length] for length in LENGTHS) // DAY_MS
# A late event makes a revision for a week, in windows of up to 28 days, each of which may be
# folded on from the one before.
LEAST_HOURS_DAYS: Final = 45
# The verdict on a window of 28 days looks back over so many of them.
LEAST_FINDINGS_DAYS: Final = (REACH + 2) * LONGEST_DAYS
# What each must be at least, unless it is for ever, and why.
LEAST: Final = {
    "hours_days": (LEAST_HOURS_DAYS, "late events change their windows until then"),
    "hour_findings_days": (LEAST_HOURS_DAYS, "late events change them until then"),
    "findings_days": (LEAST_FINDINGS_DAYS, "verdicts on 28 days look back as far"),
    "days_days": (LEAST_FINDINGS_DAYS, "verdicts on 28 days look back as far"),
    "letters_days": (1, "nobody could look at them"),
}


@dataclass(frozen=True)
class Policy:
    """Days; 0 = for ever. Event time counts back from a version's own last judged window.

    So what an old log says, or a model that nobody calls any more, never expires by the wall
    clock. Dead letters do.

    Attributes
    ----------
    hours_days
        Hours are counted by themselves for so long, and by their day from then on.
    hour_findings_days
        Findings of hours; the worst of each day is kept for good.
    findings_days
        Findings of all other lengths.
    days_days
        Counts of days, which pages need to compare ranges.
    letters_days
        Dead letters, by when they were written.
    """

    hours_days: int = 400
    hour_findings_days: int = 400
    findings_days: int = 0
    days_days: int = 0
    letters_days: int = 90

    def __post_init__(self) -> None:
        for name, (least, why) in LEAST.items():
            if 0 < getattr(self, name) < least:
                raise ValueError(f"{name} is less than {least} days: {why}")

    def findings_of(self, length: str) -> int:
        """Return for how many days findings of a length are kept; 0 = for ever."""
        return self.hour_findings_days if length == "hour" else self.findings_days
