"""The rows that `monitor.storage.reads` returns: plain values, detached from the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

# An incident that is waiting for its second window is kept back: it was not told.
OPEN_STATES = ("firing", "recovering")
TOLD_STATES = (*OPEN_STATES, "resolved", "withdrawn", "expired", "superseded")


@dataclass(frozen=True, slots=True)
class Binding:
    """From when on a reference judges a version."""

    reference_digest: str
    effective_from_ms: int


@dataclass(frozen=True, slots=True)
class Version:
    """A model version with its bindings, oldest first, and how far it was judged."""

    id: int
    model: str
    name: str
    timezone: str
    created_ms: int
    replaces: str | None
    bindings: tuple[Binding, ...]
    watermark_ms: int | None


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its versions, newest first."""

    id: int
    name: str
    timezone: str
    owner: str | None
    description: str | None
    created_ms: int
    archived_ms: int | None
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """What is known of a reference without opening its document."""

    digest: str
    gridset: str
    rows: int
    first_ms: int | None
    last_ms: int | None
    warnings: tuple[str, ...]
    created_ms: int
    bound_to: tuple[tuple[str, str, int], ...]  # (model, version, effective_from_ms)


@dataclass(frozen=True, slots=True)
class Use:
    """One binding: a version, the reference that judges it, and from when on."""

    model_id: int
    model: str
    archived_ms: int | None
    version_id: int
    version: str
    replaces: str | None
    version_created_ms: int
    digest: str
    effective_from_ms: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class Window:
    """A judged window; `incomplete` lists what it lacks, empty when it lacks nothing."""

    version_id: int
    length: str
    segment: str
    start_ms: int
    end_ms: int
    rows: int
    revision: int
    closed_by: str
    incomplete: tuple[str, ...]
    reference_digest: str
    monitor_revision: int
    judged_ms: int


class Cell(NamedTuple):
    """What one square of a heatmap needs."""

    start_ms: int
    feature: str
    ratio: float | None
    evidence: str | None
    verdict: str
    is_alarming: bool


class RecentWindow(NamedTuple):
    """A window in a list of models."""

    version_id: int
    length: str
    start_ms: int
    end_ms: int
    rows: int
    revision: int
    judged_ms: int


class FirstPanes(NamedTuple):
    """What is counted of a version before its first window is over."""

    first_ms: int
    last_ms: int
    rows: int


class VerdictCount(NamedTuple):
    """How often a feature's windows of a length were judged so; `n` is their mean of values."""

    length: str
    feature: str
    verdict: str
    windows: int
    n: float


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident with its model and version by name; JSON columns are decoded."""

    number: int
    model: str
    version: str
    version_id: int
    segment: str
    feature: str
    kind: str
    severity: str
    state: str
    muted: bool
    first_window_ms: int
    opened_ms: int
    told_ms: int | None
    resolved_ms: int | None
    episodes: Any  # [[opened, start of the first window, end of the last, resolved or null], ...]
    summary: str
    evidence: Any

    @property
    def is_open(self) -> bool:
        """Whether the problem stands."""
        return self.state in OPEN_STATES

    def spans(self) -> tuple[tuple[int, int | None], ...]:
        """Return each episode as (start of its first bad window, end or None while it stands)."""
        if not self.episodes:
            return ((self.first_window_ms, self.resolved_ms),)
        return tuple((int(e[1]), None if e[3] is None else int(e[3])) for e in self.episodes)


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One line of an incident's history."""

    event: str
    at_ms: int
    recorded_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Position:
    """How far one partition of a living stream is counted."""

    stream_id: int
    topic: str
    partition: int
    next_offset: int
    end_offset: int | None
    owner: str | None
    claim_epoch: int
    fenced: int
    checkpoints: int
    max_event_time_ms: int | None
    caught_up_for_ms: int
    fetched_ms: int | None
    checkpointed_ms: int | None
    last_counted_kafka_ms: int | None

    @property
    def lag(self) -> int:
        """Records that were in the log, at the last look, and are not counted yet."""
        return max(0, self.end_offset - self.next_offset) if self.end_offset is not None else 0

    @property
    def seen_ms(self) -> int | None:
        """The last sign of life: a checkpoint or a heartbeat (wall clock)."""
        seen = [ms for ms in (self.fetched_ms, self.checkpointed_ms) if ms is not None]
        return max(seen) if seen else None


class Tally(NamedTuple):
    """How many events of a partition ended in one way (`dead:<reason>` included)."""

    topic: str
    partition: int
    outcome: str
    events: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be counted, and why; `payload` is its beginning, when kept.

    `form`, `replay_ms` and where it lies since it was sent again are as in the table.
    """

    stream_id: int
    topic: str
    partition: int
    offset: int
    line: int
    reason: str
    detail: str
    size_bytes: int
    payload: bytes | None
    payload_sha256: str
    kafka_ms: int | None
    created_ms: int
    form: str | None = None
    replay_ms: int | None = None
    replayed_partition: int | None = None
    replayed_offset: int | None = None

    @property
    def key(self) -> tuple[int, int, int, int]:
        """Stream, partition, offset and line."""
        return self.stream_id, self.partition, self.offset, self.line

    @property
    def place(self) -> tuple[int, int, int, int, int]:
        """Where it lies in the order of all of them, oldest first."""
        return self.created_ms, self.stream_id, self.partition, self.offset, self.line


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets that were lost before they could be read (exclusive end)."""

    topic: str
    partition: int
    kind: str
    from_offset: int
    to_offset: int
    from_ms: int | None
    to_ms: int | None
    created_ms: int


@dataclass(frozen=True, slots=True)
class Late:
    """Events of a version that came late, of how many; a label's version may be empty."""

    model: str
    version: str
    late: int
    events: int


@dataclass(frozen=True, slots=True)
class Deficit:
    """Records of a version that were read before it had a reference, over all partitions."""

    model: str
    version: str
    records: int
    first_ms: int | None
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class FeatureWindow:
    """A judged window with its finding of one feature: the columns of the table, or None."""

    version_id: int
    start_ms: int
    end_ms: int
    rows: int
    revision: int
    closed_by: str
    incomplete: tuple[str, ...]
    reference_digest: str
    monitor_revision: int
    found: dict[str, Any] | None


class ModelWindow(NamedTuple):
    """A model in one window: how many of its judged features had drifted.

    `share` is of those judged, `weighted` the same by importance; None where there is none.
    """

    start_ms: int
    end_ms: int
    segment: str
    judged: int
    drifted: int
    share: float | None
    weighted: float | None
    verdict: str


class Latched(NamedTuple):
    """One statistic alarming: from the end of the window that closed the latch, until."""

    version_id: int
    statistic: str
    level: str
    opened_ms: int
    closed_ms: int | None


@dataclass(frozen=True, slots=True)
class UnseenValue:
    """A category that the reference never saw, over all of a version's events."""

    value: str
    count: int
    first_ms: int
    last_ms: int
