"""The real loop in a world that fails: a broker, a clock and a database that a seed decides about.

Members come and go, wake up behind each other's back, end in the middle of a call, and the log
loses what was not read. Whatever happened, the database must hold what `offline` counts.
"""

from __future__ import annotations

import functools
import gc
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from unittest import mock

import offline
import sqlalchemy as sa
from fake_source import KAFKA_MS, Entry, FakeSource, FakeTopic, Unguarded, prediction
from fake_source import small_reference as _small_reference
from faults import DANGEROUS, HOWS, Calls, Died, Tapped
from sqlalchemy.engine import Connection, Engine

from consumers.ledger import Ledger
from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline.stats import document
from driftline.stats.reference import Reference
from monitor.clock import HeldClock
from monitor.storage import checkpoint, registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim, Look
from monitor.storage.engine import transaction

INTERVAL_S: Final = 5.0
# Versions whose events flow; only the first is registered from the start.
VERSIONS: Final = ("1", "2", "3")

small_reference = functools.cache(_small_reference)

_documents: dict[str, bytes] = {}


@contextmanager
def known_references() -> Iterator[None]:
    """Write and read each reference's document once: it never changes, and goes through SQL still.

    It would take a sixth of a story's time.
    """
    write, read = document.write, functools.cache(document.read)

    def written(reference: Reference) -> bytes:
        if reference.digest not in _documents:
            _documents[reference.digest] = write(reference)
        return _documents[reference.digest]

    with mock.patch.multiple(document, write=written, read=read):
        yield


Written = dict[tuple[int, int], list[Entry]]


@dataclass
class Member:
    """One process."""

    source: FakeSource
    loop: Loop


class World:
    """A topic, a database, and the members that read the one into the other.

    Parameters
    ----------
    engine
        Of a database whose tables may be emptied.
    loop
        What members run; a control runs another one.

    Attributes
    ----------
    written
        All that was ever written, by life of the topic and partition: nothing is taken from it.
    registries
        By revision.
    """

    def __init__(self, engine: Engine, loop: type[Loop] = Loop, partitions: int = 2) -> None:
        self.engine, self._loop = engine, loop
        self.clock, self.topic = HeldClock(now_ms=KAFKA_MS), FakeTopic(partitions)
        self.calls = Calls(engine)
        self.written: Written = {}
        self.registries: dict[int, registry.Registry] = {}
        self.uniform: Callable[[float, float], float] = lambda _low, high: high
        empty(engine)
        self.register("1")

    def register(self, version: str) -> None:
        """Bind a reference to a version of the model: what flows of it counts from now on."""
        # What is said at registration takes a fifth of a story's time and changes no count.
        with mock.patch.object(registry, "advice", lambda *_: ()), transaction(self.engine) as conn:
            registry.register_reference(
                conn, small_reference(), model="m", version=version, now_ms=self.clock.now_ms()
            )
        known = registry.load(self.engine)
        self.registries[known.revision] = known

    def member(self, max_records: int = 7) -> Member:
        """A new process, to which no partition is given yet."""
        source = FakeSource(self.topic, self.clock, max_records)
        tapped = Tapped(self.calls, source)
        settings = IngestSettings("", "", checkpoint_interval_s=INTERVAL_S)
        return Member(source, self._loop(self.engine, tapped, settings, self.clock, self.uniform))

    def step(self, member: Member) -> bool:
        """Let a member do one step; False where it ended."""
        try:
            with self.calls.on():
                member.loop.step()
        except Died:
            pass
        else:
            return True
        # A dead process has no cursor; one that lives on in a traceback keeps its transaction.
        gc.collect(1)
        return False

    def write(self, value: bytes | None, partition: int) -> None:
        """Write one record."""
        self.topic.append(value, partition)
        entries = self.written.setdefault((self.topic.life, partition), [])
        entries.append(self.topic.logs[partition][-1])

    def finish(self) -> None:
        """One undisturbed owner reads to the end."""
        self.calls.disarm()
        self.topic.is_down = False
        last = self.member(max_records=500)
        last.source.give(*self.topic.logs)
        for _ in range(200):
            self.clock.advance(INTERVAL_S + 1)
            last.loop.step()
            if self._is_read():
                return
        raise AssertionError("the last owner does not come to the end")

    def _is_read(self) -> bool:
        c = t.stream_position.c
        with self.engine.connect() as conn:
            rows = conn.execute(
                sa.select(c.partition, c.next_offset)
                .join(t.stream, t.stream.c.id == c.stream_id)
                .where(t.stream.c.topic_id == f"life-{self.topic.life}")
            )
            return {row.partition: row.next_offset for row in rows} == self.topic.end


def empty(engine: Engine) -> None:
    """Take everything out of a database but its schema."""
    with transaction(engine) as conn:
        for table in reversed(t.metadata.sorted_tables):
            if table is not t.registry and table is not t.data_version:
                conn.exec_driver_sql(f'DELETE FROM "{table.name}"')
        conn.execute(sa.update(t.registry).values(revision=0))


def undue_gaps(world: World) -> list[str]:
    """Gaps that name offsets the log never lost."""
    wrong = []
    with world.engine.connect() as conn:
        for at in conn.execute(
            sa.select(t.stream_position, t.stream.c.topic_id).join(
                t.stream, t.stream.c.id == t.stream_position.c.stream_id
            )
        ).all():
            life = int(at.topic_id.split("-")[1])
            low = world.topic.low.get(at.partition, 0) if life == world.topic.life else 1 << 62
            for first, end in offline.gaps(conn, at.stream_id, at.partition, "retention"):
                if end > low:
                    wrong.append(f"{at.topic_id}/{at.partition}: [{first}, {end}) above {low}")
    return wrong


def differences(world: World) -> list[str]:
    """What is wrong in the database, a line each; none when every record is counted once."""

    def written(topic_id: str, partition: int) -> list[Entry]:
        return world.written.get((int(topic_id.split("-")[1]), partition), [])

    must = offline.truth(world.engine, written, world.registries)
    have = offline.stored(world.engine, small_reference().gridset)
    return undue_gaps(world) + offline.differences(must, have)


# -- controls: each lacks one guard ------------------------------------------------------------


class NeverPutBack(Loop):
    """It believes that a poll which raised had moved nothing."""

    def _put_back(self) -> None:
        pass


class Heedless(Loop):
    """It writes with whatever registry stands now what it counted with an older one."""

    def _commit(self, conn: Connection, ledger: Ledger, look: Look) -> Claim:
        now = registry.revision(conn)
        move = replace(ledger.move(look), registry_revision=now)
        return checkpoint.commit(conn, ledger.claim, move, ledger.delta, self._clock.now_ms())


CONTROLS: Final[Mapping[str, type[Loop]]] = {
    "unguarded": Unguarded,
    "never-put-back": NeverPutBack,
    "heedless": Heedless,
}


# -- what happens ------------------------------------------------------------------------------


class Story:
    """Two members, and at every turn one of the things that can happen to them.

    Examples
    --------
    ``with Story(engine, seed=7) as story: story.tell(); assert story.differences() == []``
    """

    def __init__(self, engine: Engine, seed: int, loop: type[Loop] = Loop) -> None:
        self.rng = random.Random(seed)
        self.world = World(engine, loop)
        self.world.uniform = self.rng.uniform
        self.members = [self.world.member(), self.world.member()]
        self._written = 0
        self._registered = 1

    def __enter__(self) -> Story:
        self.world.calls.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.world.calls.__exit__()

    def tell(self, turns: int = 80) -> None:
        """Let things happen, then let one owner read to the end."""
        for _ in range(turns):
            self.turn()
        self.world.finish()

    def differences(self) -> list[str]:
        """What is wrong at the end."""
        return differences(self.world)

    def turn(self) -> None:
        """Let one thing happen."""
        world, rng = self.world, self.rng
        which = rng.randrange(2)
        member = self.members[which]
        partition = rng.choice(list(world.topic.logs))
        if rng.random() < 0.25:
            world.calls.is_down = world.topic.is_down = False
        act = rng.random()
        if act < 0.18:
            for _ in range(rng.randrange(12)):
                self._write()
        elif act < 0.64:
            if not world.step(member):
                self.members[which] = world.member()
        elif act < 0.67:
            for _ in range(rng.randrange(1, 6)):
                self._write()
            world.calls.arm_next("poll", "fails after")  # behind what was written just now
        elif act < 0.75:
            world.clock.advance(rng.random() * 6)
        elif act < 0.84:
            member.source.give(partition)  # perhaps behind the other's back
        elif act < 0.87 and member.source.assigned:
            kind: Literal["revoked", "lost"] = rng.choice(["revoked", "lost"])
            member.source.take(rng.choice(list(member.source.assigned)), kind=kind)
        elif act < 0.885:
            self.members[which] = world.member()  # killed between two steps
        elif act < 0.91:
            world.calls.arm(rng.randrange(30), rng.choice(HOWS))
        elif act < 0.935:
            world.calls.arm_next(rng.choice(DANGEROUS), rng.choice(HOWS))
        elif act < 0.945:
            world.calls.is_down = True
        elif act < 0.955:
            world.topic.is_down = True
        elif act < 0.97:
            world.topic.hole(rng.randrange(1, 4), partition)
        elif act < 0.98:
            low, end = world.topic.low[partition], world.topic.end[partition]
            world.topic.retain_from(rng.randint(low, end), partition)
        elif act < 0.984 and not world.calls.is_down:
            world.topic.make_again()
        elif act < 0.988 and len(world.topic.logs) < 4:
            new = len(world.topic.logs)
            for kept in (world.topic.low, world.topic.end):
                kept[new] = 0
            world.topic.logs[new] = []
        elif self._registered < len(VERSIONS) and not world.calls.is_down:
            world.register(VERSIONS[self._registered])
            self._registered += 1

    def _write(self) -> None:
        rng, i = self.rng, self._written
        changes: dict[str, Any] = {"version": rng.choice(VERSIONS)} if rng.random() < 0.3 else {}
        value: bytes | None = prediction(i, **changes)
        odd = rng.random()
        if odd < 0.02:
            value = rng.choice([b"{", None, b"[]", b"\xff"])
        elif odd < 0.05:
            value = prediction(max(0, i - rng.randrange(50)), **changes)  # late, perhaps
        elif odd < 0.08:
            value = prediction(i, features={"x": "text", "kind": f"new-{i % 3}"}, **changes)
        elif odd < 0.09:
            value = prediction(i, type="label", label="yes", **changes)
        elif odd < 0.1:
            value = prediction(i + 400, **changes)  # a clock of days ahead
        self.world.write(value, rng.choice(list(self.world.topic.logs)))
        self._written += 1


def tale(world: World) -> None:
    """A short story in which every kind of call is made; whoever dies in it is replaced.

    The calls are the same whatever goes wrong before them, until it does.
    """
    one, two = world.member(), world.member()
    one.source.give(0, 1)
    for i in range(9):
        world.write(prediction(i, version=VERSIONS[i % 2]), i % 2)
    world.write(b"{", 0)
    one = _go(world, one, 2)
    world.register("2")
    for i in range(9, 15):
        world.write(prediction(i, version=VERSIONS[i % 2], features={"kind": "new"}), i % 2)
    one = _go(world, one, 2)
    one.source.take(1)
    world.topic.hole(2, 1)
    world.topic.retain_from(2, 0)
    for i in range(15, 21):
        world.write(prediction(i), i % 2)
    one = _go(world, one, 1)
    two.source.give(0, 1)  # the one behind the other's back
    two = _go(world, two, 2)
    one = _go(world, one, 2)
    _go(world, two, 1)


def _go(world: World, member: Member, steps: int) -> Member:
    for _ in range(steps):
        if not world.step(member):
            assigned = list(member.source.assigned)
            member = world.member()
            member.source.give(*assigned)
        world.clock.advance(INTERVAL_S + 0.1)
    return member
