"""The SQL of requests for a retraining: asked once, followed to their end, closed by a new version.

A request is open until `ended_ms`. The trainer's words move it, never back: requested, accepted,
running, succeeded or failed. One that succeeded stays open until its new version is live; one
whose trainer says nothing more in time expires. Of a version one is open at a time.

Functions that take a connection belong inside `engine.transaction`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from monitor.detect.retrain_messages import REQUESTED, Wish, body_of, webhook_id_of
from monitor.storage import outbox, retrain_telling
from monitor.storage import schema as t
from monitor.storage.endpoints import Endpoint
from monitor.storage.engine import insert_rows, take_turns
from monitor.storage.retrain_rows import Retrain, Run, find, found, open_of
from monitor.storage.retraining_policies import Standing

HOUR_MS: Final = 3_600_000
_RANK: Final = {"requested": 0, "accepted": 1, "running": 2, "succeeded": 3, "failed": 4}
# Of a training that tells of every step the last word is kept in the place of the one before it.
MOST_EVENTS: Final = 200
REPORTED: Final = ("running", "succeeded", "failed")


class NoSuchRetrain(LookupError):
    """There is no request of that number."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A retraining that was decided, before it is asked for.

    Attributes
    ----------
    key
        By what it is known again: what was asked under it once is not asked again.
    evidence
        What its message says of why; its "incidents" are numbers.
    event_ms
        Event time up to which it was decided.
    origin, actor
        "policy", or "asked" by somebody.
    """

    version: str
    version_id: int
    key: str
    summary: str
    event_ms: int
    evidence: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "policy"
    actor: str = "evaluator"
    is_dry_run: bool = False


def request(
    conn: Connection, wanted: Wanted, standing: Standing, *, now_ms: int, web_url: str
) -> Retrain | None:
    """Ask for a retraining: write it down, and its message for the trainer.

    A dry run is written down, ends at once and sends nothing. None where this was asked before.

    Raises
    ------
    Conflict
        A request of the version is open, or its trainer takes no messages.
    """
    take_turns(conn, "tell")
    r = t.retrain.c
    if conn.execute(sa.select(r.id).where(r.key == wanted.key)).first() is not None:
        return None
    trainer = ready(standing)
    if not wanted.is_dry_run and (other := open_of(conn, wanted.version_id)) is not None:
        raise Conflict(
            f"request {other.id} for {standing.model} {wanted.version} is {other.state}: one is "
            "open at a time"
        )
    within_ms = standing.policy.answer_within_hours * HOUR_MS
    values = {
        "key": wanted.key,
        "model_id": standing.model_id,
        "version_id": wanted.version_id,
        "state": "requested",
        "is_dry_run": wanted.is_dry_run,
        "origin": wanted.origin,
        "actor": wanted.actor,
        "summary": wanted.summary,
        "evidence": json.dumps(wanted.evidence, sort_keys=True),
        "basis_withdrawn": False,
        "event_ms": wanted.event_ms,
        "requested_ms": now_ms,
        "deadline_ms": now_ms + within_ms,
        "answer_within_ms": within_ms,
        "endpoint_id": trainer.id,
        "url": "",
        "ended_ms": now_ms if wanted.is_dry_run else None,
    }
    number = conn.execute(sa.insert(t.retrain).values(values).returning(r.id)).scalar_one()
    url = f"{web_url.rstrip('/')}/retrains/{number}"
    conn.execute(sa.update(t.retrain).where(r.id == number).values(url=url))
    incidents = sorted(set(wanted.evidence.get("incidents", ())))
    insert_rows(
        conn,
        t.retrain_incident,
        [{"retrain_id": number, "incident_number": incident} for incident in incidents],
    )
    event(conn, number, "requested", now_ms, actor=wanted.actor, words=wanted.summary)
    made = _sure(conn, number)
    if not wanted.is_dry_run:
        told = outbox.Message(webhook_id_of(made.key), None, 0, REQUESTED, body_of(wish_of(made)))
        outbox.enqueue_for(conn, trainer.id, told, now_ms)
    return made


def ready(standing: Standing) -> Endpoint:
    """Return a policy's trainer.

    Raises
    ------
    Conflict
        It takes no messages.
    """
    trainer = standing.trainer
    if trainer is None:
        raise Conflict(f"the trainer of {standing.model} was removed: name another one")
    if not trainer.is_enabled:
        raise Conflict(f"trainer {trainer.name} is disabled: enable it first")
    return trainer


def wish_of(one: Retrain) -> Wish:
    """Return a request as its messages tell of it."""
    return Wish(
        id=one.id,
        key=one.key,
        model=one.model,
        version=one.version,
        summary=one.summary,
        evidence=one.evidence,
        requested_ms=one.requested_ms,
        deadline_ms=one.deadline_ms,
        url=one.url,
        is_dry_run=one.is_dry_run,
    )


def accept(
    conn: Connection, webhook_id: str, run: Run | None, *, now_ms: int, words: str = ""
) -> Retrain | None:
    """The trainer took the message; `run` is what it began, if it says so, and is followed.

    Again changes nothing, and neither does it of a request that is over: None.
    """
    held = found(
        conn, t.retrain.c.key == webhook_id.removeprefix("retrain_"), for_update=True, limit=1
    )
    if not held or held[0].ended_ms is not None:
        return None
    one = held[0]
    values: dict[str, Any] = {}
    if run is not None and (one.run is None or not one.run.id):
        # Its training may have named its page before the trainer's answer was recorded.
        named = one.run.url if one.run is not None else None
        values |= {"run": json.dumps(asdict(Run(run.kind, run.id, named or run.url)))}
        if one.state != "succeeded":
            values |= {"look_ms": now_ms}
    if one.state == "requested":
        values |= {"state": "accepted", "deadline_ms": now_ms + one.answer_within_ms}
        event(conn, one.id, "accepted", now_ms, actor=one.trainer, words=words)
    if values:
        _set(conn, one.id, **values)
    return _sure(conn, one.id)


def report(
    conn: Connection,
    retrain_id: int,
    state: str,
    *,
    actor: str,
    now_ms: int,
    words: str = "",
    version: str | None = None,
    run_url: str | None = None,
) -> Retrain:
    """Move a request on by its trainer's word; the same word again changes nothing.

    More of the same state (a `running` with other words) is kept, and gives time again.
    `failed` ends it. After `succeeded` it may still fail, where nobody wants what was made. That
    the version succeeded which took over already is no news.

    Parameters
    ----------
    state
        running, succeeded or failed.
    version
        The new version that was made.

    Raises
    ------
    NoSuchRetrain
        There is no such request.
    Conflict
        It is over, or further on already.
    ValueError
        There is no such state.
    """
    if state not in REPORTED:
        raise ValueError(f"a request cannot be reported {state}: it is one of {REPORTED}")
    take_turns(conn, "tell")
    one = find(conn, retrain_id, for_update=True)
    if one is None:
        raise NoSuchRetrain(retrain_id)
    last = next(event for event in reversed(one.events) if event.state in _RANK)
    is_same = (
        one.state == state == last.state
        and (words, actor) == (last.words, last.actor)
        and version in (None, one.made_version)
        and run_url in (None, one.run.url if one.run else None)
    )
    if is_same:
        return one
    if state == "succeeded" and one.live_version and version in (None, one.live_version):
        # Who registers a version and then says so finds that it has taken over already.
        return one
    if one.ended_ms is not None:
        raise Conflict(f"request {one.id} is over, {_end(one)}: it takes no more reports")
    if _RANK[state] < _RANK[one.state]:
        raise Conflict(f"request {one.id} is {one.state} already: it cannot be {state} any more")
    values: dict[str, Any] = {"state": state, "deadline_ms": now_ms + one.answer_within_ms}
    if version is not None:
        values["made_version"] = version
    if run_url is not None:
        run = Run(one.run.kind, one.run.id, run_url) if one.run else Run("", "", run_url)
        values["run"] = json.dumps(asdict(run))
    if state in ("succeeded", "failed"):
        values["look_ms"] = None
    if state == one.state == "running" and len(one.events) >= MOST_EVENTS:
        _forget_last(conn, one.id)
    event(conn, one.id, state, now_ms, actor=actor, words=words)
    if state == "failed":
        values["ended_ms"] = now_ms
    _set(conn, one.id, **values)
    outbox.cancel(conn, webhook_id_of(one.key), now_ms)
    after = _sure(conn, one.id)
    if state == "failed" and not _is_archived(conn, after):
        retrain_telling.in_vain(conn, after, _failed_words(after, words), now_ms)
    elif state == "succeeded":
        why = f"request {after.id} succeeded"
        retrain_telling.over(conn, after.version_id, "retrained", why, now_ms)
    return after


def is_overdue(conn: Connection, now_ms: int) -> bool:
    """Return whether there is anything for `expire` to end."""
    query = sa.select(t.retrain.c.id).where(*_overdue(now_ms)).limit(1)
    return conn.execute(query).first() is not None


def _overdue(now_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
    return t.retrain.c.ended_ms.is_(None), t.retrain.c.deadline_ms <= now_ms


def expire(conn: Connection, now_ms: int, *, limit: int = 20) -> list[Retrain]:
    """End the open requests whose trainers have said nothing new in time; return them.

    Each opens an incident of its version and tells of it, unless its model is archived.
    """
    take_turns(conn, "tell")
    r = t.retrain.c
    overdue = found(
        conn, *_overdue(now_ms), order=(r.deadline_ms, r.id), limit=limit, for_update=True
    )
    for one in overdue:
        is_archived = _is_archived(conn, one)
        why = "its model was archived" if is_archived else retrain_telling.why_expired(conn, one)
        _set(conn, one.id, state="expired", ended_ms=now_ms, look_ms=None)
        event(conn, one.id, "expired", now_ms, actor="driftline", words=why)
        outbox.cancel(conn, webhook_id_of(one.key), now_ms)
        if not is_archived:
            said = f"The retraining of {one.model} {one.version} expired: {why}."
            retrain_telling.in_vain(conn, _sure(conn, one.id), said, now_ms)
    return [_sure(conn, one.id) for one in overdue]


def let_go(conn: Connection, version_id: int, why: str, now_ms: int) -> None:
    """End a version's request that its trainer has not taken yet, and send it no more.

    Of a model that goes: nobody wants a training of it to begin. One that has begun may end.
    """
    take_turns(conn, "tell")
    one = open_of(conn, version_id, for_update=True)
    if one is None or one.state != "requested":
        return
    _set(conn, one.id, state="expired", ended_ms=now_ms, look_ms=None)
    event(conn, one.id, "expired", now_ms, actor="driftline", words=why)
    outbox.cancel(conn, webhook_id_of(one.key), now_ms)


def waiting_for(conn: Connection, endpoint_id: int) -> list[int]:
    """Return the numbers of open requests that a trainer has not taken yet."""
    r = t.retrain.c
    untaken = (r.endpoint_id == endpoint_id, r.state == "requested", r.ended_ms.is_(None))
    return list(conn.execute(sa.select(r.id).where(*untaken).order_by(r.id)).scalars())


def to_follow(conn: Connection, now_ms: int, limit: int) -> list[Retrain]:
    """Return open requests whose runs are to be looked at now, those that wait longest first."""
    r = t.retrain.c
    is_due = (r.look_ms <= now_ms, r.ended_ms.is_(None))
    return found(conn, *is_due, order=(r.look_ms, r.id), limit=limit)


def look_again(
    conn: Connection, retrain_id: int, at_ms: int | None, *, was_ms: int | None = None
) -> bool:
    """Look at a request's run at that time; None: not any more.

    With `was_ms` only where it was to be looked at then, and is open: False where another was
    faster.
    """
    r = t.retrain.c
    this = sa.update(t.retrain).where(r.id == retrain_id)
    if was_ms is not None:
        this = this.where(r.look_ms == was_ms, r.ended_ms.is_(None))
    return conn.execute(this.values(look_ms=at_ms)).rowcount == 1


def live(
    conn: Connection, old_version_id: int, new_version_id: int, *, now_ms: int, actor: str
) -> Retrain | None:
    """Another version took over: the open request of the one before it ends well.

    Whether or not its trainer has said so. None where none is open.
    """
    take_turns(conn, "tell")
    c = t.model_version.c
    name = conn.execute(sa.select(c.name).where(c.id == new_version_id)).scalar_one()
    retrain_telling.over(conn, old_version_id, "superseded", f"version {name} took over", now_ms)
    one = open_of(conn, old_version_id, for_update=True)
    if one is None:
        return None
    _set(
        conn, one.id, state="succeeded", look_ms=None, live_version_id=new_version_id,
        live_ms=now_ms, ended_ms=now_ms,
    )  # fmt: skip
    event(conn, one.id, "live", now_ms, actor=actor, words=f"version {name} took over")
    outbox.cancel(conn, webhook_id_of(one.key), now_ms)
    return _sure(conn, one.id)


def withdraw_basis(conn: Connection, incidents: Collection[int], *, now_ms: int) -> list[int]:
    """Say of requests that late events took away what they stand on; return which.

    `incidents` are numbers of some that were withdrawn. A request goes by all of its own: one
    that stands is enough.
    """
    i, r, n = t.retrain_incident.c, t.retrain.c, t.incident.c
    if not incidents:
        return []
    stands = (
        sa.select(n.number)
        .join(t.retrain_incident, i.incident_number == n.number)
        .where(i.retrain_id == r.id, n.state != "withdrawn")
        .exists()
    )
    query = (
        sa.select(r.id)
        .distinct()
        .join(t.retrain_incident, i.retrain_id == r.id)
        .where(i.incident_number.in_(sorted(incidents)), r.basis_withdrawn.is_(sa.false()), ~stands)
        .order_by(r.id)
    )
    ids = list(conn.execute(query).scalars())
    if ids:
        # Before a request is held: whoever reports of one holds this turn first, too.
        take_turns(conn, "tell")
    for number in ids:
        _set(conn, number, basis_withdrawn=True)
        event(
            conn, number, "basis_withdrawn", now_ms, actor="evaluator",
            words="late events withdrew the incidents that it stands on",
        )  # fmt: skip
    return ids


def without_basis(conn: Connection, incidents: Collection[int]) -> list[int]:
    """Return the requests whose basis was withdrawn and that stood on any of some incidents."""
    i, r = t.retrain_incident.c, t.retrain.c
    query = (
        sa.select(r.id)
        .distinct()
        .join(t.retrain_incident, i.retrain_id == r.id)
        .where(i.incident_number.in_(sorted(incidents)), r.basis_withdrawn.is_(sa.true()))
        .order_by(r.id)
    )
    return list(conn.execute(query).scalars())


def event(
    conn: Connection, retrain_id: int, state: str, at_ms: int, *, actor: str, words: str
) -> None:
    """Write down what became of a request."""
    conn.execute(
        sa.insert(t.retrain_event).values(
            retrain_id=retrain_id, at_ms=at_ms, state=state, actor=actor, words=words
        )
    )


def _forget_last(conn: Connection, retrain_id: int) -> None:
    """Take back the last that was said of a running training, for what is said now."""
    e = t.retrain_event.c
    last = sa.select(sa.func.max(e.id)).where(e.retrain_id == retrain_id, e.state == "running")
    conn.execute(sa.delete(t.retrain_event).where(e.id == last.scalar_subquery()))


def _set(conn: Connection, retrain_id: int, **values: Any) -> None:
    conn.execute(sa.update(t.retrain).where(t.retrain.c.id == retrain_id).values(**values))


def _sure(conn: Connection, retrain_id: int) -> Retrain:
    one = find(conn, retrain_id)
    assert one is not None, retrain_id
    return one


def _is_archived(conn: Connection, one: Retrain) -> bool:
    archived = sa.select(t.model.c.archived_ms).where(t.model.c.id == one.model_id)
    return conn.execute(archived).scalar() is not None


def _failed_words(one: Retrain, words: str) -> str:
    said = f": {words}" if words else ", without saying why"
    return f"The retraining of {one.model} {one.version} failed{said}."


def _end(one: Retrain) -> str:
    if one.is_dry_run:
        return "it was a dry run"
    if one.live_version is not None:
        return f"version {one.live_version} took over"
    return f"it {one.state}"
