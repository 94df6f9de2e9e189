"""What the loop needs of a broker, so that a fake can stand in for one.

A source reads one topic as a member of one group. It must not touch the
database, and it must not decide anything: it says what it sees and does what
it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from driftline.errors import DataError, StreamError


class Record(Protocol):
    """One record of a partition.

    `timestamp` is Kafka's, in ms, -1 where unknown; `headers` say what form the value has.
    """

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True)
class Unread:
    """A `Record` that stands for those which could not be taken out of the log, all of one batch.

    Attributes
    ----------
    offset
        Of the last of them.
    fault
        Why.
    n_records
        How many they are.
    n_bytes
        Size of the batch as it was fetched.
    """

    offset: int
    timestamp: int
    fault: DataError
    n_records: int
    n_bytes: int
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True)
class Identity:
    """Which life of the topic this is; a topic made again has another `topic_id`."""

    cluster_id: str
    topic_id: str


@dataclass(frozen=True)
class Change:
    """What the group did to this member, in the order it happened.

    Attributes
    ----------
    at_s
        Monotonic time at which it was noted.
    """

    kind: Literal["assigned", "revoked", "lost"]
    partitions: tuple[int, ...]
    at_s: float


class LogTruncated(StreamError):
    """The log was cut below what was read: offset by partition where it diverges, if known."""

    def __init__(self, divergent: Mapping[int, int | None]) -> None:
        self.divergent = dict(divergent)
        super().__init__(f"the log was truncated: {self.divergent}")


class Source(Protocol):
    """A topic's partitions, read by a group.

    Anything that asks the broker raises `BrokerUnavailable` when it does not answer.
    """

    def identity(self) -> Identity | None:
        """Ask the broker which life of the topic this is; None while there is no topic."""

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Ask for the beginning and the read-uncommitted end of every partition."""

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        """Join the group and read; records by partition.

        Without a topic (see `identity`) it only waits.

        Raises
        ------
        OffsetOutOfRange
            The position of a partition is not in the log.
        LogTruncated
            The log was cut below a position.
        StreamError
            Anything else; positions may have moved, seek before reading on.
        """

    def changes(self) -> list[Change]:
        """Take what the group did since the last call."""

    def position(self, partition: int) -> int:
        """Return the offset after the last record returned, past holes that were seen."""

    def seek(self, partition: int, offset: int) -> None:
        """Read from `offset` next."""

    def pause(self, partitions: Iterable[int]) -> None:
        """Return no records of these until resumed; membership is kept by polling."""

    def resume(self, partitions: Iterable[int]) -> None:
        """Read these again."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group's offsets to lag tools; never waits, never raises."""

    def close(self) -> None:
        """Leave the group."""
