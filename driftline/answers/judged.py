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
    99.9 % bound of what it is above the reference, and with the `_limit` this is held against.
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
