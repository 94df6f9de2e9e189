"""What moved in a version of a model, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from driftline.answers.incidents import Incident
from driftline.answers.judged import Finding


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the time axis: a window, or a day or week of windows."""

    start: datetime
    end: datetime
    rows: int
    windows: int
    drifted: int
    is_revised: bool
    incomplete: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """A feature through the columns: evidence over its limit (1 = at the limit), and of what."""

    feature: str
    ratio: tuple[float | None, ...]
    source: tuple[str | None, ...]
    verdict: tuple[str | None, ...]
    is_alarming: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Lived:
    """A version under one reference."""

    version: str
    reference_digest: str | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Partial:
    """The first window that holds events and was not judged yet."""

    start: datetime
    end: datetime
    rows: int
    share: float
    closes: datetime


@dataclass(frozen=True, slots=True)
class Timeline:
    """What moved, and when: `items` are the features, the model's output first."""

    items: tuple[Heat, ...]
    model: str
    version: str
    segment: str
    length: str
    start: datetime
    end: datetime
    evidence: str
    health: str
    calibration: str
    unit: str
    is_clipped: bool
    columns: tuple[Column, ...]
    versions: tuple[Lived, ...]
    incidents: tuple[Incident, ...]
    elsewhere: tuple[int, ...]
    latest: tuple[Finding, ...]
    partial: Partial | None
