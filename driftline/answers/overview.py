"""The list of models with what matters of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from driftline.answers.incidents import IncidentGroup


@dataclass(frozen=True, slots=True)
class Worst:
    """The finding of the last judged window that is furthest over its limit."""

    feature: str
    evidence: str | None
    ratio: float
    verdict: str


@dataclass(frozen=True, slots=True)
class FirstWindow:
    """The window that will be judged first; `full` is how much of its time has passed."""

    start: datetime
    end: datetime
    due: datetime
    length: str
    full: float
    rows: int


@dataclass(frozen=True, slots=True)
class OverviewLine:
    """A model by its newest version.

    `share` is drifted over judged features in the last window, `weighted` the same by importance;
    None where there is none.
    """

    model: str
    version: str | None
    health: str
    description: str | None
    owner: str | None
    timezone: str
    days: tuple[date, ...]
    volume: tuple[int, ...]
    drifted: tuple[int, ...]
    usual: float | None
    features: int
    moved: int
    share: float | None
    weighted: float | None
    worst: Worst | None
    incidents: tuple[int, ...]
    in_segments: int
    since: datetime | None
    quiet_since: datetime | None
    judged_to: datetime | None
    first_window: FirstWindow | None
    unreferenced_records: int


@dataclass(frozen=True, slots=True)
class News:
    """What happened at one time to one group of incidents."""

    at: datetime
    event: str
    group: int
    incidents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """The pipeline in numbers."""

    counted: int
    dead: int
    lag: int
    gaps: int
    deficits: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Is anything wrong, and where; and what changed."""

    models: tuple[OverviewLine, ...]
    groups: tuple[IncidentGroup, ...]
    news: tuple[News, ...]
    since: datetime | None
    judged_to: datetime | None
    pipeline: Pipe
