"""Partitions, gaps, deficits, dead letters: what became of every record."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Partition:
    """How far a partition is counted."""

    topic: str
    partition: int
    next_offset: int
    end_offset: int | None
    lag: int
    owner: str | None
    claim_epoch: int
    fenced: int
    max_event_time: datetime | None
    caught_up_for_ms: int
    seen: datetime | None
    checkpointed: datetime | None


@dataclass(frozen=True, slots=True)
class PartitionDoing(Partition):
    """A partition, and what it is doing: reading, caught_up, idle, behind or stalled."""

    state: str
    behind_ms: int | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that were lost before they could be read; `to_offset` is exclusive."""

    topic: str
    partition: int
    kind: str
    from_offset: int
    to_offset: int
    first: datetime | None
    last: datetime | None
    recorded: datetime


@dataclass(frozen=True, slots=True)
class Deficit:
    """Records of a version that came before its reference."""

    model: str
    version: str
    records: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be counted, why, and its beginning where it was kept.

    `replay` is possible, sent or in_doubt, or why it cannot be sent again; `replayed_partition`
    and `replayed_offset` say where the new record lies.
    """

    id: str
    topic: str
    partition: int
    offset: int
    line: int
    reason: str
    detail: str
    size_bytes: int
    payload: str | None
    payload_sha256: str
    written: datetime | None
    recorded: datetime
    replay: str
    replayed: datetime | None
    replayed_partition: int | None
    replayed_offset: int | None


@dataclass(frozen=True, slots=True)
class DeadLetterDetail(DeadLetter):
    """A dead letter with all that was kept of its record, as text and byte for byte."""

    payload_base64: str | None

    @property
    def raw(self) -> bytes | None:
        """The bytes that were kept; None where nothing was."""
        return None if self.payload_base64 is None else base64.b64decode(self.payload_base64)


@dataclass(frozen=True, slots=True)
class Resent:
    """A dead letter that is a new record now, and where that lies."""

    id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of dead letters that were to be sent again; `refused` by why not."""

    topic: str
    selected: int
    sent: int
    refused: Mapping[str, int]
    letters: tuple[Resent, ...]
    is_dry_run: bool


@dataclass(frozen=True, slots=True)
class DeadReason:
    """Dead letters of one reason; `kept` of the `count` can be looked at."""

    reason: str
    count: int
    kept: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why the consumers of a topic stopped: most of what came could not be read.

    Nothing is lost: `next_offset` of `partition` is the first that is not counted.
    """

    topic: str
    partition: int
    next_offset: int
    stopped: datetime
    events: int
    undecodable: int
    reasons: Mapping[str, int]
    samples: tuple[Mapping[str, int | str], ...]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A replay that is not done; what it counts is not shown before.

    `model` and `version` are what it counts again, None = all; `start` is the event time from
    which. `owner` gave its last sign of life when it was `seen`; of `total` offsets, up to where
    the consumers are now, `read` are recounted.
    """

    topic: str
    model: str | None
    version: str | None
    start: datetime | None
    begun: datetime
    seen: datetime
    owner: str
    read: int
    total: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Is everything counted, and how late."""

    topics: tuple[str, ...]
    partitions: tuple[PartitionDoing, ...]
    counted: int
    dead: int
    lag: int
    behind_ms: int
    outcomes: Mapping[str, int]
    reasons: tuple[DeadReason, ...]
    gaps: int
    lost_offsets: int
    deficits: int
    stopped: tuple[Stopped, ...]
    replays: tuple[UnderWay, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """A model version in one word."""

    model: str
    version: str
    health: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages to endpoints: arrived, given up, and those that wait; tests do not count."""

    delivered: int
    failed: int
    pending: int


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that one look should tell."""

    data_version: int
    judged_to: datetime | None
    models: tuple[Health, ...]
    incidents_open: int
    counters: Mapping[str, int]
    dead_letters: Mapping[str, int]
    partitions: tuple[Partition, ...]
    gaps: tuple[Gap, ...]
    deficits: tuple[Deficit, ...]
    deliveries: Tally
    endpoints_disabled: tuple[str, ...]
    stopped: tuple[Stopped, ...]
    replays: tuple[UnderWay, ...]
