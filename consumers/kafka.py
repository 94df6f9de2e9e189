"""A topic read with kafka-python, as a member of a consumer group.

kafka-python runs the group's callbacks on its I/O thread, where asking the
broker would raise, and an exception there makes the next poll resume silently
from Kafka's committed offset. So the listener only notes what happened, pauses,
and gives new partitions a position of no meaning, which keeps the client from
looking for one by itself; the loop seeks before it resumes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka import errors as kafka_errors
from kafka.protocol.consumer import IsolationLevel, OffsetSpec

from consumers import bounded, sockets
from consumers.source import Change, Identity, LogTruncated, Record
from driftline.errors import (
    BrokerUnavailable,
    ConfigError,
    NotAllowed,
    OffsetOutOfRange,
    StreamError,
)
from driftline.refusing import overheard
from monitor.brokers import unanswered

# A broker that is there answers at once; waiting longer only hides that it is not.
BOOTSTRAP_MS: Final = 5_000
# Asking for offsets must not keep the loop from polling: a third of the shortest session.
ASK_MS: Final = 2_000
# One fetched chunk of a partition is held undecoded: 4 partitions hold 16 MB. An answer has room
# for all four: one that is left out of it waits, and where another one is read to its end, for half
# a second, because kafka-python asks a broker one thing at a time.
FETCH_BYTES: Final = 4_000_000
# The first record of an answer comes whole, however large. A client that refuses the answer asks
# for it again for ever, and kafka-python keeps each of them: so the limit is the protocol's own.
ANSWER_BYTES: Final = (1 << 31) - 1
POLL_RECORDS: Final = 5_000
# By then a poll that began waits for the answer to the group's question.
HANDED_S: Final = 0.02
CLOSE_MS: Final = 1_500
# Faults of the client's own, no errors of Kafka's: after so many within so long the process ends.
FAULTS: Final = 20
FAULTS_S: Final = 600.0


class KafkaSource:
    """One topic of one cluster, read by one group.

    Parameters
    ----------
    bootstrap
        ``HOST:PORT``, several separated by commas.
    group_id
        None = no group: it reads what `assign` says, beside whoever else reads it.
    options
        Further options of kafka-python's client, such as TLS and SASL settings; those of
        the consumer (``session_timeout_ms``) are kept from the admin client.
    epoch
        Makes each start of a broker without memory a stream of its own.
    batch_bytes
        Of a compressed batch that becomes more than this no record is read: see `Unread`.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    ConfigError
        An option that kafka-python does not know, or an address that is none.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group_id: str | None,
        *,
        options: Mapping[str, Any] | None = None,
        epoch: str | None = None,
        batch_bytes: int = bounded.BATCH_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bootstrap, self._topic, self._group_id = bootstrap, topic, group_id
        self._epoch = epoch
        self._monotonic = monotonic
        common = {
            "bootstrap_servers": [part.strip() for part in bootstrap.split(",")],
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            "reconnect_backoff_max_ms": 2_000,
        } | dict(options or {})
        self._batch_bytes = batch_bytes
        self._consumer_options = common | {
            "group_id": group_id,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "allow_auto_create_topics": False,
            "isolation_level": "read_committed",
            # Partitions that are added are found within half a minute.
            "metadata_max_age_ms": 30_000,
            "max_poll_records": POLL_RECORDS,
            "max_partition_fetch_bytes": FETCH_BYTES,
            "fetch_max_bytes": 4 * FETCH_BYTES,
            "receive_message_max_bytes": ANSWER_BYTES,
            "metrics_enabled": False,
            "proxy_url": common.get("proxy_url") or sockets.DIRECT,
            **{key: common[key] for key in common if key in _TUNABLE},
        }
        shared = {k: v for k, v in common.items() if k in KafkaAdminClient.DEFAULT_CONFIG}
        shared["request_timeout_ms"] = ASK_MS
        unknown = set(common) - set(KafkaConsumer.DEFAULT_CONFIG)
        if unknown:
            raise ConfigError(
                "kafka", "options", sorted(unknown), "options of kafka-python's KafkaConsumer"
            )
        self._consumer: Any = None
        self._cluster_id: str | None = None
        self._partitions: tuple[int, ...] = ()
        self._notes: list[Change] = []
        # When the client's own faults came, the last ones.
        self._faults: list[float] = []
        self._lock = threading.Lock()
        try:
            with overheard(is_quiet=True) as heard:
                self._admin: Any = KafkaAdminClient(**shared)
        except kafka_errors.KafkaError as error:
            words = unanswered(bootstrap, _first_line(error), dict(options or {}), heard)
            raise BrokerUnavailable(words) from error
        except ValueError as error:
            raise ConfigError(
                "kafka.bootstrap", "settings", bootstrap, "HOST:PORT, several with commas between"
            ) from error

    def identity(self) -> Identity | None:
        """See `Source.identity`."""
        with self._asking("which topics there are"):
            (found,) = self._admin.describe_topics([self._topic])
            if found["error_code"] == kafka_errors.TopicAuthorizationFailedError.errno:
                raise NotAllowed(f"read the topic {self._topic}", f"READ on topic {self._topic}")
            if found["error_code"] or not found["partitions"]:
                return None
            if self._cluster_id is None:
                self._cluster_id = self._admin.describe_cluster().get("cluster_id") or "unknown"
        self._partitions = tuple(sorted(p["partition_index"] for p in found["partitions"]))
        topic_id = str(found.get("topic_id") or f"name:{self._topic}")
        if self._epoch:
            topic_id = f"{self._epoch[:16]}:{topic_id}"
        return Identity(self._cluster_id, topic_id[:64])

    def bounds(self) -> dict[int, tuple[int, int]]:
        """See `Source.bounds`; the partitions are those that `identity` saw last."""
        parts = [TopicPartition(self._topic, partition) for partition in self._partitions]
        with self._asking("where the log begins and ends"):
            ends = self._offsets(parts, OffsetSpec.LATEST)
            lows = self._offsets(parts, OffsetSpec.EARLIEST)
        return {tp.partition: (lows[tp].offset, ends[tp].offset) for tp in parts}

    def _offsets(self, parts: Sequence[Any], spec: Any) -> Mapping[Any, Any]:
        found: Mapping[Any, Any] = self._admin.list_partition_offsets(
            dict.fromkeys(parts, spec),
            # The last stable offset would call an open transaction's records read.
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            timeout_ms=ASK_MS,
        )
        return found

    def first_at(self, time_ms: int) -> dict[int, tuple[int, int] | None]:
        """Return offset and timestamp of each partition's first record of that time or later.

        None where there is none; the partitions are those that `identity` saw last.

        Raises
        ------
        BrokerUnavailable
            It does not answer.
        """
        parts = [TopicPartition(self._topic, partition) for partition in self._partitions]
        with self._asking("which record was the first of a time"):
            found = self._offsets(parts, time_ms)
        return {
            tp.partition: None
            if found[tp].offset < 0
            else (int(found[tp].offset), int(found[tp].timestamp))
            for tp in parts
        }

    def assign(self, partitions: Iterable[int]) -> None:
        """Read these without a group, none of them before it was sought and resumed."""
        if self._consumer is None:
            self._consumer = self._made()
        parts = [TopicPartition(self._topic, partition) for partition in partitions]
        self._consumer.assign(parts)
        for tp in parts:
            self._consumer.pause(tp)
            # Not where reading starts: it keeps the client from looking for a position.
            self._consumer.seek(tp, 0)

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        """See `Source.poll`."""
        try:
            if self._consumer is None:
                if not self._partitions:
                    # A member that waits for a topic learns of it half a minute late.
                    time.sleep(timeout_s)
                    return {}
                self._join()
            found = self._read(timeout_s)
        except kafka_errors.OffsetOutOfRangeError as error:
            tp, offset = next(iter(error.args[0].items()))
            raise OffsetOutOfRange(tp.topic, tp.partition, offset, -1, -1) from error
        except kafka_errors.LogTruncationError as error:
            cut = error.divergent_offsets
            raise LogTruncated(
                {tp.partition: None if at is None else at.offset for tp, at in cut.items()}
            ) from error
        except kafka_errors.TopicAuthorizationFailedError as error:
            raise NotAllowed(
                f"read the topic {self._topic}", f"READ on topic {self._topic}"
            ) from error
        except kafka_errors.GroupAuthorizationFailedError as error:
            raise NotAllowed(
                f"use the group {self._group_id}", f"READ on group {self._group_id}"
            ) from error
        except kafka_errors.KafkaError as error:
            time.sleep(timeout_s)  # what cannot be read now is asked for again at once otherwise
            kind = BrokerUnavailable if getattr(error, "retriable", False) else StreamError
            raise kind(f"reading {self._topic} failed: {_first_line(error)}") from error
        return {tp.partition: records for tp, records in found.items()}

    def changes(self) -> list[Change]:
        """See `Source.changes`."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes

    def position(self, partition: int) -> int:
        """See `Source.position`."""
        try:
            found = self._consumer.position(TopicPartition(self._topic, partition), timeout_ms=0)
        except kafka_errors.KafkaError as error:
            raise StreamError(f"no position of {partition}: {_first_line(error)}") from error
        if found is None:
            raise StreamError(f"partition {partition} has no position")
        return int(found)

    def seek(self, partition: int, offset: int) -> None:
        """See `Source.seek`."""
        with self._only_if_assigned():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)

    def pause(self, partitions: Iterable[int]) -> None:
        """See `Source.pause`."""
        for partition in partitions:
            with self._only_if_assigned():
                self._consumer.pause(TopicPartition(self._topic, partition))

    def resume(self, partitions: Iterable[int]) -> None:
        """See `Source.resume`."""
        for partition in partitions:
            with self._only_if_assigned():
                self._consumer.resume(TopicPartition(self._topic, partition))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Source.commit`."""
        if offsets and self._consumer is not None:
            with contextlib.suppress(kafka_errors.KafkaError):
                self._consumer.commit_async(
                    {
                        TopicPartition(self._topic, p): OffsetAndMetadata(offset, "", -1)
                        for p, offset in offsets.items()
                    }
                )

    def close(self) -> None:
        """See `Source.close`."""
        with contextlib.suppress(kafka_errors.KafkaError):
            if self._consumer is not None:
                self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
        with contextlib.suppress(kafka_errors.KafkaError):
            self._admin.close()

    def _made(self) -> Any:
        consumer = KafkaConsumer(**self._consumer_options)
        bounded.bind(consumer._fetcher, self._batch_bytes)
        return consumer

    def _join(self) -> None:
        consumer = self._made()
        consumer.subscribe([self._topic], listener=_Listener(consumer, self._note))
        self._consumer = consumer

    def _read(self, timeout_s: float) -> Mapping[Any, Sequence[Record]]:
        """Poll; a fault of the client's own may be gone with what it had fetched, some times."""
        try:
            self._finish_joining()
            return self._fetched(timeout_s)
        except kafka_errors.KafkaError:
            raise
        except Exception as error:
            now = self._monotonic()
            self._faults = [at for at in self._faults if now - at < FAULTS_S] + [now]
            if len(self._faults) > FAULTS:
                raise
            time.sleep(timeout_s)
            raise StreamError(
                f"reading {self._topic} failed inside kafka-python: "
                f"{type(error).__name__}: {_first_line(error)}"
            ) from error

    def _fetched(self, timeout_s: float) -> Mapping[Any, Sequence[Record]]:
        """Poll; whatever is raised, what was fetched is fetched again.

        kafka-python keeps the rest of a batch that it could not read to its end, and the poll
        after the one that raised never returns: it asks that rest for records for ever.
        """
        self._free_the_line()
        try:
            found: Mapping[Any, Sequence[Record]] = self._consumer.poll(
                timeout_ms=int(timeout_s * 1000)
            )
        except Exception:
            self._consumer._fetcher.close()
            raise
        return found

    def _free_the_line(self) -> None:
        """Let a partition that was paused in the middle of a batch go on when it is resumed.

        kafka-python parks the rest of its batch, fetches no more of it, and takes it up again
        when no batch is in line; but one of another partition that was read to its end counts as
        in line for ever. A member that was fenced on one of its partitions owned it again, and
        never read another record of it until the group rebalanced.
        """
        fetcher = self._consumer._fetcher
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None

    def _finish_joining(self) -> None:
        """Let a rebalance that outlasted a poll be finished by the next one.

        kafka-python forgets one that began with new metadata when its leader has assigned the
        partitions and the poll ends before its own have come: it believes that it has joined,
        sends no heartbeat, and spins without a partition for ever. And one that is done between
        two polls it begins anew, which makes everybody else begin anew, too: its answer is handed
        to the next poll instead, a moment after that has begun to wait for it.
        """
        coordinator = self._consumer._coordinator
        if not coordinator.rejoining:
            return
        coordinator.request_rejoin()
        joined = coordinator._join_task
        if joined is not None and joined.succeeded():
            manager = coordinator._manager

            async def answer() -> Any:
                await manager._net.sleep(HANDED_S)
                return joined.value

            coordinator._join_task = manager.call_soon(answer)

    def _note(self, kind: Literal["assigned", "revoked", "lost"], parts: Iterable[Any]) -> None:
        partitions = tuple(sorted(tp.partition for tp in parts))
        if partitions:
            with self._lock:
                self._notes.append(Change(kind, partitions, self._monotonic()))

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except kafka_errors.KafkaError as error:
            raise BrokerUnavailable(
                f"the broker at {self._bootstrap} does not say {what}: {_first_line(error)}"
            ) from error

    @contextlib.contextmanager
    def _only_if_assigned(self) -> Iterator[None]:
        """A partition that was taken away meanwhile is dealt with when its change is read."""
        with contextlib.suppress(KeyError, ValueError, kafka_errors.IllegalStateError):
            yield


# What a user may set of the consumer's own options; the rest is what counting once rests on.
_TUNABLE: Final = frozenset(
    {
        "session_timeout_ms",
        "heartbeat_interval_ms",
        "max_poll_records",
        "max_partition_fetch_bytes",
        "fetch_max_bytes",
        "fetch_max_wait_ms",
        "fetch_min_bytes",
        "metadata_max_age_ms",
    }
)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes and pauses, on kafka-python's I/O thread: no I/O, and nothing that raises."""

    def __init__(self, consumer: Any, note: Callable[..., None]) -> None:
        self._consumer, self._note = consumer, note

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        for tp in assigned:
            self._consumer.pause(tp)
            # Not where reading starts: the loop claims, seeks, then resumes.
            self._consumer.seek(tp, 0)
        self._note("assigned", assigned)

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._note("revoked", revoked)

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self._note("lost", lost)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
