"""The log read again, up to given offsets, beside the consumers that read its end.

A ledger holds what a partition adds, as with live ingest; what is held is bounded in the same
way, and written by whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consumers.ledger import Ledger
from consumers.source import Identity, LogTruncated, Record
from driftline.errors import BrokerUnavailable, OffsetOutOfRange, StreamError
from monitor.clock import Clock

POLL_S: Final = 0.25
# Written so often: others see by it that a replay is under way, and a killed one loses no more.
EVERY_S: Final = 5.0
# Nothing came for so long: is the broker there?
QUIET_S: Final = 10.0
# A broker that is away is waited for.
PATIENCE_S: Final = 60.0

Progress = Callable[[int, int], None]


class Log(Protocol):
    """A topic's partitions, read by nobody's group; see `consumers.source.Source`."""

    def identity(self) -> Identity | None: ...
    def bounds(self) -> dict[int, tuple[int, int]]: ...
    def first_at(self, time_ms: int) -> dict[int, tuple[int, int] | None]: ...
    def assign(self, partitions: Iterable[int]) -> None: ...
    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]: ...
    def position(self, partition: int) -> int: ...
    def seek(self, partition: int, offset: int) -> None: ...
    def pause(self, partitions: Iterable[int]) -> None: ...
    def resume(self, partitions: Iterable[int]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Limits:
    """How much is held before it is written."""

    rows: int
    n_bytes: int


def silent(done: int, total: int) -> None:
    """Show no progress."""


def read_to(
    log: Log,
    ledgers: Mapping[int, Ledger],
    targets: Mapping[int, int],
    commit: Callable[[Ledger], None],
    *,
    limits: Limits,
    clock: Clock,
    progress: Progress = silent,
) -> None:
    """Read every partition up to its target, and have written all that it adds.

    Parameters
    ----------
    ledgers
        Each goes on from its position; one that is there already is left alone.
    commit
        Writes what a ledger holds; it is clean afterwards.
    progress
        Told how many offsets were read, and of how many, of these.

    Raises
    ------
    OffsetOutOfRange
        Retention was faster, or the log was cut.
    BrokerUnavailable, StreamError
        It does not answer, or reading goes wrong, for a minute.
    """
    left = {p for p, target in targets.items() if ledgers[p].position < target}
    total = sum(targets[p] - ledgers[p].position for p in left)
    if not left:
        return
    log.assign(sorted(targets))
    for partition in sorted(left):
        log.seek(partition, ledgers[partition].position)
    log.resume(sorted(left))
    started = {p: ledgers[p].position for p in left}
    now = clock.monotonic_s()
    write_at_s, moved_at_s, asked_at_s = now + EVERY_S, now, now
    while left:
        trouble: StreamError | None = None
        try:
            batches = log.poll(POLL_S)
        except OffsetOutOfRange as error:
            raise _lost(log, error.partition, ledgers) from error
        except LogTruncated as error:
            raise _lost(log, next(iter(error.divergent)), ledgers) from error
        except StreamError as error:
            batches, trouble = {}, error
        before = sum(ledgers[p].position for p in started)
        for partition, records in batches.items():
            if partition in left:
                _take(log, ledgers[partition], records, targets[partition])
        for partition in sorted(left):
            if trouble is not None:
                # A poll that raised may have moved on past what it never returned.
                log.seek(partition, ledgers[partition].position)
            elif _follow(log, ledgers[partition], targets[partition]):
                log.pause([partition])
                left.discard(partition)
        now = clock.monotonic_s()
        if sum(ledgers[p].position for p in started) > before:
            moved_at_s = asked_at_s = now
        elif now - moved_at_s > PATIENCE_S:
            raise trouble or StreamError(
                f"nothing more came for {PATIENCE_S:.0f} s: partitions {sorted(left)} are not "
                "read to where they were counted"
            )
        elif now - asked_at_s > QUIET_S:
            asked_at_s = now
            _ask(log, left, ledgers)
        if now >= write_at_s or _is_heavy(ledgers.values(), limits) or not left:
            write_at_s = now + EVERY_S
            for ledger in ledgers.values():
                if not ledger.is_clean:
                    commit(ledger)
        progress(sum(ledgers[p].position - started[p] for p in started), total)


def _take(log: Log, ledger: Ledger, records: Sequence[Record], target: int) -> None:
    mine = [record for record in records if record.offset < target]
    if not mine:
        return
    position = target if len(mine) < len(records) else log.position(ledger.claim.partition)
    ledger.take(mine, min(position, target))


def _follow(log: Log, ledger: Ledger, target: int) -> bool:
    """Pass holes that the log's position passed; whether the target is reached."""
    try:
        position = log.position(ledger.claim.partition)
    except StreamError:
        return False
    ledger.position = max(ledger.position, min(position, target))
    return ledger.position >= target


def _ask(log: Log, left: Iterable[int], ledgers: Mapping[int, Ledger]) -> None:
    try:
        bounds = log.bounds()
    except BrokerUnavailable:
        return  # waited for, as long as patience lasts
    for partition in left:
        if partition in bounds and bounds[partition][0] > ledgers[partition].position:
            raise _lost(log, partition, ledgers)


def _lost(log: Log, partition: int, ledgers: Mapping[int, Ledger]) -> OffsetOutOfRange:
    low, high = log.bounds().get(partition, (-1, -1))
    return OffsetOutOfRange("the log", partition, ledgers[partition].position, low, high)


def _is_heavy(ledgers: Iterable[Ledger], limits: Limits) -> bool:
    held = list(ledgers)
    return (
        sum(ledger.rows for ledger in held) >= limits.rows
        or sum(ledger.weight_bytes for ledger in held) >= limits.n_bytes
    )
