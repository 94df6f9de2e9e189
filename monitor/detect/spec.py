"""What is judged: a model's monitor, as a value."""

from __future__ import annotations

from dataclasses import dataclass

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
