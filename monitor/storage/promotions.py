"""Which version of a model was made live when, and instead of which.

A promotion is effective from an instant of event time on: what the replaced version's incidents
come to from then on is `monitor.detect.succession`'s. A later one may make an earlier version live
again. At one instant one version of a model is live.

Functions that write belong inside `engine.transaction`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from driftline.stats.frame import LAST_MS
from monitor.detect.spec import MonitorSpec
from monitor.detect.succession import Takeover
from monitor.storage import awaited_promotions, retrains
from monitor.storage import schema as t
from monitor.storage.audit import note
from monitor.storage.awaited_promotions import Source
from monitor.storage.engine import insert_rows
from monitor.storage.turns import bump_data_version, take_turn
from monitor.windows.panes import pane_ms_of, pane_start

_VERSION: Final = t.model_version.alias()
_REPLACED: Final = t.model_version.alias()


@dataclass(frozen=True, slots=True)
class Promotion:
    """One version made live, from `effective_ms` on; `replaces` is what it was live before."""

    id: int
    model: str
    version: str
    version_id: int
    replaces: str | None
    replaces_version_id: int | None
    effective_ms: int
    source: Source
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Promoted:
    """What promoting did; `created` is False where the version was live already."""

    created: bool
    promotion: Promotion


def promote(
    conn: Connection,
    *,
    model: str,
    version: str,
    now_ms: int,
    source: Source,
    actor: str,
    replaces: str | None = None,
    effective_ms: int | None = None,
) -> Promoted:
    """Make a version of a model live; one that is live already stays so.

    Parameters
    ----------
    replaces
        Which version it replaces; without one that which is live then, or where none was ever
        promoted the other version that had the last events.
    effective_ms
        From when on, in event time, at the start of its pane; without it from the last event
        that was counted of the model.

    Raises
    ------
    Conflict
        There is no such model or version; the version has no reference; the model is archived;
        the time lies before what may still be revised, or another version is live from then on
        already; or the versions would replace each other in a circle.
    """
    take_turn(conn)
    owner = conn.execute(sa.select(t.model).where(t.model.c.name == model)).one_or_none()
    if owner is None:
        raise Conflict(f"there is no model {model}: register a reference of it first")
    if owner.archived_ms is not None:
        raise Conflict(f"model {model} is archived: take it back before a version is promoted")
    v = t.model_version.c
    known = sa.select(v.name, v.id).where(v.model_id == owner.id)
    versions = {str(name): int(number) for name, number in conn.execute(known)}
    version_id = _known(versions, version, model)
    replaces_id = None if replaces is None else _known(versions, replaces, model)
    if replaces_id == version_id:
        raise Conflict(f"version {version} of {model} cannot replace itself: name another one")
    gridsets = _gridsets(conn, versions.values())
    if version_id not in gridsets:
        raise Conflict(
            f"version {version} of {model} has no reference to be judged by: register one first"
        )
    before = listed(conn, owner.name)[::-1]
    pane_ms = pane_ms_of(owner.timezone)
    counted = _counted(conn, gridsets)
    latest_ms = max(counted.values(), default=0)
    is_said = effective_ms is not None
    start_ms = latest_ms if effective_ms is None else pane_start(effective_ms, pane_ms)
    if not 0 <= start_ms < LAST_MS:
        raise Conflict("a promotion's time lies between the years 1970 and 2100")
    oldest_ms = pane_start(latest_ms - _horizon_ms(conn, owner.id), pane_ms)
    if start_ms < oldest_ms and source != "registration":
        raise Conflict(
            f"what lies before {_instant(oldest_ms)} is not revised any more: promote version "
            f"{version} from then on, or from now on by naming no time"
        )
    start_ms = max(start_ms, oldest_ms)
    taken = {p.effective_ms: p for p in before}
    # Several may be promoted between two events: each after the one before.
    while not is_said and start_ms in taken:
        start_ms += pane_ms
    live = [p for p in before if p.effective_ms <= start_ms][-1:]
    for standing in live:
        if standing.version_id == version_id and replaces_id in (
            None,
            standing.replaces_version_id,
        ):
            awaited_promotions.settle(conn, model, version, now_ms=now_ms)
            return Promoted(False, standing)
    if start_ms in taken:
        other = taken[start_ms]
        raise Conflict(
            f"version {other.version} of {model} is live from {_instant(start_ms)} on, by "
            f"{other.actor}: two versions cannot be promoted for one time; name a later one"
        )
    if replaces_id is None:
        others = {i: last for i, last in counted.items() if i != version_id}
        last = max(others, key=lambda i: (others[i], i), default=None)
        replaces_id = live[0].version_id if live else last
    names = {number: name for name, number in versions.items()}
    if replaces_id is not None:
        _refuse_circle(before, version_id, replaces_id, start_ms, names)
    made = conn.execute(
        sa.insert(t.promotion)
        .values(
            model_id=owner.id,
            version_id=version_id,
            replaces_version_id=replaces_id,
            effective_ms=start_ms,
            source=source,
            actor=actor[:200],
            at_ms=now_ms,
        )
        .returning(t.promotion.c.id)
    ).scalar_one()
    replaced = None if replaces_id is None else names[replaces_id]
    if replaces_id is not None:
        retrains.live(conn, replaces_id, version_id, now_ms=now_ms, actor=actor)
    note(
        conn, actor=actor, action="model.promote", subject=model, now_ms=now_ms, version=version,
        replaces=replaced, effective=_instant(start_ms), source=source,
    )  # fmt: skip
    awaited_promotions.settle(conn, model, version, now_ms=now_ms)
    bump_data_version(conn)
    promotion = Promotion(
        int(made), model, version, version_id, replaced, replaces_id, start_ms, source,
        actor[:200], now_ms,
    )  # fmt: skip
    return Promoted(True, promotion)


def _known(versions: dict[str, int], name: str, model: str) -> int:
    if name not in versions:
        last = sorted(versions, key=versions.__getitem__)[-5:]
        raise Conflict(
            f"{model} has no version {name[:40]!r}: its last are {', '.join(map(repr, last))}; "
            "a version is known once its reference is registered"
        )
    return versions[name]


def _gridsets(conn: Connection, versions: Collection[int]) -> dict[int, set[str]]:
    """Return the grids by which events of each version are counted; none without a reference."""
    b, r = t.binding.c, t.reference.c
    query = (
        sa.select(b.version_id, r.gridset)
        .join(t.reference, r.digest == b.reference_digest)
        .where(b.version_id.in_(versions))
    )
    found: dict[int, set[str]] = {}
    for version_id, gridset in conn.execute(query):
        found.setdefault(version_id, set()).add(gridset)
    return found


def _counted(conn: Connection, gridsets: Mapping[int, set[str]]) -> dict[int, int]:
    """Return the start of the last pane of each version of which any was counted."""
    return {i: last for i, some in gridsets.items() if (last := _last(conn, i, some)) is not None}


def planned(conn: Connection, made: Sequence[Promotion]) -> set[int]:
    """Return the numbers of those promotions of a model to whose time no event has come.

    Nothing is planned of a model that never had an event. Promotions without a time that were
    made between two events follow each other by a pane each, and are none either.
    """
    if not made:
        return set()
    v = t.model_version.c
    query = (
        sa.select(v.id, t.model.c.timezone)
        .join(t.model, t.model.c.id == v.model_id)
        .where(t.model.c.name == made[0].model)
    )
    versions = {int(row.id): str(row.timezone) for row in conn.execute(query)}
    counted = _counted(conn, _gridsets(conn, versions))
    if not counted:
        return set()
    reached_ms, pane_ms = max(counted.values()), pane_ms_of(next(iter(versions.values())))
    found: set[int] = set()
    for one in sorted(made, key=lambda promotion: promotion.effective_ms):
        if one.effective_ms > reached_ms + pane_ms:
            found.add(one.id)
        else:
            reached_ms = max(reached_ms, one.effective_ms)
    return found


def _last(conn: Connection, version_id: int, gridsets: set[str]) -> int | None:
    """Return the start of the last pane that was counted of a version."""
    p = t.pane.c
    found: list[int] = []
    for gridset in gridsets:  # one step into the index for each
        query = (
            sa.select(p.start_ms)
            .where(p.version_id == version_id, p.gridset == gridset)
            .order_by(p.start_ms.desc())
            .limit(1)
        )
        found += conn.execute(query).scalars()
    return max(found, default=None)


def _horizon_ms(conn: Connection, model_id: int) -> int:
    m = t.monitor.c
    query = sa.select(m.spec).where(m.model_id == model_id).order_by(m.revision.desc()).limit(1)
    return MonitorSpec.from_json(conn.execute(query).scalar_one()).horizon_ms


def _refuse_circle(
    before: list[Promotion], version_id: int, replaces_id: int, start_ms: int, names: dict[int, str]
) -> None:
    """Refuse a version to replace what will only replace it, itself or by others, then or later.

    What was live before then may be replaced by what it is to replace later: that is a return.

    Raises
    ------
    Conflict
        It names the way round.
    """
    if any(p.version_id == replaces_id and p.effective_ms < start_ms for p in before):
        return
    ways = [[version_id]]
    seen = {version_id}
    while ways:
        way = ways.pop()
        for other in before:
            if other.replaces_version_id != way[-1] or other.effective_ms < start_ms:
                continue
            if other.version_id == replaces_id:
                said = ", which is replaced by ".join(names[i] for i in (*way, replaces_id))
                raise Conflict(
                    f"versions would replace each other in a circle: {said} from "
                    f"{_instant(other.effective_ms)} on; name a later time"
                )
            if other.version_id not in seen:
                seen.add(other.version_id)
                ways.append([*way, other.version_id])


def can_be_judged(conn: Connection, model: str, version: str) -> bool:
    """Return whether there is such a version, and a reference of it."""
    v = t.model_version.c
    query = (
        sa.select(v.id)
        .join(t.model, t.model.c.id == v.model_id)
        .join(t.binding, t.binding.c.version_id == v.id)
        .where(t.model.c.name == model, v.name == version)
        .limit(1)
    )
    return conn.execute(query).first() is not None


def listed(
    conn: Connection,
    model: str | None = None,
    *,
    before: int | None = None,
    limit: int | None = None,
) -> list[Promotion]:
    """Return promotions, the last effective first: of a model, or the last made of all.

    `before` (an id) continues a page of all.
    """
    p = t.promotion.c
    query = (
        sa.select(
            p.id,
            t.model.c.name.label("model"),
            _VERSION.c.name.label("version"),
            p.version_id,
            _REPLACED.c.name.label("replaces"),
            p.replaces_version_id,
            p.effective_ms,
            p.source,
            p.actor,
            p.at_ms,
        )
        .select_from(t.promotion)
        .join(t.model, t.model.c.id == p.model_id)
        .join(_VERSION, _VERSION.c.id == p.version_id)
        .outerjoin(_REPLACED, _REPLACED.c.id == p.replaces_version_id)
        .limit(limit)
    )
    if model is not None:
        query = query.where(t.model.c.name == model).order_by(p.effective_ms.desc())
    else:
        query = query.order_by(p.id.desc())
    if before is not None:
        query = query.where(p.id < before)
    return [Promotion(**row._mapping) for row in conn.execute(query)]


def is_replaced(conn: Connection, version_id: int) -> bool:
    """Return whether another version was ever promoted in the place of this one."""
    p = t.promotion.c
    query = sa.select(p.id).where(p.replaces_version_id == version_id).limit(1)
    return conn.execute(query).first() is not None


def of_version(conn: Connection, version_id: int) -> list[Promotion]:
    """Return the promotions of the model that a version is of, if any of them replaces it.

    The first effective first; nothing where nobody ever replaced the version.
    """
    if not is_replaced(conn, version_id):
        return []
    owner = (
        sa.select(t.model.c.name)
        .join(t.model_version, t.model_version.c.model_id == t.model.c.id)
        .where(t.model_version.c.id == version_id)
    )
    return listed(conn, conn.execute(owner).scalar_one())[::-1]


def takeovers(conn: Connection, version_id: int) -> list[Takeover]:
    """Return when a version was relieved, as far as that is known, the first first."""
    c = t.takeover.c
    query = sa.select(c.since_ms, c.sure_ms, c.until_ms, c.by_version_id)
    query = query.where(c.version_id == version_id).order_by(c.since_ms)
    return [Takeover(*row) for row in conn.execute(query)]


def who_took_over(conn: Connection, version_id: int) -> str | None:
    """Return the name of the version that took over last; None where none did."""
    c, v = t.takeover.c, t.model_version.c
    query = (
        sa.select(v.name)
        .join(t.takeover, c.by_version_id == v.id)
        .where(c.version_id == version_id)
        .order_by(c.since_ms.desc())
        .limit(1)
    )
    return conn.execute(query).scalar_one_or_none()


def name_of(conn: Connection, version_id: int) -> str:
    """Return a version's name."""
    v = t.model_version.c
    return str(conn.execute(sa.select(v.name).where(v.id == version_id)).scalar_one())


def store_takeovers(conn: Connection, version_id: int, found: Sequence[Takeover]) -> None:
    """Put takeovers of a version in the place of all that are stored of it."""
    conn.execute(sa.delete(t.takeover).where(t.takeover.c.version_id == version_id))
    insert_rows(conn, t.takeover, [{"version_id": version_id, **asdict(one)} for one in found])


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")
