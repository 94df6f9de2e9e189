"""A topic of a real broker, a real database, and the members between them, stepped by the test.

Everything happens when the test says so, but for what the broker does by itself. What was sent is
known from the broker's own acknowledgements, so that it can be counted offline and compared.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self

import offline
import pytest
import sqlalchemy as sa
from fake_source import Entry, positions
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, UnknownTopicOrPartitionError
from simulator import small_reference
from sqlalchemy.engine import Engine

from consumers.confluent import ConfluentSource
from consumers.kafka import KafkaSource
from consumers.loop import Loop
from consumers.settings import IngestSettings
from monitor.clock import Clock
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

DEADLINE_S: Final = 60.0
# The embedded broker lets a group wait for half of it before the first assignment.
SESSION_MS: Final = 2_000
CHECKPOINT_S: Final = 0.1
CLIENTS: Final[dict[str, Any]] = {"kafka-python": KafkaSource, "confluent": ConfluentSource}
# What a test tells of it holds whichever client reads (see the fixture `client`).
both_clients = pytest.mark.parametrize("client", CLIENTS)


class Member:
    """One member of the group, in this thread."""

    def __init__(self, loop: Loop, source: Any) -> None:
        self.loop, self.source = loop, source
        self._is_gone = False

    def leave(self) -> None:
        """Checkpoint what is held, and leave the group."""
        told = threading.Event()
        told.set()
        if not self._is_gone:
            self.loop.run(told)
        self._is_gone = True

    def vanish(self) -> None:
        """End with everything that is held."""
        if not self._is_gone:
            self.source.close()
        self._is_gone = True


class Stage:
    """One topic, one group, one database; a context manager that takes its clients away.

    Attributes
    ----------
    written
        Records that the broker took, by the topic's id and partition; what is in a transaction
        is added by who commits it.
    registries
        By revision.
    """

    def __init__(
        self, bootstrap: str, engine: Engine, partitions: int = 2, *, client: str = "kafka-python"
    ) -> None:
        self.bootstrap, self.engine, self._client = bootstrap, engine, client
        self.topic = self.group = f"stage.{uuid.uuid4().hex}"
        self.members: list[Member] = []
        self.written: dict[tuple[str, int], list[Entry]] = {}
        known = registry.load(engine)
        self.registries: dict[int, registry.Registry] = {known.revision: known}
        self.begin()
        self.make_topic(partitions)

    def begin(self) -> None:
        """Make the clients that the test itself uses."""
        self.admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        self.producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)

    def end(self) -> None:
        """Take all clients away: those of a broker that is gone leave sockets behind."""
        for member in self.members:
            member.vanish()
        self.producer.close(timeout=5)
        self.admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(KafkaError):
            self.admin.delete_topics([self.topic])
        self.end()

    # -- the topic -----------------------------------------------------------------------------

    def make_topic(self, partitions: int, **configs: str) -> None:
        """Make it; where one of its name is still being deleted, as soon as that is gone."""
        self.partitions = partitions
        new = NewTopic(self.topic, partitions, 1, topic_configs=configs)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                self.admin.create_topics([new])
                break
            except KafkaError:
                assert time.monotonic() < deadline, "the topic cannot be made"
                time.sleep(0.1)
        while not self._described():
            assert time.monotonic() < deadline, "the topic does not appear"
            time.sleep(0.05)
        self.topic_id = str(self._described()["topic_id"])
        self.produce_anew()

    def produce_anew(self) -> None:
        """With another producer: one remembers the topic as it was, and what was acknowledged."""
        self.producer.close(timeout=5)
        self.producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)

    def add_partitions(self, to: int) -> None:
        """Let it have so many."""
        self.admin.create_partitions({self.topic: to})
        self.partitions, deadline = to, time.monotonic() + DEADLINE_S
        while not self._described():
            assert time.monotonic() < deadline, "the partitions do not appear"
            time.sleep(0.05)
        self.produce_anew()

    def make_topic_again(self, **configs: str) -> None:
        """Delete it and create it under the same name, unseen by whoever only looks at names."""
        self.admin.delete_topics([self.topic])
        self.make_topic(self.partitions, **configs)

    def _described(self) -> Mapping[str, Any]:
        with suppress(UnknownTopicOrPartitionError):
            (found,) = self.admin.describe_topics([self.topic])
            whole = not found["error_code"] and len(found["partitions"]) >= self.partitions
            if whole and all(p["leader_id"] >= 0 for p in found["partitions"]):
                described: Mapping[str, Any] = found
                return described
        return {}

    def send(
        self,
        values: Iterable[bytes | None],
        partition: int | None = None,
        *,
        kafka_ms: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Write the values, in turns to each partition where none is named."""
        # A broker refuses what is far ahead of its clock, and forgets what is a week behind it.
        kafka_ms, sent = kafka_ms or time.time_ns() // 1_000_000, []
        for i, value in enumerate(values):
            place = i % self.partitions if partition is None else partition
            future = self.producer.send(
                self.topic, value, key=b"k", partition=place, timestamp_ms=kafka_ms,
                headers=list(headers),
            )  # fmt: skip
            sent.append((place, value, future))
        self.producer.flush(timeout=DEADLINE_S)
        for place, value, future in sent:
            self.note(place, Entry(future.get(0).offset, kafka_ms, value, list(headers)))

    def note(self, partition: int, entry: Entry) -> None:
        """Add what the broker took."""
        self.written.setdefault((self.topic_id, partition), []).append(entry)

    # -- the database --------------------------------------------------------------------------

    def register(self, version: str = "1") -> None:
        """Bind the small reference to a version of model m."""
        with transaction(self.engine) as conn:
            registry.register_reference(
                conn, small_reference(), model="m", version=version, now_ms=1
            )
        known = registry.load(self.engine)
        self.registries[known.revision] = known

    def rows(self, table: sa.Table, *where: Any) -> list[Any]:
        """Rows of a table."""
        with self.engine.connect() as conn:
            return list(conn.execute(sa.select(table).where(*where)))

    def gaps(self) -> list[tuple[str, int, int, int]]:
        """What is said to be lost: kind, partition, first offset and end."""
        return [
            (row.kind, row.partition, row.from_offset, row.to_offset)
            for row in self.rows(t.data_gap)
        ]

    def next_offsets(self) -> dict[int, int]:
        """Where each partition of the topic as it is now is read to."""
        (stream,) = self.rows(t.stream, t.stream.c.topic_id == self.topic_id) or (None,)
        found = positions(self.engine) if stream else []
        return {p.partition: p.next_offset for p in found if p.stream_id == stream.id}

    def differences(self) -> list[str]:
        """What is stored and is not what an offline count of all records says, a line each."""

        def written(topic_id: str, partition: int) -> list[Entry]:
            return self.written.get((topic_id, partition), [])

        must = offline.truth(self.engine, written, self.registries)
        return offline.differences(must, offline.stored(self.engine, small_reference().gridset))

    # -- the members ---------------------------------------------------------------------------

    def member(
        self,
        kind: type[Loop] = Loop,
        *,
        source: Any = None,
        clock: Clock | None = None,
        engine: Engine | None = None,
        options: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Member:
        """A new member of the group; `source` is a class, where it is not the client's."""
        said = {"session_timeout_ms": SESSION_MS, "heartbeat_interval_ms": SESSION_MS // 5}
        given = IngestSettings(
            "", self.bootstrap, self.topic,
            **{"group_id": self.group, "checkpoint_interval_s": CHECKPOINT_S,
               "client_options": said | dict(options or {})} | settings,
        )  # fmt: skip
        made = (source or CLIENTS[self._client])(
            self.bootstrap, self.topic, given.group_id, options=given.client_options
        )
        member = Member(kind(engine or self.engine, made, given, clock), made)
        self.members.append(member)
        return member

    def step(self, *members: Member) -> None:
        """Let these do one step each, or all that are there."""
        for member in members or [m for m in self.members if not m._is_gone]:
            member.loop.step()

    def until(self, is_so: Callable[[], bool], what: str, *members: Member) -> None:
        """Step until it is so; fail with `what` where it never is."""
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            assert time.monotonic() < deadline, f"{what}: {self.next_offsets()} {self.gaps()}"
            self.step(*members)

    def is_read(self) -> bool:
        """Whether every partition is counted to behind the last record that was sent."""
        ends = {
            partition: log[-1].offset + 1
            for (topic_id, partition), log in self.written.items()
            if topic_id == self.topic_id
        }
        at = self.next_offsets()
        return all(at.get(partition, -1) >= end for partition, end in ends.items())

    def read(self, *members: Member) -> None:
        """Step until all that was sent is counted."""
        self.until(self.is_read, "the end is not reached", *members)
