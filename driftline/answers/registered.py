"""Models, versions, references, monitors, features: what was registered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Binding:
    """From when on a reference judges a version; 1970 stands for "always"."""

    reference_digest: str
    effective_from: datetime


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a model, how far it is judged, and its health in one word."""

    version: str
    created: datetime
    replaces: str | None
    bindings: tuple[Binding, ...]
    judged_to: datetime | None
    health: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model with its versions, newest first."""

    model: str
    timezone: str
    owner: str | None
    description: str | None
    created: datetime
    archived: datetime | None
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, slots=True)
class BoundTo:
    """A version that a reference judges."""

    model: str
    version: str
    effective_from: datetime


@dataclass(frozen=True, slots=True)
class ReferenceSummary:
    """What is known of a reference without opening it."""

    digest: str
    gridset: str
    rows: int
    first: datetime | None
    last: datetime | None
    warnings: tuple[str, ...]
    created: datetime
    bound_to: tuple[BoundTo, ...]


@dataclass(frozen=True, slots=True)
class ReferenceUse(BoundTo):
    """A version that a reference judges or judged, and the references before and after it."""

    until: datetime | None
    replaced: str | None
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class LengthKnown:
    """What a window length knows of a reference's natural wobble.

    `source` is reference, live (learnt), none (warnings only) or waits (nothing judged yet).
    """

    length: str
    source: str
    windows: int
    needed: int
    usual_rows: int | None
    judged: int


@dataclass(frozen=True, slots=True)
class LengthSees:
    """What one length sees of one feature: the limits of PSI in a usual window, and what it shows.

    `smallest_shift` is in standard deviations, `smallest_missing` a rise of the share of missing
    values; None where no change is told, and a shift of what is no number.
    """

    length: str
    sees: str
    warning: float | None
    critical: float | None
    is_fixed: bool
    n: int | None
    smallest_shift: float | None
    smallest_missing: float | None
    verdicts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Share:
    """A category and its share of the values."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class ProfiledFeature:
    """A feature of a reference: its range or categories, and what can be seen of it.

    `fixed` are the monitor's own limits that judge it.
    """

    feature: str
    kind: str
    is_prediction: bool
    importance: float | None
    missing: float
    low: float | None
    high: float | None
    n_categories: int
    resolution: float | None
    resolution_is: str | None
    levels: tuple[Share, ...]
    fixed: tuple[FixedLimit, ...]
    limits: tuple[LengthSees, ...]


@dataclass(frozen=True, slots=True)
class ReferenceSegment:
    """A segment of a reference; `rows` is None where it has no counts of its own."""

    segment: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time, its end left out."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class ReferenceDetail(ReferenceSummary):
    """A reference with all that is known of it.

    Its limits are under the profile and the fixed limits of the model `limits_of`, whose version
    was bound to it last; under the standard profile where that is None.
    """

    timezone: str
    excluded: tuple[Stretch, ...]
    limits_of: str | None
    profile: str
    uses: tuple[ReferenceUse, ...]
    replaced_by_versions: tuple[BoundTo, ...]
    lengths: tuple[LengthKnown, ...]
    features: tuple[ProfiledFeature, ...]
    segments: tuple[ReferenceSegment, ...]


@dataclass(frozen=True, slots=True)
class FixedLimit:
    """A fixed limit in the place of a learnt one; `feature` "*" is all without one of their own.

    Shares (missing, type_error, unseen, out_of_range, infinite, zero, negative) are from 0 to 1.
    """

    feature: str
    statistic: str
    warning: float
    critical: float | None = None

    @classmethod
    def parse(cls, text: str) -> FixedLimit:
        """Read `feature:statistic=warning[,critical]`; a name may hold both signs itself.

        Raises
        ------
        ValueError
            It is no limit: says how one is written.

        Examples
        --------
        >>> FixedLimit.parse("temp:ks=0.15,0.3")
        FixedLimit(feature='temp', statistic='ks', warning=0.15, critical=0.3)
        >>> str(FixedLimit.parse("*:missing=0.05"))
        '*:missing=0.05'
        """
        head, equals, values = text.rpartition("=")
        feature, colon, statistic = head.rpartition(":")
        warning, comma, critical = values.partition(",")
        try:
            if not (equals and colon and feature and statistic):
                raise ValueError
            found = float(warning), float(critical) if comma else None
            if not all(math.isfinite(each) for each in found if each is not None):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"{text!r} is no limit: write feature:statistic=warning or "
                "feature:statistic=warning,critical, such as temp:ks=0.15,0.3"
            ) from None
        return cls(feature, statistic.strip(), *found)

    def __str__(self) -> str:
        critical = "" if self.critical is None else f",{self.critical:g}"
        return f"{self.feature}:{self.statistic}={self.warning:g}{critical}"


@dataclass(frozen=True, slots=True)
class Monitor:
    """How a model is judged; the largest revision is in force.

    It judges the windows of a length that end after `after`, in event time: those before keep
    what judged them. A length that is not there is judged by it from its first window on.
    """

    model: str
    revision: int
    created: datetime
    lengths: tuple[str, ...]
    lateness_ms: int
    horizon_ms: int
    max_hold_ms: int
    profile: str
    limits: tuple[FixedLimit, ...]
    after: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class MonitorChange:
    """How a model is judged from now on; `before` is what changed, as it was."""

    model: str
    revision: int
    created: datetime
    lengths: tuple[str, ...]
    lateness_ms: int
    horizon_ms: int
    max_hold_ms: int
    profile: str
    limits: tuple[FixedLimit, ...]
    after: dict[str, datetime]
    before: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counted:
    """What there was, or would have been."""

    incidents: int


@dataclass(frozen=True, slots=True)
class Tried:
    """An incident that was told (`number`), or would have been."""

    segment: str
    feature: str
    kind: str
    severity: str
    opened: datetime
    resolved: datetime | None
    number: int | None
    statistic: str
    length: str
    value: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class TriedSegment:
    """How another monitor would have done in one segment: incidents told, `same` are in both."""

    segment: str
    windows: int
    before: int
    after: int
    same: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """How another monitor would have done: `gone` and `new` incidents, `same` are in both.

    `segments` says the same by segment, `left_out` which were not tried. Hours before `hours_from`
    were added up to days and not tried: what they alone had told is among `gone`.
    """

    model: str
    version: str
    start: datetime
    end: datetime
    windows: int
    before: Counted
    after: Counted
    same: int
    gone: tuple[Tried, ...]
    new: tuple[Tried, ...]
    segments: tuple[TriedSegment, ...]
    left_out: tuple[str, ...]
    hours_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one segment and length learnt; `why` says why not where it learnt nothing."""

    segment: str
    length: str
    revision: int
    windows: int
    is_new: bool
    why: str


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of a version."""

    place: int
    feature: str
    kind: str
    is_prediction: bool
    importance: float | None
    reference_digest: str


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that is called like what was searched."""

    kind: str
    model: str
    feature: str | None
    number: int | None
    detail: str
