"""The real loop in a world that fails: a broker, a clock and a database that a seed decides about.

Every call that a member makes, of the broker or of the database, is numbered. At any number the
call can fail before it was made, fail after it was made, or be the moment at which the process
ends. Members come and go, wake up behind each other's back, and the log loses what was not read.

`truth` counts the log offline, in one piece, with the registry that each offset was read by;
`stored` reads the same from the database. Whatever happened, they must be equal.
"""

from __future__ import annotations

import functools
import gc
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from unittest import mock

import sqlalchemy as sa
from fake_source import KAFKA_MS, Entry, FakeSource, FakeTopic, Unguarded, prediction
from fake_source import small_reference as _small_reference
from sqlalchemy.engine import Connection, Engine

from consumers.admit import Rules, admit
from consumers.count import count, counted_under
from consumers.ledger import Ledger
from consumers.loop import Loop
from consumers.settings import IngestSettings
from consumers.source import Identity
from consumers.watermark import Progress, advance
from driftline.errors import BrokerUnavailable, StreamError
from driftline.stats.profile import Profile
from monitor.clock import HeldClock
from monitor.storage import checkpoint, registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim, Look
from monitor.storage.delta import CounterKey, Delta
from monitor.storage.engine import transaction

INTERVAL_S: Final = 5.0
HOUR_MS: Final = 3_600_000
# What can befall a call.
HOWS: Final = ("fails before", "fails after", "dies before", "dies after")
# Calls after which nobody knows what was done.
DANGEROUS: Final = ("poll", "sql COMMIT")
# Calls of the broker that may raise, and what they raise; the others never do.
RAISES: Final[Mapping[str, Callable[[str], Exception]]] = {
    "identity": BrokerUnavailable,
    "bounds": BrokerUnavailable,
    "poll": StreamError,
    "position": StreamError,
}
# Versions whose events flow; only the first is registered from the start.
VERSIONS: Final = ("1", "2", "3")

small_reference = functools.cache(_small_reference)


class Died(BaseException):
    """The process ended here: nothing after it was done."""


class Calls:
    """Numbers the calls of all members, and lets one of them go wrong.

    Attributes
    ----------
    made
        What was called, in order.
    happened
        How often which call went wrong how, as ("dies after", "sql COMMIT").
    is_down
        Whether no statement reaches the database.
    """

    def __init__(self, engine: Engine) -> None:
        self.made: list[str] = []
        self.happened: Counter[tuple[str, str]] = Counter()
        self.is_down = False
        self._engine = engine
        self._at, self._how, self._next = -1, HOWS[0], ""
        self._is_on = False
        self._commit_of_driver = engine.dialect.do_commit

    def __enter__(self) -> Calls:
        sa.event.listen(self._engine, "before_cursor_execute", self._before_sql)
        sa.event.listen(self._engine, "after_cursor_execute", self._after_sql)
        if self._engine.dialect.name == "postgresql":  # there COMMIT is a call of the driver's
            self._engine.dialect.do_commit = self._commit  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._before_sql)
        sa.event.remove(self._engine, "after_cursor_execute", self._after_sql)
        self._engine.dialect.do_commit = self._commit_of_driver  # type: ignore[method-assign]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Number the calls of this block: those of a member, not those of the test."""
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False

    def arm(self, number: int, how: str) -> None:
        """Let call `number` from now go wrong (0: the next), in one of the `HOWS`."""
        self._at, self._how, self._next = len(self.made) + number, how, ""

    def arm_next(self, what: str, how: str) -> None:
        """Let the next call of this name go wrong."""
        self._at, self._how, self._next = -1, how, what

    def disarm(self) -> None:
        """Let nothing go wrong any more."""
        self._at, self._next, self.is_down = -1, "", False

    def before(self, what: str) -> None:
        """A call is about to be made."""
        number = len(self.made)
        self.made.append(what)
        if self.is_down and what.startswith("sql "):
            self._fail("fails while down", what)
        if what == self._next:
            self._at, self._next = number, ""
        if number == self._at and self._how.startswith("fails") and not _may_fail(what):
            self._at += 1  # it never raises: the next one does
        if number == self._at and self._how.endswith("before"):
            self._strike(what)

    def after(self, what: str) -> None:
        """The call that was announced last was made."""
        if len(self.made) - 1 == self._at and self._how.endswith("after"):
            self._strike(what)

    def _strike(self, what: str) -> None:
        self._at = -1
        if self._how.startswith("fails"):
            self._fail(self._how, what)
        self.happened[self._how, what] += 1
        raise Died(f"{self._how} {what}")

    def _fail(self, how: str, what: str) -> None:
        self.happened[how, what] += 1
        if what.startswith("sql "):
            raise sa.exc.OperationalError(what, {}, sqlite3.OperationalError("cut"))
        raise RAISES[what](f"{what} fails")

    def _before_sql(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._is_on and statement != "ROLLBACK":
            self.before(_named(statement))

    def _after_sql(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._is_on and statement != "ROLLBACK":
            self.after(_named(statement))

    def _commit(self, dbapi: Any) -> None:
        self._before_sql(None, None, "COMMIT")
        self._commit_of_driver(dbapi)
        self._after_sql(None, None, "COMMIT")


def _may_fail(what: str) -> bool:
    return what in RAISES or what.startswith("sql ")


def _named(statement: str) -> str:
    """A statement by its verb and its table, as in "sql UPDATE stream_position"."""
    words = statement.replace('"', "").split()
    before = {"SELECT": "FROM", "INSERT": "INTO", "DELETE": "FROM", "UPDATE": "UPDATE"}
    place = words.index(before[words[0]]) + 1 if before.get(words[0]) in words else 0
    return f"sql {words[0]} {words[place]}" if place else f"sql {words[0]}"


class TappedSource(FakeSource):
    """A fake source whose calls are numbered."""

    def __init__(self, calls: Calls, topic: FakeTopic, clock: HeldClock, max_records: int) -> None:
        super().__init__(topic, clock, max_records)
        self._calls = calls

    def identity(self) -> Identity | None:
        found: Identity | None = self._tapped("identity", super().identity)
        return found

    def bounds(self) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = self._tapped("bounds", super().bounds)
        return found

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Entry]]:
        # One that fails after it was made has moved positions past what it never returned.
        found: Mapping[int, Sequence[Entry]] = self._tapped("poll", super().poll, timeout_s)
        return found

    def position(self, partition: int) -> int:
        found: int = self._tapped("position", super().position, partition)
        return found

    def seek(self, partition: int, offset: int) -> None:
        self._tapped("seek", super().seek, partition, offset)

    def resume(self, partitions: Any) -> None:
        self._tapped("resume", super().resume, partitions)

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._tapped("commit", super().commit, offsets)

    def _tapped(self, what: str, call: Callable[..., Any], *given: Any) -> Any:
        self._calls.before(what)
        found = call(*given)
        self._calls.after(what)
        return found


Written = dict[tuple[int, int], list[Entry]]


@dataclass
class Member:
    """One process."""

    source: TappedSource
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

    def member(self) -> Member:
        """A new process, to which no partition is given yet."""
        source = TappedSource(self.calls, self.topic, self.clock, max_records=7)
        settings = IngestSettings("", "", checkpoint_interval_s=INTERVAL_S)
        return Member(source, self._loop(self.engine, source, settings, self.clock, self.uniform))

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
        last = self.member()
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
                conn.execute(sa.delete(table))
        conn.execute(sa.update(t.registry).values(revision=0))


# -- what must be there, and what is there -----------------------------------------------------


@dataclass
class Counted:
    """What one partition of one stream adds up to; integers, so that equal means equal."""

    panes: dict[tuple[int, str, int, str], list[int]] = field(default_factory=dict)
    counters: dict[tuple[str, str, str], int] = field(default_factory=dict)
    letters: set[tuple[int, int, str]] = field(default_factory=set)
    deficits: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    unseen: dict[tuple[int, str, str, str], tuple[int, ...]] = field(default_factory=dict)


State = dict[tuple[int, int], Counted]


def truth(world: World) -> State:
    """What the log holds, counted offline with the registry that each offset was read by.

    What a recorded gap names is left out: whether a gap may be there is `undue_gaps`' to say.
    """
    found: State = {}
    with world.engine.connect() as conn:
        streams = {
            row.id: int(row.topic_id.split("-")[1]) for row in conn.execute(sa.select(t.stream))
        }
        for at in conn.execute(sa.select(t.stream_position)).all():
            place = (at.stream_id, at.partition)
            written = world.written.get((streams[at.stream_id], at.partition), [])
            lost = [range(*offsets) for offsets in _gaps(conn, *place, "retention")]
            entries = [
                e
                for e in written
                if at.start_offset <= e.offset < at.next_offset
                and not any(e.offset in each for each in lost)
            ]
            found[place] = _counted(entries, _switches(conn, *place), world.registries)
    return found


def _gaps(conn: Connection, stream_id: int, partition: int, kind: str) -> list[tuple[int, int]]:
    g = t.data_gap.c
    rows = conn.execute(
        sa.select(g.from_offset, g.to_offset).where(
            g.stream_id == stream_id, g.partition == partition, g.kind == kind
        )
    )
    return [(row.from_offset, row.to_offset) for row in rows]


def _switches(conn: Connection, stream_id: int, partition: int) -> list[tuple[int, int]]:
    """First offsets and the revision of the registry that reads from there on."""
    s = t.registry_switch.c
    rows = conn.execute(
        sa.select(s.switch_offset, s.registry_revision)
        .where(s.stream_id == stream_id, s.partition == partition)
        .order_by(s.registry_revision)
    )
    return [(row.switch_offset, row.registry_revision) for row in rows]


def _counted(
    entries: Sequence[Entry],
    switches: Sequence[tuple[int, int]],
    registries: Mapping[int, registry.Registry],
) -> Counted:
    total, progress = Delta(), Progress()
    ends = [offset for offset, _ in switches[1:]] + [1 << 62] * bool(switches)
    for (first, revision), end in zip(switches, ends, strict=True):
        part = [e for e in entries if first <= e.offset < end]
        if not part:
            continue
        admitted, known = admit(part, Rules()), registries[revision]
        delta = count(admitted, known)
        progress, late = advance(progress, admitted.times_ms)
        for code in admitted.name_of[late].tolist():
            delta.counters[CounterKey(*counted_under(admitted.names[code], known), "late")] += 1
        total.add(delta)
    return Counted(
        panes={tuple(key): p.counts.tolist() for key, p in total.panes.items()},  # type: ignore[misc]
        counters={tuple(key): n for key, n in total.counters.items() if n},  # type: ignore[misc]
        letters={(each.offset, each.line, each.reason) for each in total.letters},
        deficits={
            name: (d.from_offset, d.to_offset, d.records, d.first_ms, d.last_ms)
            for name, d in total.deficits.items()
        },
        unseen={tuple(key): (s.count, s.first_ms, s.last_ms) for key, s in total.unseen.items()},  # type: ignore[misc]
    )


def stored(engine: Engine) -> State:
    """The same, as the database holds it."""
    gridset = small_reference().gridset
    with engine.connect() as conn:
        read = lambda table: conn.execute(sa.select(table)).all()  # noqa: E731
        found: State = {(at.stream_id, at.partition): Counted() for at in read(t.stream_position)}
        of = lambda row: found.setdefault((row.stream_id, row.partition), Counted())  # noqa: E731
        for row in read(t.pane):
            key = (row.version_id, row.gridset, row.start_ms, row.segment)
            of(row).panes[key] = Profile.from_bytes(gridset, row.body).counts.tolist()
        for row in read(t.counter):
            of(row).counters[row.model, row.version, row.outcome] = row._mapping["count"]
        for row in read(t.dead_letter):
            of(row).letters.add((row.offset, row.line, row.reason))
        for row in read(t.deficit):
            of(row).deficits[row.model, row.version] = (
                row.from_offset, row.to_offset, row.records, row.first_ms, row.last_ms,
            )  # fmt: skip
        for row in read(t.unseen_value):
            key = (row.version_id, row.gridset, row.feature, row.value)
            of(row).unseen[key] = (row._mapping["count"], row.first_seen_ms, row.last_seen_ms)
    return found


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
            for first, end in _gaps(conn, at.stream_id, at.partition, "retention"):
                if end > low:
                    wrong.append(f"{at.topic_id}/{at.partition}: [{first}, {end}) above {low}")
    return wrong


def differences(world: World) -> list[str]:
    """What is wrong in the database, a line each; none when every record is counted once."""
    must, have = truth(world), stored(world.engine)
    wrong = undue_gaps(world)
    for place in sorted(must.keys() | have.keys()):
        mine, theirs = must.get(place, Counted()), have.get(place, Counted())
        for what in ("counters", "panes", "letters", "deficits", "unseen"):
            expected, found = getattr(mine, what), getattr(theirs, what)
            if expected == found:
                continue
            if isinstance(expected, set):
                wrong.append(f"{place} {what}: {expected ^ found}")
                continue
            keys = [k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)]
            said = [f"{k}: {found.get(k)} instead of {expected.get(k)}" for k in sorted(keys)[:3]]
            wrong.append(f"{place} {what}: {'; '.join(said)[:600]}")
    return wrong


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
