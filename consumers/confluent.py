"""A topic read with confluent-kafka (librdkafka), as a member of a consumer group.

Records come through librdkafka; what the broker is asked beside them (which life of the topic it
is, where the log begins and ends) is asked by `KafkaSource`, in the same words. librdkafka runs
the group's callbacks within `poll`, on the loop's thread, where they assign, pause and note. It may
begin to read what is assigned before it hears of the pause: what comes of a partition that nobody
sought yet is dropped, be it a record or a fault.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from consumers.bounded import BATCH_BYTES, POLL_BYTES
from consumers.kafka import CLOSE_MS, POLL_RECORDS, KafkaSource
from consumers.librdkafka import translated
from consumers.source import Change, Identity, LogTruncated, Record
from driftline.errors import (
    BrokerUnavailable,
    ConfigError,
    MissingExtra,
    NotAllowed,
    OffsetOutOfRange,
    StreamError,
)

# So many messages are taken before it is asked what they weigh: asking for them takes 2 us.
SOME_RECORDS: Final = 100
# Each try of a partition that is not read yet; after SEEK_S it is one that was stopped.
SEEK_AGAIN_S: Final = 0.005
SEEK_S: Final = 0.25
# Longer for one that was just begun anew.
START_S: Final = 1.0
# A partition that is read brings a record or its end within half a second, where a broker is there.
UNHEARD_S: Final = 3.0
# Twice as long each time that it brings nothing, so often: what takes long to inflate is thrown
# away by a seek and inflated again, for ever where it takes longer than that. 3 s become 96.
DOUBLED: Final = 5
# For the answer to a question that is asked only to wake librdkafka; it is given in 2 ms.
WAKE_S: Final = 0.1
# Without a partition for so long, what librdkafka complains of is why.
SILENT_S: Final = 5.0
# A batch that librdkafka cannot inflate is read without it so long before it is tried again.
BY_HAND_S: Final = 10.0
# Where the broker's log ends, as librdkafka words it: it passes no number of a log that was cut.
_END: Final = re.compile(r"broker end offset is (\d+)")


@dataclass(slots=True)
class Taken:
    """One record of a partition, see `Record`."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class ConfluentSource:
    """One topic of one cluster, read by one group; as `KafkaSource`, at several times its speed.

    Parameters
    ----------
    bootstrap
        ``HOST:PORT``, several separated by commas.
    options
        As kafka-python names them: TLS, SASL and the consumer's tunable ones.
    epoch
        Makes each start of a broker without memory a stream of its own.
    batch_bytes
        As of `KafkaSource`; it holds for batches that librdkafka refuses to inflate.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    ConfigError
        An option that librdkafka has no like of.
    MissingExtra
        confluent-kafka is not installed.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group_id: str,
        *,
        options: Mapping[str, Any] | None = None,
        epoch: str | None = None,
        batch_bytes: int = BATCH_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import confluent_kafka
        except ImportError:
            raise MissingExtra("kafka.client confluent", "librdkafka", "confluent") from None
        self._lib: Any = confluent_kafka
        given = dict(options or {})
        told = translated(given) | {
            "bootstrap.servers": ",".join(part.strip() for part in bootstrap.split(",")),
            "group.id": group_id,
            # Its complaints come several a second while a broker is away; ours come once.
            "log_level": 0,
            "error_cb": self._heard,
        }
        self._max_records = max(1, int(given.get("max_poll_records", POLL_RECORDS)))
        self._topic, self._group_id = topic, group_id
        self._monotonic = monotonic
        self._has_topic = self._has_joined = self._was_member = False
        # Of those that are ours and were sought since: where the next record is taken.
        self._positions: dict[int, int] = {}
        self._ours: set[int] = set()
        self._paused: set[int] = set()
        # Since when those that were sought or resumed have brought nothing yet.
        self._unheard: dict[int, float] = {}
        # How often they were sought in vain since they brought something.
        self._in_vain: Counter[int] = Counter()
        # Where a fault of another place than ours was heard of, by partition.
        self._doubted: dict[int, int] = {}
        self._is_asleep = False
        self._notes: list[Change] = []
        self._complaint = ""
        self._silent_since_s = 0.0
        self._asked = KafkaSource(bootstrap, topic, group_id, options=given, epoch=epoch)
        self._without_it = partial(
            KafkaSource, bootstrap, topic, None, options=given, batch_bytes=batch_bytes
        )
        try:
            self._consumer: Any = confluent_kafka.Consumer(told)
        except confluent_kafka.KafkaException as error:
            self._asked.close()
            words = _without_secrets(_words(error), told)
            raise ConfigError("kafka", "options", words, "what librdkafka can use") from None

    def identity(self) -> Identity | None:
        """See `Source.identity`."""
        found = self._asked.identity()
        self._has_topic = self._has_topic or found is not None
        return found

    def bounds(self) -> dict[int, tuple[int, int]]:
        """See `Source.bounds`; the partitions are those that `identity` saw last."""
        return self._asked.bounds()

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        """See `Source.poll`."""
        if not self._has_joined:
            if not self._has_topic:
                # A member that waits for a topic learns of it half a minute late.
                time.sleep(timeout_s)
                return {}
            self._join()
        self._ask_again()
        if self._is_asleep:
            self._wake()
        messages = self._messages(timeout_s)
        faults = [message for message in messages if message.error() is not None]
        packed: set[int] = set()
        if faults:
            for fault in faults:
                if fault.error().code() == self._lib.KafkaError._BAD_COMPRESSION:
                    packed.add(fault.partition())
                else:
                    self._face(fault, timeout_s)
            messages = [message for message in messages if message.error() is None]
        if not messages and not packed:
            self._complain()
            return {}
        found = self._taken(messages)
        for partition in packed & self._positions.keys():
            found[partition] = [*found.get(partition, ()), *self._unpacked(partition)]
        return found

    def changes(self) -> list[Change]:
        """See `Source.changes`."""
        notes, self._notes = self._notes, []
        return notes

    def position(self, partition: int) -> int:
        """See `Source.position`."""
        if partition not in self._positions:
            raise StreamError(f"partition {partition} has no position")
        return self._positions[partition]

    def seek(self, partition: int, offset: int) -> None:
        """See `Source.seek`."""
        if partition not in self._ours:
            return
        if not self._sought(partition, offset, SEEK_S):
            self._start_anew({**self._positions, partition: offset})

    def pause(self, partitions: Iterable[int]) -> None:
        """See `Source.pause`."""
        parts = self._parts(partitions)
        self._paused.update(tp.partition for tp in parts)
        if parts:
            self._consumer.pause(parts)

    def resume(self, partitions: Iterable[int]) -> None:
        """See `Source.resume`."""
        parts = self._parts(partitions)
        self._paused.difference_update(tp.partition for tp in parts)
        self._unheard |= dict.fromkeys((tp.partition for tp in parts), self._monotonic())
        if parts:
            self._consumer.resume(parts)
            self._is_asleep = True

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Source.commit`."""
        parts = [self._lib.TopicPartition(self._topic, p, at) for p, at in offsets.items()]
        if parts:
            with contextlib.suppress(self._lib.KafkaException):
                self._consumer.commit(offsets=parts, asynchronous=True)

    def close(self) -> None:
        """See `Source.close`."""
        # Where the group is refused or its broker is away, librdkafka takes leave for ever.
        leaving = threading.Thread(
            target=_leave, args=(self._lib, self._consumer), name="leave-group", daemon=True
        )
        # It holds our callbacks, as we hold it: one of the two lets go.
        self._consumer = None
        leaving.start()
        leaving.join(CLOSE_MS / 1000)
        self._asked.close()

    def _join(self) -> None:
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._assigned,
            on_revoke=lambda _, parts: self._taken_away("revoked", parts),
            on_lost=lambda _, parts: self._taken_away("lost", parts),
        )
        self._has_joined = True
        self._silent_since_s = self._monotonic()

    def _messages(self, timeout_s: float) -> list[Any]:
        """What has come, as soon as anything has: librdkafka waits for as many as are asked.

        Some at a time, until they are as large as a poll may be: what a compressed batch became
        waits outside, where it is counted as what it was.
        """
        found: list[Any] = []
        try:
            first = self._consumer.poll(timeout_s)
            more, n_bytes = [] if first is None else [first], 0
            while more:
                found += more
                n_bytes += sum(map(len, more))
                left = self._max_records - len(found)
                if left <= 0 or n_bytes >= POLL_BYTES:
                    break
                more = self._consumer.consume(min(left, SOME_RECORDS), 0)
        except self._lib.KafkaException as error:
            raise StreamError(f"reading {self._topic} failed: {_words(error)}") from error
        return found

    def _ask_again(self) -> None:
        """Seek once more what is to be read and brings nothing.

        Sought while it knows no leader, a partition waits in librdkafka for one to validate the
        place with, and may wait for long: it would be owned, and nobody would read it.
        """
        now = self._monotonic()
        for partition, since_s in list(self._unheard.items()):
            wait_s = UNHEARD_S * 2 ** min(self._in_vain[partition], DOUBLED)
            if partition not in self._positions:
                self._is_heard(partition)
            elif partition not in self._paused and now - since_s > wait_s:
                self._in_vain[partition] += 1
                self.seek(partition, self._positions[partition])
                self.resume([partition])

    def _wake(self) -> None:
        """Let what was resumed be fetched now.

        librdkafka's thread of a broker sleeps for up to a second where nothing is to be fetched,
        and neither a seek nor a resume wakes it. A question does: while it is asked, and again
        with its answer, what may be fetched is looked at. There is a thread for each broker, and
        where an offset of a time is asks the leader of each partition.
        """
        self._is_asleep = False
        kind, read = self._lib.TopicPartition, self._positions.keys() - self._paused
        with contextlib.suppress(self._lib.KafkaException):
            self._consumer.offsets_for_times(
                [kind(self._topic, partition, 0) for partition in sorted(read)], timeout=WAKE_S
            )

    def _is_heard(self, partition: int) -> None:
        self._unheard.pop(partition, None)
        del self._in_vain[partition]

    def _taken(self, messages: Sequence[Any]) -> dict[int, Sequence[Record]]:
        """Records by partition, in columns first: a method a field costs less than one a record."""
        kind = self._lib.Message
        records = map(
            Taken,
            map(kind.offset, messages),
            [ms if known else -1 for known, ms in map(kind.timestamp, messages)],
            map(kind.value, messages),
            [headers or () for headers in map(kind.headers, messages)],
        )
        found: defaultdict[int, list[Record]] = defaultdict(list)
        for partition, record in zip(map(kind.partition, messages), records, strict=True):
            found[partition].append(record)
        for partition in found.keys() & self._positions.keys():
            # The end may have come in the same poll: it is behind the markers that follow these.
            behind = found[partition][-1].offset + 1
            self._positions[partition] = max(self._positions[partition], behind)
            self._doubted.pop(partition, None)
            self._is_heard(partition)
        return {p: found[p] for p in found if p in self._positions}

    def _unpacked(self, partition: int) -> Sequence[Record]:
        """What begins with a batch that librdkafka does not inflate, read by kafka-python.

        librdkafka refuses one of zstd that becomes more than an answer may be, and asks for it
        again for ever. What kafka-python makes of it is bounded, and if nothing, then counted.
        """
        at, until_s = self._positions[partition], self._monotonic() + BY_HAND_S
        found: Sequence[Record] = ()
        source = self._without_it()
        try:
            source.assign([partition])
            source.seek(partition, at)
            source.resume([partition])
            while not found and self._monotonic() < until_s:
                found = source.poll(SEEK_S).get(partition, ())
        finally:
            source.close()
        if not found:
            raise StreamError(f"{self._topic} {partition} cannot be inflated at {at}")
        self.seek(partition, found[-1].offset + 1)
        return found

    # What is no record.

    def _heard(self, error: Any) -> None:
        """On the loop's thread, within a poll: what concerns no partition."""
        self._complaint = error.str()

    def _complain(self) -> None:
        """Say what keeps us from joining the group; later on, what is asked of the broker does."""
        now = self._monotonic()
        if self._was_member or not self._complaint:
            self._silent_since_s = now
        elif now - self._silent_since_s > SILENT_S:
            said, self._complaint, self._silent_since_s = self._complaint, "", now
            raise BrokerUnavailable(f"librdkafka cannot join group {self._group_id}: {said}")

    def _face(self, message: Any, timeout_s: float) -> None:
        """Raise what a fault means; return where it means nothing."""
        error, codes = message.error(), self._lib.KafkaError
        code, partition, at = error.code(), message.partition(), message.offset()
        if code == codes._PARTITION_EOF:
            if partition in self._positions:
                # Behind the markers of transactions, which are no records.
                self._positions[partition] = max(self._positions[partition], at)
                self._doubted.pop(partition, None)
                self._is_heard(partition)
            return
        if code == codes._AUTO_OFFSET_RESET:
            if partition in self._positions:
                self._face_gone(error.str(), partition, at)
            return
        if code == codes.TOPIC_AUTHORIZATION_FAILED:
            raise NotAllowed(f"read the topic {self._topic}", f"READ on topic {self._topic}")
        if code == codes.GROUP_AUTHORIZATION_FAILED:
            raise NotAllowed(f"use the group {self._group_id}", f"READ on group {self._group_id}")
        if error.fatal():
            raise RuntimeError(f"librdkafka cannot go on: {error.str()}")
        time.sleep(timeout_s)  # what cannot be read now is asked for again at once otherwise
        kind = BrokerUnavailable if error.retriable() or code < 0 else StreamError
        raise kind(f"reading {self._topic} failed: {error.str()}")

    def _face_gone(self, words: str, partition: int, at: int) -> None:
        """A position that is not in the log; librdkafka has stopped reading the partition."""
        wanted = self._positions[partition]
        if "truncation" in words or "No epoch found" in words:
            end = _END.search(words)
            raise LogTruncated({partition: int(end[1]) if end else None})
        if at not in (wanted, self._doubted.get(partition)):
            # Said of where we were before a seek, or of behind a hole: asked once more.
            self._doubted[partition] = at
            raise StreamError(f"{self._topic} {partition} was not to be read at {at}")
        raise OffsetOutOfRange(self._topic, partition, wanted, -1, -1)

    # The group.

    def _assigned(self, consumer: Any, parts: Sequence[Any]) -> None:
        self._was_member = True
        self._ours = {tp.partition for tp in parts}
        self._doubted.clear()
        self._assign(consumer, {})
        self._note("assigned", parts)

    def _assign(self, consumer: Any, at: Mapping[int, int]) -> None:
        """Begin with all that are ours, none of them sought.

        Each is given an offset, if one of no meaning. Were it a name of one (what was committed,
        the end), librdkafka would ask the broker which that is; and where it is sought before
        the answer comes, it asks again half a second later and goes where that answer says:
        what lies between was never read, and nothing told it.
        """
        self._positions.clear()
        parts = [self._lib.TopicPartition(self._topic, p, at.get(p, 0)) for p in sorted(self._ours)]
        consumer.assign(parts)
        if parts:
            consumer.pause(parts)
        self._paused = set(self._ours)

    def _start_anew(self, positions: Mapping[int, int]) -> None:
        """Begin again where these say: a partition that librdkafka stopped cannot be sought."""
        resumed, wanted = self._ours - self._paused, dict(positions)
        self._assign(self._consumer, wanted)
        for partition in wanted.keys() & self._ours:
            if not self._sought(partition, wanted[partition], START_S):
                # It begins there in any case; `_ask_again` looks after it.
                self._positions[partition] = wanted[partition]
        self.resume(resumed)

    def _sought(self, partition: int, offset: int, patience_s: float) -> bool:
        """Whether a partition could be sought: one is started on a thread of librdkafka's."""
        at = self._lib.TopicPartition(self._topic, partition, offset)
        until_s = self._monotonic() + patience_s
        while True:
            try:
                self._consumer.seek(at)
            except self._lib.KafkaException:
                if self._monotonic() > until_s:
                    return False
                time.sleep(SEEK_AGAIN_S)
            else:
                self._positions[partition] = offset
                self._unheard[partition] = self._monotonic()
                return True

    def _taken_away(self, kind: Literal["revoked", "lost"], parts: Sequence[Any]) -> None:
        for tp in parts:
            self._ours.discard(tp.partition)
            self._positions.pop(tp.partition, None)
        self._note(kind, parts)

    def _note(self, kind: Literal["assigned", "revoked", "lost"], parts: Iterable[Any]) -> None:
        partitions = tuple(sorted(tp.partition for tp in parts))
        if partitions:
            self._notes.append(Change(kind, partitions, self._monotonic()))

    def _parts(self, partitions: Iterable[int]) -> list[Any]:
        """Those that are ours: what was taken away is dealt with when its change is read."""
        return [self._lib.TopicPartition(self._topic, p) for p in partitions if p in self._ours]


def _leave(lib: Any, consumer: Any) -> None:
    with contextlib.suppress(lib.KafkaException, RuntimeError):
        consumer.close()


def _words(error: Any) -> str:
    inner = error.args[0] if error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(inner)


def _without_secrets(words: str, told: Mapping[str, Any]) -> str:
    secret = str(told.get("sasl.password", ""))
    return words.replace(secret, "***") if secret else words
