"""`driftline replay --verify`: the log recounted beside the database, and each pane compared.

Each offset is counted by the registry that it was counted by at first, or by that of a replay
since. The recount goes into a file of its own that is gone afterwards: nothing is written to
the database.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from consumers.admit import Rules
from consumers.ledger import Ledger
from consumers.replay.narrow import Narrow, Part, again_of
from consumers.replay.reading import Limits, Log, Progress, read_to, silent
from consumers.replay.run import stream_of
from consumers.replay.scope import Asked, Scope, instant, scope_of, wanted
from consumers.settings import IngestSettings
from driftline.errors import Conflict, DecodeError
from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile
from monitor.clock import Clock, SystemClock
from monitor.storage import engine as storage
from monitor.storage import lanes, registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim
from monitor.storage.delta import MAX_LETTERS, Place, add_beside
from monitor.storage.engine import reading, transaction, without_timeouts
from monitor.storage.registry import BoundVersion, Registry
from monitor.windows.calendar import window_of

_NEVER = 1 << 62


@dataclass(frozen=True)
class Difference:
    """One pane that the log does not say.

    Attributes
    ----------
    start_ms, end_ms
        Its event time; a day where hours were added up.
    stored, recounted
        Rows.
    features
        Whose counts differ.
    """

    model: str
    version: str
    partition: int
    segment: str
    start_ms: int
    end_ms: int
    stored: int
    recounted: int
    features: tuple[str, ...]


@dataclass(frozen=True)
class Verified:
    """What a recount found.

    Attributes
    ----------
    events, panes
        How much was recounted: predictions, and panes of all segments.
    digest
        SHA-256 of the recount's panes in order, as decoded integers.
    differences
        None where the database holds what the log says.
    left_out
        Why some of it was not compared, a sentence each.
    """

    events: int
    panes: int
    digest: str
    differences: tuple[Difference, ...]
    left_out: tuple[str, ...]


def verify(
    db: Engine,
    log: Log,
    settings: IngestSettings,
    asked: Asked,
    *,
    clock: Clock | None = None,
    progress: Progress = silent,
) -> Verified:
    """Recount what the log holds, and compare it with what is stored; nothing is written.

    Raises
    ------
    As `replay`.
    """
    held: Clock = clock or SystemClock()
    life = log.identity()
    stream_id = stream_of(db, log, settings)
    known = registry.load(db)
    with reading(db) as conn:
        without_timeouts(conn)  # the broker is asked meanwhile
        scope = scope_of(conn, log, known, stream_id, asked)
        versions, left_out = _comparable(conn, known, wanted(known, asked), stream_id, scope)
    with tempfile.TemporaryDirectory(prefix="driftline-verify-") as folder:
        beside = storage.create(f"sqlite:///{Path(folder) / 'recount.db'}")
        try:
            for table in (t.lane_pane, t.lane_unseen, t.lane_counter):
                table.create(beside)
            recount = _Recount(beside, log, settings, known, scope, stream_id, held, progress)
            with reading(db) as conn:
                parts = _parts(conn, stream_id, versions, scope)
                targets = {p: at.next_offset for p, at in lanes.counted(conn, stream_id).items()}
            recount.read(parts, targets)
            # The little that came meanwhile, while this view of the database stands still.
            with reading(db) as conn:
                without_timeouts(conn)
                targets = {p: at.next_offset for p, at in lanes.counted(conn, stream_id).items()}
                recount.read(_parts(conn, stream_id, versions, scope), targets)
                if log.identity() != life:
                    raise Conflict(
                        f"topic {settings.topic} was deleted, or made again, meanwhile: what was "
                        "read is another log"
                    )
                with reading(beside) as other:
                    return _compare(conn, other, known, versions, stream_id, scope, left_out)
        finally:
            beside.dispose()


@dataclass
class _Recount:
    """What the log holds, counted into a database of its own."""

    beside: Engine
    log: Log
    settings: IngestSettings
    known: Registry
    scope: Scope
    stream_id: int
    clock: Clock
    progress: Progress

    def __post_init__(self) -> None:
        self._claims: dict[int, Claim] = {}

    def read(
        self, parts: Mapping[int, Mapping[tuple[str, str], Part]], targets: Mapping[int, int]
    ) -> None:
        rules = Rules(self.settings.max_record_bytes, keep_payload=False)
        narrow = {p: Narrow(parts[p]) for p in targets}
        ledgers = {
            p: Ledger(self._claims.get(p) or self._claim(p), self.known, rules, narrow[p])
            for p in targets
        }

        def commit(ledger: Ledger) -> None:
            own = narrow[ledger.claim.partition].own(ledger.delta)
            move = ledger.move(None)
            with transaction(self.beside) as conn:
                add_beside(conn, Place(self.stream_id, ledger.claim.partition), own)
            claim = replace(
                ledger.claim,
                next_offset=move.new_offset,
                max_event_time_ms=move.max_event_time_ms,
                pending_advance=move.pending_advance,
            )
            self._claims[claim.partition] = claim
            ledger.committed(claim)

        read_to(
            self.log,
            ledgers,
            targets,
            commit,
            limits=Limits(self.settings.max_rows, self.settings.max_bytes),
            clock=self.clock,
            progress=self.progress,
        )

    def _claim(self, partition: int) -> Claim:
        start = self.scope.starts.get(partition, 0)
        return Claim(self.stream_id, partition, 1, start, -1, None, None, MAX_LETTERS)


def _comparable(
    conn: Connection,
    known: Registry,
    versions: Sequence[BoundVersion],
    stream_id: int,
    scope: Scope,
) -> tuple[list[BoundVersion], list[str]]:
    """Return the versions of which it is known what was counted, and what is left out."""
    left_out = []
    if scope.whole_since_ms is not None:
        left_out.append(
            f"the log holds everything from {instant(scope.whole_since_ms)} on only: earlier days "
            "were not compared"
        )
    cut = lanes_cut(conn, stream_id)
    if cut:
        left_out.append(
            f"partition {', '.join(map(str, cut))} was truncated once: what was counted of the "
            "lost end is in the database and not in the log"
        )
    a, r = t.audit.c, t.recount.c
    kept = []
    for each in versions:
        archived = conn.execute(
            sa.select(sa.func.max(a.at_ms)).where(
                a.action == "model.archive", a.subject == each.model
            )
        ).scalar()
        again = conn.execute(
            sa.select(sa.func.max(r.created_ms)).where(
                r.stream_id == stream_id, r.version_id == each.version_id, r.from_ms == 0
            )
        ).scalar()
        if archived is None or (again is not None and again > archived):
            kept.append(each)
        else:
            left_out.append(
                f"{each.model} {each.version} was archived once: which records came meanwhile is "
                "not known any more (a replay of it makes them count)"
            )
    return kept, left_out


def lanes_cut(conn: Connection, stream_id: int) -> list[int]:
    """Return the partitions whose log was truncated once."""
    g = t.data_gap.c
    query = (
        sa.select(g.partition).distinct().where(g.stream_id == stream_id, g.kind == "truncation")
    )
    return sorted(conn.execute(query).scalars())


def _parts(
    conn: Connection, stream_id: int, versions: Sequence[BoundVersion], scope: Scope
) -> dict[int, dict[tuple[str, str], Part]]:
    """Return what was counted of each version, by partition."""
    s, b = t.registry_switch.c, t.binding.c
    switches = conn.execute(sa.select(t.registry_switch).where(s.stream_id == stream_id)).all()
    recounts = lanes.recounts(conn, stream_id)
    since = {
        row[0]: row[1]
        for row in conn.execute(
            sa.select(b.version_id, sa.func.min(b.registry_revision)).group_by(b.version_id)
        )
    }
    out: dict[int, dict[tuple[str, str], Part]] = {}
    for partition in lanes.counted(conn, stream_id):
        mine = out.setdefault(partition, {})
        for each in versions:
            offsets = [
                row.switch_offset
                for row in switches
                if row.partition == partition
                and row.registry_revision >= since.get(each.version_id, _NEVER)
            ]
            mine[each.model, each.version] = Part(
                from_ms=scope.versions[each.version_id],
                counted_from=min(offsets, default=_NEVER),
                again=again_of(recounts, partition, each.version_id),
            )
    return out


class _Place(NamedTuple):
    gridset: str
    segment: str
    partition: int
    start_ms: int
    end_ms: int


def _compare(
    conn: Connection,
    other: Connection,
    known: Registry,
    versions: Sequence[BoundVersion],
    stream_id: int,
    scope: Scope,
    left_out: Sequence[str],
) -> Verified:
    digest, events, panes = hashlib.sha256(), 0, 0
    differences: list[Difference] = []
    for bound in sorted(versions, key=lambda each: (each.model, each.version)):
        grids = {
            known.references[name].gridset.digest: known.references[name].gridset
            for _, name in bound.bindings
        }
        low_ms = scope.versions[bound.version_id]
        for start_ms, end_ms in _days(conn, other, bound, stream_id, low_ms):
            stored, recounted = _day(
                conn, other, bound.version_id, stream_id, grids, start_ms, end_ms
            )
            for place, profile in sorted(recounted.items()):
                if profile.rows:
                    panes += 1
                    events += profile.rows if place.segment == "all" else 0
                    digest.update(repr((bound.model, bound.version, *place)).encode())
                    digest.update(np.ascontiguousarray(profile.counts, np.int64).tobytes())
            differences += _differing(bound, grids, stored, recounted)
    return Verified(events, panes, digest.hexdigest(), tuple(differences), tuple(left_out))


def _days(
    conn: Connection, other: Connection, bound: BoundVersion, stream_id: int, low_ms: int
) -> Iterator[tuple[int, int]]:
    """Yield the local days that hold a pane on either side."""
    starts: set[int] = set()
    for asked, table in ((conn, t.pane), (conn, t.pane_day), (other, t.lane_pane)):
        c = table.c
        query = (
            sa.select(c.start_ms)
            .distinct()
            .where(
                c.version_id == bound.version_id,
                c.stream_id == stream_id,
                c.start_ms >= low_ms,
                c.rows > 0,
            )
        )
        starts.update(asked.execute(query).scalars())
    yield from sorted({tuple(window_of(start, "day", bound.timezone)) for start in starts})  # type: ignore[misc]


def _day(
    conn: Connection,
    other: Connection,
    version_id: int,
    stream_id: int,
    grids: Mapping[str, Gridset],
    start_ms: int,
    end_ms: int,
) -> tuple[dict[_Place, Profile], dict[_Place, Profile]]:
    """Return the panes of one day as stored and as recounted; hours where they still are.

    A day whose hours were added up is compared as a whole.
    """

    def read(asked: Connection, table: sa.Table) -> list[Any]:
        c = table.c
        return list(
            asked.execute(
                sa.select(table).where(
                    c.version_id == version_id,
                    c.gridset.in_(list(grids)),  # the key's second column
                    c.stream_id == stream_id,
                    c.start_ms >= start_ms,
                    c.start_ms < end_ms,
                    c.rows > 0,
                )
            ).all()
        )

    days, hours, anew = read(conn, t.pane_day), read(conn, t.pane), read(other, t.lane_pane)
    added_up = {(row.gridset, row.segment, row.partition) for row in days}

    def together(rows: Sequence[Any]) -> dict[_Place, Profile]:
        out: dict[_Place, Profile] = {}
        for row in rows:
            key = (row.gridset, row.segment, row.partition)
            is_day = key in added_up
            place = _Place(
                *key,
                start_ms if is_day else row.start_ms,
                end_ms if is_day else row.start_ms,
            )
            profile = _profile(grids[row.gridset], row)
            out[place] = out[place] + profile if place in out else profile
        return out

    return together([*days, *hours]), together(anew)


def _differing(
    bound: BoundVersion,
    grids: Mapping[str, Gridset],
    stored: Mapping[_Place, Profile],
    recounted: Mapping[_Place, Profile],
) -> Iterator[Difference]:
    for place in sorted(stored.keys() | recounted.keys()):
        gridset = grids[place.gridset]
        mine = stored.get(place) or Profile.empty(gridset)
        theirs = recounted.get(place) or Profile.empty(gridset)
        if mine == theirs:
            continue
        features = _features(gridset, mine, theirs)
        if mine.rows == theirs.rows and not features:
            continue
        yield Difference(
            bound.model,
            bound.version,
            place.partition,
            place.segment,
            place.start_ms,
            place.end_ms if place.end_ms > place.start_ms else place.start_ms + bound.pane_ms,
            mine.rows,
            theirs.rows,
            features,
        )


def _profile(gridset: Gridset, row: Any) -> Profile:
    """Return a stored pane; one that cannot be read has its rows and no counts."""
    try:
        return Profile.from_bytes(gridset, row.body)
    except DecodeError:
        profile = Profile.empty(gridset)
        profile.counts[0] = row.rows
        return profile


def _features(gridset: Gridset, one: Profile, other: Profile) -> tuple[str, ...]:
    """Return the features of which two profiles hold different counts, sums or ranges."""
    found = []
    for place, feature in enumerate(gridset.features):
        here = np.r_[gridset.bins[place], gridset.counters[place]]
        is_same = np.array_equal(one.counts[here], other.counts[here])
        if one.sums is not None and other.sums is not None:
            is_same &= np.array_equal(one.sums[here], other.sums[here])
        is_same &= one.low[place] == other.low[place] and one.high[place] == other.high[place]
        if not is_same:
            found.append(feature.name)
    return tuple(found)
