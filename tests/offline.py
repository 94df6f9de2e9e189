"""What a log adds up to, counted offline and in one piece, beside what the database holds of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from consumers.admit import Rules, admit
from consumers.count import count, counted_under
from consumers.source import Record
from consumers.watermark import Progress, advance
from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.delta import CounterKey, Delta


@dataclass
class Counted:
    """What one partition of one stream adds up to; integers, so that equal means equal."""

    panes: dict[tuple[int, str, int, str], list[int]] = field(default_factory=dict)
    counters: dict[tuple[str, str, str], int] = field(default_factory=dict)
    letters: set[tuple[int, int, str]] = field(default_factory=set)
    deficits: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    unseen: dict[tuple[int, str, str, str], tuple[int, ...]] = field(default_factory=dict)


State = dict[tuple[int, int], Counted]


def truth(
    engine: Engine,
    written: Callable[[str, int], Sequence[Record]],
    registries: Mapping[int, registry.Registry],
) -> State:
    """What the log holds, counted offline with the registry that each offset was read by.

    What a recorded gap names is left out: whether a gap may be there, a test has to say.

    Parameters
    ----------
    written
        What was ever written to a topic of this id, and a partition.
    """
    found: State = {}
    with engine.connect() as conn:
        topics = {row.id: row.topic_id for row in conn.execute(sa.select(t.stream))}
        for at in conn.execute(sa.select(t.stream_position)).all():
            place = (at.stream_id, at.partition)
            log = written(topics[at.stream_id], at.partition)
            lost = [range(*offsets) for offsets in gaps(conn, *place, "retention")]
            entries = [
                e
                for e in log
                if at.start_offset <= e.offset < at.next_offset
                and not any(e.offset in each for each in lost)
            ]
            found[place] = _counted(entries, _switches(conn, *place), registries)
    return found


def gaps(conn: Connection, stream_id: int, partition: int, kind: str) -> list[tuple[int, int]]:
    """First offsets and ends of what is said to be lost of a partition."""
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
    entries: Sequence[Record],
    switches: Sequence[tuple[int, int]],
    registries: Mapping[int, registry.Registry],
) -> Counted:
    total, progress = Delta(), Progress()
    ends = [offset for offset, _ in switches[1:]] + [1 << 62] * bool(switches)
    for (first, revision), end in zip(switches, ends, strict=True):
        part = [e for e in entries if first <= e.offset < end]
        if not part:
            continue
        known = registries[revision]
        while part:
            admitted = admit(part, Rules())
            part = part[admitted.n_records :]
            delta = count(admitted, known)
            progress, late = advance(progress, admitted.times_ms)
            for code in admitted.name_of[late].tolist():
                delta.counters[CounterKey(*counted_under(admitted.names[code], known), "late")] += 1
            total.add(delta)
    return Counted(
        panes={tuple(key): p.counts.tolist() for key, p in total.counted().items()},  # type: ignore[misc]
        counters={tuple(key): n for key, n in total.counters.items() if n},  # type: ignore[misc]
        letters={(each.offset, each.line, each.reason) for each in total.letters},
        deficits={
            name: (d.from_offset, d.to_offset, d.records, d.first_ms, d.last_ms)
            for name, d in total.deficits.items()
        },
        unseen={tuple(key): (s.count, s.first_ms, s.last_ms) for key, s in total.unseen.items()},  # type: ignore[misc]
    )


def stored(engine: Engine, gridset: Gridset) -> State:
    """The same, as the database holds it; all panes are of one gridset."""
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


def differences(must: State, have: State) -> list[str]:
    """What is wrong in `have`, a line each; none when every record is counted once."""
    wrong = []
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


def misses(must: State, have: State) -> tuple[int, int]:
    """How many records are lost, and how many are counted more than once."""
    lost = doubled = 0
    for place in must.keys() | have.keys():
        expected = must.get(place, Counted()).counters
        found = have.get(place, Counted()).counters
        for key in expected.keys() | found.keys():
            if key[2] == "late":
                continue  # said of records that are counted elsewhere
            more = found.get(key, 0) - expected.get(key, 0)
            lost, doubled = lost + max(0, -more), doubled + max(0, more)
    return lost, doubled
