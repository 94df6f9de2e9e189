"""What records add to the database: panes, dead letters, counters, deficits, unseen values.

Everything is keyed by stream and partition, because rows shared by partitions would
deadlock. Only `checkpoint.commit` may call `add`, inside the transaction that moves the
position; nothing here decides whether it may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import GridMismatch
from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile
from driftline.stats.profile_bytes import encode
from monitor.storage import many
from monitor.storage import schema as t

# Rows kept for inspection by partition; what comes after is counted and not kept.
MAX_LETTERS: Final = 10_000
# Names nobody registered come from outside: by partition so many are told apart.
MAX_UNREGISTERED: Final = 1_000
OTHER_NAME: Final = "__other__"
# Panes whose totals are in memory at once: counts of a hundred features take 200 KB each.
_ENCODED: Final = 128
# Unseen values shown by feature and partition.
MAX_UNSEEN: Final = 20


class Place(NamedTuple):
    """The partition that everything is keyed by."""

    stream_id: int
    partition: int


class PaneKey(NamedTuple):
    """Which pane of the partition a profile belongs to."""

    version_id: int
    gridset: str
    start_ms: int
    segment: str


class CounterKey(NamedTuple):
    """What became of events; model and version are empty where none is known."""

    model: str
    version: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A record or a line that could not be counted."""

    offset: int
    line: int
    reason: str
    detail: str
    size_bytes: int
    payload: bytes | None
    payload_sha256: str
    kafka_ms: int | None
    form: str = "json"  # see the table


@dataclass(slots=True)
class Deficit:
    """Records of a version that has no reference yet; `to_offset` is exclusive."""

    from_offset: int
    to_offset: int
    records: int
    first_ms: int
    last_ms: int

    def add(self, other: Deficit) -> None:
        """Take `other` in."""
        self.from_offset = min(self.from_offset, other.from_offset)
        self.to_offset = max(self.to_offset, other.to_offset)
        self.records += other.records
        self.first_ms = min(self.first_ms, other.first_ms)
        self.last_ms = max(self.last_ms, other.last_ms)


_LETTER: Final = tuple(field.name for field in fields(Letter))
_DEFICIT: Final = tuple(field.name for field in fields(Deficit))


class UnseenKey(NamedTuple):
    """A value the reference does not know, kept for display."""

    version_id: int
    gridset: str
    feature: str
    value: str


@dataclass(slots=True)
class Seen:
    """How often and when (event time)."""

    count: int
    first_ms: int
    last_ms: int

    def add(self, other: Seen) -> None:
        """Take `other` in."""
        self.count += other.count
        self.first_ms = min(self.first_ms, other.first_ms)
        self.last_ms = max(self.last_ms, other.last_ms)


@dataclass
class Delta:
    """What some records add to what is stored.

    Attributes
    ----------
    packed
        Counts of further panes, or further counts of these, as bytes: where panes are so many
        that their counts would fill the memory.
    strangers
        Models and versions that nobody registered, and the offset each was first met at.
    """

    panes: dict[PaneKey, Profile] = field(default_factory=dict)
    packed: dict[PaneKey, list[bytes]] = field(default_factory=dict)
    gridsets: dict[str, Gridset] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    counters: Counter[CounterKey] = field(default_factory=Counter)
    deficits: dict[tuple[str, str], Deficit] = field(default_factory=dict)
    strangers: dict[tuple[str, str], int] = field(default_factory=dict)
    unseen: dict[UnseenKey, Seen] = field(default_factory=dict)

    def add(self, other: Delta) -> None:
        """Take `other` in, which must not be used afterwards; profiles are added in place."""
        for key, profile in other.panes.items():
            mine = self.panes.get(key)
            if mine is None:
                self.panes[key] = profile
            else:
                _add_in_place(mine, profile)
        for key, bodies in other.packed.items():
            self.packed.setdefault(key, []).extend(bodies)
        self.gridsets.update(other.gridsets)
        self.letters.extend(other.letters)
        self.counters.update(other.counters)
        for name, deficit in other.deficits.items():
            if name in self.deficits:
                self.deficits[name].add(deficit)
            else:
                self.deficits[name] = deficit
        for stranger, offset in other.strangers.items():
            self.strangers[stranger] = min(offset, self.strangers.get(stranger, offset))
        for value, seen in other.unseen.items():
            if value in self.unseen:
                self.unseen[value].add(seen)
            else:
                self.unseen[value] = seen

    def pack(self, keys: Sequence[PaneKey], profiles: Sequence[Profile]) -> None:
        """Take profiles of one gridset in as bytes."""
        for key, body in zip(keys, encode(profiles), strict=True):
            self.packed.setdefault(key, []).append(body)

    def counted(self) -> dict[PaneKey, Profile]:
        """Return all that is counted, by pane; of very many panes that is much."""
        return {key: self.profile(key) for key in dict.fromkeys((*self.panes, *self.packed))}

    def profile(self, key: PaneKey) -> Profile:
        """Return all that is counted of a pane."""
        gridset, bodies = self.gridsets[key.gridset], self.packed.get(key, [])
        found = self.panes.get(key)
        if found is None:
            found, bodies = Profile.from_bytes(gridset, bodies[0]), bodies[1:]
        for body in bodies:
            found = found.with_bytes(gridset, body)
        return found


def _add_in_place(total: Profile, other: Profile) -> None:
    """`total + other` without a copy (it runs a few hundred times a batch)."""
    if total.gridset != other.gridset:
        raise GridMismatch(total.gridset, other.gridset)
    total.counts += other.counts
    if total.sums is not None:
        if other.sums is None:
            total.sums = None
        else:
            total.sums += other.sums
    np.minimum(total.low, other.low, out=total.low)
    np.maximum(total.high, other.high, out=total.high)


def add(conn: Connection, at: Place, delta: Delta, *, kept_letters: int, now_ms: int) -> int:
    """Store what the records add; return how many of their dead letters were kept.

    Parameters
    ----------
    kept_letters
        Dead letters that are kept of this partition already.
    """
    kept = delta.letters[: max(0, MAX_LETTERS - kept_letters)]
    _add_panes(conn, at, delta, t.pane)
    _add_letters(conn, at, kept, now_ms)
    _add_counters(conn, at, delta)
    _add_unseen(conn, at, delta.unseen, t.unseen_value)
    return len(kept)


def add_beside(conn: Connection, at: Place, delta: Delta) -> None:
    """Store what a replay counts in its own tables; letters and deficits are of the first reading.

    Only `lanes.commit` may call it, in the transaction that moves the lane.
    """
    _add_panes(conn, at, delta, t.lane_pane)
    _add_counts(conn, at, delta.counters, t.lane_counter)
    _add_unseen(conn, at, delta.unseen, t.lane_unseen)


def _add_panes(conn: Connection, at: Place, delta: Delta, table: sa.Table) -> None:
    keys = (*PaneKey._fields, *Place._fields)
    counted = dict.fromkeys((*delta.panes, *delta.packed))
    sought = [(*key, *at) for key in counted]
    stored: dict[PaneKey, tuple[int, bytes]] = {}
    for *place, rev, body in many.select(conn, table, keys, ("rev", "body"), sought):
        stored[PaneKey(*place[: len(PaneKey._fields)])] = rev, body
    by_grid: dict[str, list[PaneKey]] = {}
    for key in counted:
        by_grid.setdefault(key.gridset, []).append(key)
    new: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for digest, group in by_grid.items():
        for start in range(0, len(group), _ENCODED):
            some = group[start : start + _ENCODED]
            totals = [
                delta.profile(key).with_bytes(delta.gridsets[digest], stored[key][1])
                if key in stored
                else delta.profile(key)
                for key in some
            ]
            for key, total, body in zip(some, totals, encode(totals), strict=True):
                rev = stored[key][0] if key in stored else 0
                (changed if rev else new).append((rev + 1, total.rows, body, *key, *at))
    values = ("rev", "rows", "body")
    many.insert(conn, table, (*values, *keys), new)
    many.update(conn, table, values, keys, changed)


# Statements are built once: building them again takes longer than SQLite takes to run them.


@cache
def _rows_at(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(*(table.c[name] == sa.bindparam(name) for name in Place._fields))


@cache
def _strangers_at() -> sa.Select[Any]:
    c = t.counter.c
    return sa.select(c.model, c.version).where(
        *(c[name] == sa.bindparam(name) for name in Place._fields), c.outcome == "unmonitored"
    )


@cache
def _unseen_at(table: sa.Table) -> sa.Select[Any]:
    of_versions = table.c.version_id.in_(sa.bindparam("versions", expanding=True))
    return _rows_at(table).where(of_versions)


def _add_letters(conn: Connection, at: Place, letters: Sequence[Letter], now_ms: int) -> None:
    names = (*Place._fields, *_LETTER, "created_ms")
    rows = [(*at, *(getattr(letter, name) for name in _LETTER), now_ms) for letter in letters]
    many.insert(conn, t.dead_letter, names, rows)


def _add_counters(conn: Connection, at: Place, delta: Delta) -> None:
    """Deficits and counters; names nobody registered are capped in number."""
    deficits, counters = delta.deficits, delta.counters
    stored: dict[tuple[str, str], Deficit] = {}
    if deficits:
        for row in conn.execute(_rows_at(t.deficit), at._asdict()):
            stored[row.model, row.version] = Deficit(
                row.from_offset, row.to_offset, row.records, row.first_ms, row.last_ms
            )
    if delta.strangers:
        # Every name that nobody registered has this counter, of predictions and labels alike.
        known = conn.execute(_strangers_at(), at._asdict())
        name_of = _capped(delta.strangers, {(row.model, row.version) for row in known})
        deficits, counters = _renamed(deficits, counters, name_of)
    new: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for name, added in deficits.items():
        total = stored.get(name)
        if total is not None:
            added.add(total)
        given = (*(getattr(added, of) for of in _DEFICIT), *at, *name)
        (new if total is None else changed).append(given)
    keys = (*Place._fields, "model", "version")
    many.insert(conn, t.deficit, (*_DEFICIT, *keys), new)
    many.update(conn, t.deficit, _DEFICIT, keys, changed)
    _add_counts(conn, at, counters, t.counter)


def _add_counts(
    conn: Connection, at: Place, counters: Counter[CounterKey], table: sa.Table
) -> None:
    names = (*Place._fields, *CounterKey._fields, "count")
    rows = [(*at, *counter, count) for counter, count in sorted(counters.items())]
    many.add_up(conn, table, names, rows)


def _capped(
    strangers: Mapping[tuple[str, str], int], known: set[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """What each name is stored as: itself while there is room, in the order of the log."""
    name_of = {}
    for name in sorted(strangers, key=lambda name: (strangers[name], name)):
        if name in known or len(known) < MAX_UNREGISTERED:
            known.add(name)
            name_of[name] = name
        else:
            name_of[name] = (OTHER_NAME, OTHER_NAME)
    return name_of


def _renamed(
    deficits: Mapping[tuple[str, str], Deficit],
    counters: Counter[CounterKey],
    name_of: Mapping[tuple[str, str], tuple[str, str]],
) -> tuple[dict[tuple[str, str], Deficit], Counter[CounterKey]]:
    to_deficit: dict[tuple[str, str], Deficit] = {}
    for key, deficit in deficits.items():
        name = name_of.get(key, key)
        if name in to_deficit:
            to_deficit[name].add(deficit)
        else:
            to_deficit[name] = replace(deficit)
    to_counter: Counter[CounterKey] = Counter()
    for counter, count in counters.items():
        name = name_of.get((counter.model, counter.version), (counter.model, counter.version))
        to_counter[CounterKey(*name, counter.outcome)] += count
    return to_deficit, to_counter


def _add_unseen(
    conn: Connection, at: Place, unseen: Mapping[UnseenKey, Seen], table: sa.Table
) -> None:
    """Add to the values shown; a feature that shows enough of them takes no new ones."""
    if not unseen:
        return
    versions = {key.version_id for key in unseen}
    stored = {
        UnseenKey(row.version_id, row.gridset, row.feature, row.value): Seen(
            row._mapping["count"], row.first_seen_ms, row.last_seen_ms
        )
        for row in conn.execute(_unseen_at(table), at._asdict() | {"versions": list(versions)})
    }
    shown = Counter(key[:3] for key in stored)
    new: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for key, seen in sorted(unseen.items(), key=lambda item: (-item[1].count, item[0])):
        if key in stored:
            seen.add(stored[key])
            changed.append((seen.count, seen.first_ms, seen.last_ms, *key, *at))
        elif shown[key[:3]] < MAX_UNSEEN:
            shown[key[:3]] += 1
            new.append((seen.count, seen.first_ms, seen.last_ms, *key, *at))
    keys = (*UnseenKey._fields, *Place._fields)
    values = ("count", "first_seen_ms", "last_seen_ms")
    many.insert(conn, table, (*values, *keys), new)
    many.update(conn, table, values, keys, changed)
