"""Every error Driftline raises on purpose.

Errors carry fields, not only text, so that a program can react to them; the
message names what mends the fault.

    DriftlineError
      ConfigError            key, source, got, expected
      MissingExtra           what, extra
      DataError              the record's fault: dead-lettered, never retried
        DecodeError
        SchemaError
        EventTimeError
      InvalidFrame           a frame that cannot be counted
        InvalidReference     a frame that cannot become a reference
        MissingFile          a file that is not there, or of a kind that is not read
      InvalidEndpoint        a name, URL or secret that no endpoint can have
      StatisticError
        TooFewRows           n, needed
        GridMismatch         left, right
      StorageError
        StorageUnavailable   retryable
        Fenced               stream, partition
        SchemaVersionError   found, expected
        Conflict             what exists already; from the client an ApiConflict
      DeadLetterLimit        most of what comes cannot be read: the consumer stops; topic,
                             partition, offset, undecodable, events, reasons, samples
      NotAllowed             the broker withholds a right; what, right
      StreamError
        BrokerUnavailable    retryable
        OffsetOutOfRange     topic, partition, wanted, low, high
      ApiError               status, title, detail
        ServerUnavailable    retryable
        AuthenticationError  the server's token is needed, or this one is wrong (401)
        ApiConflict          a Conflict, too
      WebhookVerificationError  reason, detail
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from driftline.program import command


class DriftlineError(Exception):
    """The root of every error raised on purpose."""


class ConfigError(DriftlineError):
    """A setting that cannot be used."""

    def __init__(self, key: str, source: str, got: object, expected: str) -> None:
        self.key, self.source, self.got, self.expected = key, source, got, expected
        super().__init__(f"{key} ({source}): got {got!r}, expected {expected}")


class MissingExtra(DriftlineError):
    """Something needs packages that extras of this distribution bring: all that are missing.

    Examples
    --------
    >>> print(MissingExtra("up", "the service and a broker", "server", "embedded"))
    up needs the service and a broker: pip install 'driftline[server,embedded]'
    """

    def __init__(self, what: str, brings: str, *extras: str) -> None:
        self.what, self.extras = what, extras
        super().__init__(f"{what} needs {brings}: pip install 'driftline[{','.join(extras)}]'")


class DataError(DriftlineError):
    """A record's own fault: it is dead-lettered under `reason` and never retried."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class DecodeError(DataError):
    """Bytes that are not an event."""


class SchemaError(DataError):
    """An event that lacks what every event must have."""


class EventTimeError(DataError):
    """A time that is absent, has no offset, or cannot be right."""


class InvalidFrame(DriftlineError):
    """A frame that cannot be counted."""


class InvalidReference(InvalidFrame):
    """A frame or a document that cannot become a reference."""


class MissingFile(InvalidFrame):
    """A file of rows that is not there, or is of a kind that is not read."""


class InvalidEndpoint(DriftlineError):
    """A name, a URL or a secret that no endpoint can have."""


class StatisticError(DriftlineError):
    """A statistic that cannot be computed from what was given."""


class TooFewRows(StatisticError):
    """Fewer rows than the statistic needs."""

    def __init__(self, n: int, needed: int) -> None:
        self.n, self.needed = n, needed
        super().__init__(f"{n} rows, {needed} are needed")


class GridMismatch(StatisticError):
    """Counts of two different grids were put together."""

    def __init__(self, left: str, right: str) -> None:
        self.left, self.right = left, right
        super().__init__(
            f"counts of grid {left[:12]} cannot be put together with counts of grid {right[:12]}: "
            "count the rows of both by one reference"
        )


class StorageError(DriftlineError):
    """The database could not do what was asked."""


class StorageUnavailable(StorageError):
    """The database cannot be reached now; trying again later may work."""


class Fenced(StorageError):
    """Another owner has claimed this partition: what this one holds must be dropped."""

    def __init__(self, stream_id: int, partition: int) -> None:
        self.stream_id, self.partition = stream_id, partition
        super().__init__(f"stream {stream_id} partition {partition} has another owner now")


class SchemaVersionError(StorageError):
    """The database was made for another release; `is_newer` when this one does not know it."""

    def __init__(self, found: str | None, expected: str, *, is_newer: bool = False) -> None:
        self.found, self.expected, self.is_newer = found, expected, is_newer
        self.mend = (
            "use a newer release of driftline" if is_newer else f"run `{command('db upgrade')}`"
        )
        super().__init__(
            f"the database is at schema {found or 'none'}, this release "
            f"{'knows none beyond' if is_newer else 'needs'} {expected}: {self.mend}"
        )


class Conflict(StorageError):
    """Something else is registered under this name already."""


class DeadLetterLimit(DriftlineError):
    """Most of what comes cannot be read: the consumer stops before it counts or passes it.

    Nothing is lost: `offset` is the first that is not counted, and stays so until an operator
    lets the consumers go on. `reasons` says how many for which reason, `samples` shows the last.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        undecodable: int,
        events: int,
        reasons: Mapping[str, int],
        samples: Sequence[Mapping[str, Any]],
    ) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        self.undecodable, self.events = undecodable, events
        self.reasons, self.samples = dict(reasons), list(samples)
        told = ", ".join(f"{n:,} {reason}" for reason, n in list(self.reasons.items())[:5])
        last = self.samples[-1] if self.samples else None
        shown = ""
        if last is not None:
            detail = f" ({last['detail']})" if last["detail"] else ""
            shown = f", such as offset {last['offset']}: {last['reason']}{detail}"
        super().__init__(
            f"stopped: of the last {events:,} events of {topic}, {undecodable:,} cannot be read "
            f"({told}{shown}). Nothing is lost: partition {partition} stays at offset {offset}. "
            "Mend the producer, or let them go by as dead letters: "
            f"`{command('dead-letter accept')}`, or start with "
            f"`{command('ingest --accept-undecodable')}`"
        )


class NotAllowed(DriftlineError):
    """The broker knows us and withholds a right: waiting does not mend that.

    Examples
    --------
    >>> print(NotAllowed("read the topic events", "READ on topic events"))
    this user may not read the topic events: grant READ on topic events, or use another user
    """

    def __init__(self, what: str, right: str) -> None:
        self.what, self.right = what, right
        super().__init__(f"this user may not {what}: grant {right}, or use another user")


class StreamError(DriftlineError):
    """The broker could not do what was asked."""


class BrokerUnavailable(StreamError):
    """The broker cannot be reached now; trying again later may work."""


class OffsetOutOfRange(StreamError):
    """The position to read from is not in the log (any more)."""

    def __init__(self, topic: str, partition: int, wanted: int, low: int, high: int) -> None:
        self.topic, self.partition = topic, partition
        self.wanted, self.low, self.high = wanted, low, high
        super().__init__(f"{topic} {partition}: offset {wanted} is outside [{low}, {high}]")


class ApiError(DriftlineError):
    """The server answered that it will not do this."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        self.status, self.title, self.detail = status, title, detail
        super().__init__(f"{title}: {detail}" if detail else title)


class ServerUnavailable(ApiError):
    """The server cannot be reached or is not ready; trying again later may work."""


class AuthenticationError(ApiError):
    """The server asks for its token, and got none or another one (401).

    Examples
    --------
    >>> print(AuthenticationError("A token is needed"))
    A token is needed: set DRIFTLINE_TOKEN to the token that the server was started with, or give \
it: driftline.Client(url, token=...), on the command line --token-file FILE
    """

    def __init__(self, title: str) -> None:
        super().__init__(
            401, title,
            "set DRIFTLINE_TOKEN to the token that the server was started with, or give it: "
            "driftline.Client(url, token=...), on the command line --token-file FILE",
        )  # fmt: skip


class ApiConflict(ApiError, Conflict):
    """The server has something else under this name already (409): caught as `Conflict`, too."""


class WebhookVerificationError(DriftlineError):
    """A webhook that must not be trusted, or a secret that is none.

    Attributes
    ----------
    reason
        One word: missing_header, bad_timestamp, no_match, too_old, too_new, bad_body or
        bad_secret. Only the last is this side's fault; answer the others with status 400.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")
