"""`driftline replay`: the log counted again into a lane, and the lane in the place of what stands.

1. What is asked for becomes a scope; the lane is made, or gone on with.
2. Every partition is read up to where the live consumers are.
3. One transaction locks their positions. Where the lane has reached all of them it takes its
   place; else the little that is new is read, and again. A live consumer that is always faster
   is fenced once a try, so that the next try has the time its reading again takes.

Killed at any time it goes on where it was, by the same command.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import Connection, Engine

from consumers.admit import Rules
from consumers.ledger import Ledger
from consumers.replay.narrow import Narrow, Part, again_of
from consumers.replay.reading import Limits, Log, Progress, read_to, silent
from consumers.replay.scope import Asked, instant, lost_of, scope_of, wanted, whole_models
from consumers.settings import IngestSettings
from consumers.source import Identity
from driftline.errors import Conflict, Fenced, StorageUnavailable, StreamError
from monitor.clock import Clock, SystemClock
from monitor.storage import lanes, registry
from monitor.storage import swap as swapping
from monitor.storage.checkpoint import RegistryMoved
from monitor.storage.engine import reading, transaction, without_timeouts
from monitor.storage.lanes import Lane, Recount
from monitor.storage.registry import BoundVersion, Registry
from monitor.storage.swap import NotWhole, Swapped, Uploaded

# Live consumers checkpoint far less often than the rest takes to read: two tries are the rule.
FENCE_AFTER: Final = 4
TRIES: Final = 20
# The registry may change under a replay so often, in ways that matter to it.
RESTARTS: Final = 3


@dataclass(frozen=True)
class Outcome:
    """What a replay did.

    Attributes
    ----------
    versions
        (model, version, start of its first recounted pane in epoch ms, or 0).
    records
        Offsets that were read, in this process.
    panes
        How many differ from what stood.
    recovered
        Events that were unmonitored before.
    changed_ms
        Start of the first pane that differs; None where all is as it was.
    is_resumed
        Whether it went on with what another process had begun.
    whole_since_ms
        From when on the log holds every event; None where it holds them all.
    """

    versions: tuple[tuple[str, str, int], ...]
    records: int
    panes: int
    recovered: int
    changed_ms: int | None
    is_resumed: bool
    whole_since_ms: int | None


def replay(
    db: Engine,
    log: Log,
    settings: IngestSettings,
    asked: Asked,
    *,
    clock: Clock | None = None,
    progress: Progress = silent,
    owner: str | None = None,
    actor: str = "cli",
) -> Outcome:
    """Count a part of the log again and put it in the place of what stands.

    Raises
    ------
    ConfigError
        There is no such model, version or partition.
    Conflict
        Another replay is under way, another one was begun, nothing was counted yet, or the log
        no longer holds what stands.
    BrokerUnavailable, StreamError, StorageUnavailable
        What was done is kept: the same command goes on with it.
    """
    run = _Run(db, log, settings, asked, clock or SystemClock(), owner or _owner(), actor, progress)
    for _ in range(RESTARTS):
        try:
            return run.once()
        except _Restart:
            lanes.abandon(db, run.stream_id)
    raise Conflict("references of these models are registered all the time: try again later")


def abandon(db: Engine, log: Log, settings: IngestSettings) -> bool:
    """Give up the replay of a topic that was begun; False where there is none."""
    return lanes.abandon(db, stream_of(db, log, settings))


def stream_of(db: Engine, log: Log, settings: IngestSettings) -> int:
    """Return the id of the topic's present life.

    Raises
    ------
    StreamError
        There is no such topic.
    Conflict
        Nothing of it was counted into this database.
    """
    identity = log.identity()
    if identity is None:
        raise StreamError(f"topic {settings.topic} does not exist at {settings.bootstrap}")
    with reading(db) as conn:
        found = lanes.stream_of(conn, identity.cluster_id, settings.topic, identity.topic_id)
    if found is None:
        raise Conflict(
            f"nothing of topic {settings.topic} was counted into this database yet: there is "
            "nothing to replay"
        )
    return found


class _Restart(Exception):
    """The registry changed in what is counted again, or the log was cut there."""


@dataclass
class _Run:
    db: Engine
    log: Log
    settings: IngestSettings
    asked: Asked
    clock: Clock
    owner: str
    actor: str
    progress: Progress
    stream_id: int = -1
    # As the topic was before anything of it was read.
    life: Identity | None = None
    read: int = 0

    def once(self) -> Outcome:
        self.life = self.log.identity()
        self.stream_id = stream_of(self.db, self.log, self.settings)
        known = registry.load(self.db)
        versions = wanted(known, self.asked)
        lane, is_resumed, since_ms = self._lane(known)
        if lane.registry_revision != known.revision:
            lane = self._follow_registry(lane, known)
        for number in range(TRIES):
            try:
                self._read(lane, known)
                if not number:
                    swapping.prepare(self.db)
                swapped, lane = self._try(lane, known, must_hold=number >= FENCE_AFTER)
            except RegistryMoved:
                lane, known = self._reload(lane, known)
                continue
            except Fenced as error:
                raise Conflict(
                    "another process has taken this replay over, or given it up: this one ends"
                ) from error
            if swapped is None:
                continue
            with suppress(StorageUnavailable):  # it is done; retention deletes what is left
                lanes.drain(self.db, self.stream_id)
            return Outcome(
                tuple(sorted((v.model, v.version, lane.versions[v.version_id]) for v in versions)),
                self.read,
                swapped.panes,
                swapped.recovered,
                min(swapped.changed_ms.values(), default=None),
                is_resumed,
                since_ms,
            )
        raise StreamError(
            f"live consumers were faster {TRIES} times: what was counted is kept, run it again "
            "when less is sent, or let them checkpoint less often (ingest.checkpoint_interval_s)"
        )

    # The lane.

    def _lane(self, known: Registry) -> tuple[Lane, bool, int | None]:
        now_ms = self.clock.now_ms()
        with transaction(self.db) as conn:
            found = lanes.find(conn, self.stream_id, keep=True)
            if found is not None:
                self._may_go_on(found, now_ms)
                return lanes.take_over(conn, found, self.owner, now_ms), True, None
        lanes.drain(self.db, self.stream_id)  # of one whose process was killed over it
        with reading(self.db) as conn:
            without_timeouts(conn)  # the broker is asked meanwhile
            scope = scope_of(conn, self.log, known, self.stream_id, self.asked)
        with transaction(self.db) as conn:
            made = lanes.begin(
                conn,
                stream_id=self.stream_id,
                owner=self.owner,
                asked=self.asked.plain(),
                versions=scope.versions,
                starts=scope.starts,
                registry_revision=known.revision,
                now_ms=now_ms,
            )
        return made, False, scope.whole_since_ms

    def _may_go_on(self, found: Lane, now_ms: int) -> None:
        is_fresh = now_ms - found.touched_ms < lanes.STALE_MS
        if is_fresh and found.owner != self.owner and not _is_gone(found.owner):
            raise Conflict(
                f"another replay of this topic is under way ({found.owner}): one at a time"
            )
        if dict(found.asked) != self.asked.plain():
            said = ", ".join(f"{key}={v}" for key, v in found.asked.items() if v is not None)
            raise Conflict(
                f"a replay of {said or 'everything'} was begun and is not done: give the same "
                "command to go on with it, or --abandon to give it up"
            )

    def _reload(self, lane: Lane, before: Registry) -> tuple[Lane, Registry]:
        known = registry.load(self.db, before)
        return self._follow_registry(lane, known, before), known

    def _follow_registry(self, lane: Lane, known: Registry, before: Registry | None = None) -> Lane:
        """Go on with the registry as it is now, where it says the same of what is counted.

        Raises
        ------
        _Restart
            It says something else.
        """
        bound = {each.version_id: each for each in known.versions.values()}
        for version_id in lane.versions:
            then = None if before is None else _version(before, version_id)
            if version_id not in bound or (before is not None and then != bound[version_id]):
                raise _Restart
            if before is None and _bound_since(self.db, version_id) > lane.registry_revision:
                raise _Restart
        with transaction(self.db) as conn:
            return lanes.take_over(
                conn, lane, self.owner, self.clock.now_ms(), registry_revision=known.revision
            )

    # Counting.

    def _read(self, lane: Lane, known: Registry) -> None:
        """Count up to where the live consumers are now."""
        with transaction(self.db) as conn:
            # Which events were unmonitored is settled for all that is behind the positions.
            live = lanes.counted(conn, self.stream_id)
            deficits = lanes.deficits(conn, self.stream_id)
            recounts = lanes.recounts(conn, self.stream_id)
            claims = lanes.claims(conn, lane)
            for partition in sorted(live.keys() - claims.keys()):
                lanes.add_partition(conn, self.stream_id, partition, live[partition].start_offset)
            claims = lanes.claims(conn, lane)
        if any(claims[p].next_offset > at.next_offset for p, at in live.items()):
            raise _Restart  # the log was cut below what was counted of it
        rules = Rules(self.settings.max_record_bytes, keep_payload=False)
        narrow = {p: self._narrow(lane, known, p, deficits, recounts) for p in claims}
        ledgers = {p: Ledger(claim, known, rules, narrow[p]) for p, claim in claims.items()}

        def commit(ledger: Ledger) -> None:
            own = narrow[ledger.claim.partition].own(ledger.delta)
            with transaction(self.db) as conn:
                claim = lanes.commit(
                    conn, lane, ledger.claim, ledger.move(None), own, self.clock.now_ms()
                )
            self.read += claim.next_offset - ledger.claim.next_offset
            ledger.committed(claim)

        read_to(
            self.log,
            ledgers,
            {p: at.next_offset for p, at in live.items()},
            commit,
            limits=Limits(self.settings.max_rows, self.settings.max_bytes),
            clock=self.clock,
            progress=self.progress,
        )

    def _narrow(
        self,
        lane: Lane,
        known: Registry,
        partition: int,
        deficits: Mapping[tuple[int, str, str], int],
        recounts: Sequence[Recount],
    ) -> Narrow:
        parts = {
            (each.model, each.version): Part(
                from_ms=lane.versions[each.version_id],
                deficit_to=deficits.get((partition, each.model, each.version), 0),
                recovered=again_of(recounts, partition, each.version_id),
            )
            for each in known.versions.values()
            if each.version_id in lane.versions
        }
        return Narrow(parts, whole_models(known, lane.versions))

    # The swap.

    def _try(self, lane: Lane, known: Registry, *, must_hold: bool) -> tuple[Swapped | None, Lane]:
        if self.log.identity() != self.life:
            lanes.abandon(self.db, self.stream_id)
            raise Conflict(
                f"topic {self.settings.topic} was deleted, or made again, meanwhile: what was "
                "counted is of no use, and nothing was changed"
            )
        bounds = self.log.bounds()
        try:
            with transaction(self.db) as conn:
                if swapping.behind(conn, lane):
                    if must_hold:
                        swapping.hold_live(conn, self.stream_id)
                    return None, lane
                return self._swap(conn, lane, known, bounds), lane
        except Uploaded as error:
            bound = _version(known, error.version_id)
            assert bound is not None
            lanes.abandon(self.db, self.stream_id)
            raise Conflict(
                f"history of {bound.model} {bound.version} at {instant(error.start_ms)} was "
                "uploaded, and nothing of that time was counted before: nothing was changed. "
                "Remove that upload first, or replay with a later --from"
            ) from error
        except NotWhole as error:
            bound = _version(known, error.version_id)
            assert bound is not None
            lanes.abandon(self.db, self.stream_id)
            raise Conflict(
                f"the pane of {bound.model} {bound.version} at {instant(error.start_ms)} holds "
                f"{error.rows:,} rows, the log only {error.found:,} of them: nothing was changed. "
                "Replay what the log holds whole, with a later --from"
            ) from error

    def _swap(
        self,
        conn: Connection,
        lane: Lane,
        known: Registry,
        bounds: Mapping[int, tuple[int, int]],
    ) -> Swapped:
        starts = lanes.starts(conn, self.stream_id)
        live = lanes.counted(conn, self.stream_id)
        return swapping.swap(
            conn,
            lane,
            known,
            is_whole=not any(lane.versions.values())
            and all(starts[p] == at.start_offset for p, at in live.items()),
            lost=lost_of(conn, self.stream_id, bounds),
            whole_models=whole_models(known, lane.versions),
            actor=self.actor,
            now_ms=self.clock.now_ms(),
        )


def _version(known: Registry, version_id: int) -> BoundVersion | None:
    return next((v for v in known.versions.values() if v.version_id == version_id), None)


def _bound_since(db: Engine, version_id: int) -> int:
    """Return the registry's revision at which the last reference was bound to a version."""
    with reading(db) as conn:
        return registry.last_bound(conn, version_id)


def _owner() -> str:
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _is_gone(owner: str) -> bool:
    """Whether a process of this machine is there no more; of another one nobody knows."""
    host, _, rest = owner.partition(":")
    number = rest.partition(":")[0]
    if host != socket.gethostname()[:100] or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
