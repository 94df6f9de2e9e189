"""What is judged: a model's monitor, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from driftline.stats.lengths import DAY_MS, DEFAULT_LENGTHS
from driftline.stats.rule import FixedLimit, Rule


@dataclass(frozen=True)
class MonitorSpec:
    """The limits and windows a model is judged by; revisions of it are kept.

    Attributes
    ----------
    lengths
        Window lengths, shortest first.
    lateness_ms
        How long after a window's end its events may still arrive before it is
        judged for the first time; later ones make a revision.
    horizon_ms
        How far behind the watermark a late event still makes a revision.
    max_hold_ms
        How long a partition without an owner may hold the windows back.
    profile
        How sensitive the rule is, of `driftline.stats.rule.PROFILES`.
    limits
        Fixed limits in the place of learnt ones.
    """

    lengths: tuple[str, ...] = DEFAULT_LENGTHS
    # Ten minutes: what services that buffer and retry are behind by.
    lateness_ms: int = 600_000
    horizon_ms: int = 7 * DAY_MS
    max_hold_ms: int = 3_600_000
    profile: str = "standard"
    limits: tuple[FixedLimit, ...] = ()

    def rule(self) -> Rule:
        """Return what the windows are judged by."""
        return Rule(self.profile, self.limits)

    def to_json(self) -> str:
        """Return the form that is stored."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> MonitorSpec:
        """Read the stored form back."""
        return msgspec.json.decode(text, type=cls)


class Revision(NamedTuple):
    """A monitor as it was set once.

    It judges the windows of a length that end after the time that `after_ms` has of it: what was
    judged of that length by then keeps what judged it. A length that it lacks is judged by it
    from its first window on.
    """

    number: int
    after_ms: Mapping[str, int]
    spec: MonitorSpec


@dataclass(frozen=True)
class Monitor:
    """All that a model's monitor has been, oldest first; there is one at least.

    Which of them judges a window hangs on its length and its end alone, in event time: a late
    event and a replay judge it by the same rule as it was judged by at first. A long window that
    an idle stream closed early ends in the time to come, and holds no shorter one back.
    """

    revisions: tuple[Revision, ...]

    @classmethod
    def only(cls, spec: MonitorSpec) -> Monitor:
        """Return one that has never been anything else."""
        return cls((Revision(1, {}, spec),))

    @property
    def latest(self) -> Revision:
        """What it is now: windows, lateness and horizon are always of this."""
        return self.revisions[-1]

    def place(self, length: str, end_ms: int) -> int:
        """Return which of `revisions` judges a window of a length that ends then.

        Examples
        --------
        >>> spec = MonitorSpec()
        >>> week = {"day": 100, "week": 600}  # the week was closed before its end
        >>> monitor = Monitor((Revision(1, {}, spec), Revision(2, week, spec)))
        >>> monitor.place("day", 100), monitor.place("day", 200), monitor.place("week", 600)
        (0, 1, 0)
        """
        later = [
            at for at, found in enumerate(self.revisions) if found.after_ms.get(length, 0) < end_ms
        ]
        return later[-1] if later else 0
