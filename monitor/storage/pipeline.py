"""The SQL of the pipeline's incidents: what is wrong now, opened, told and ended.

Any living process may call `settle`; what one has written the others find.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.message_types import PIPELINE_RECOVERED
from monitor.detect.pipeline import (
    DELIVER,
    EVALUATE,
    FORGOTTEN_MS,
    OF_TOPIC,
    STALLED_MS,
    Beating,
    Lost,
    Trouble,
    gaps,
    idle_roles,
    over_words,
    stalled,
    subject_of,
    unreadable,
)
from monitor.detect.routes import pipeline_destinations
from monitor.storage import breakers, heartbeats, reads, routes, service_incidents, service_telling
from monitor.storage import schema as t
from monitor.storage.engine import take_turns
from monitor.storage.service_incidents import PIPELINE, ServiceIncident

# Losses that are looked at: of a log that loses without a pause, the newest are enough.
LOSSES = 500


@dataclass(frozen=True, slots=True)
class Settled:
    """What was opened and what was ended."""

    opened: tuple[ServiceIncident, ...] = ()
    ended: tuple[ServiceIncident, ...] = ()


def troubles(
    conn: Connection, now_ms: int, *, stalled_after_ms: int = STALLED_MS
) -> dict[str, Trouble]:
    """Return what is wrong now, by the subject of its incident."""
    g = t.data_gap.c
    lost = conn.execute(
        sa.select(t.stream.c.topic, g.partition, g.kind, g.to_offset - g.from_offset, g.created_ms)
        .join(t.stream, t.stream.c.id == g.stream_id)
        # A topic that was made anew after it was read to its end has lost nothing.
        .where(g.to_offset > g.from_offset)
        .order_by(g.created_ms.desc(), g.id.desc())
        .limit(LOSSES)
    )
    beats = [
        Beating(
            role,
            beat.beat_ms,
            beat.is_alive(now_ms),
            beat.moved_ms if beat.stands_still(now_ms) else None,
        )
        for role in (EVALUATE, DELIVER)
        for beat in heartbeats.of_role(conn, role)
    ]
    stops = breakers.standing(conn)
    has_stopped = {stop.topic for stop in stops}
    found = [
        # Who has stopped counts nothing, and has said why.
        *stalled(
            (place for place in reads.positions(conn) if place.topic not in has_stopped),
            now_ms,
            after_ms=stalled_after_ms,
        ),
        *gaps([Lost(*row) for row in lost], now_ms),
        *(
            unreadable(
                stop.topic, stop.tripped_ms, stop.events, stop.undecodable, list(stop.reasons)
            )
            for stop in stops
        ),
        *idle_roles(beats, now_ms),
    ]
    return {one.subject: one for one in found if now_ms - one.since_ms <= FORGOTTEN_MS}


def standing(conn: Connection) -> dict[str, ServiceIncident]:
    """Return the open incidents of the pipeline by subject."""
    found = service_incidents.listed(conn, kind=PIPELINE, only_open=True)
    return {one.subject: one for one in found}


def holds(conn: Connection, topics: Collection[str]) -> list[ServiceIncident]:
    """Return the open incidents of the pipeline that concern any of some topics, oldest first.

    Empty where all of it is in order.
    """
    asked = {subject_of(reason, topic) for topic in topics for reason in OF_TOPIC}
    found = [one for subject, one in standing(conn).items() if subject in asked]
    return sorted(found, key=lambda one: one.id)


def topics_of(conn: Connection, model: str, version: str) -> list[str]:
    """Return the topics that events of a version come from, by name."""
    c = t.counter.c
    query = (
        sa.select(t.stream.c.topic)
        .distinct()
        .join(t.stream, t.stream.c.id == c.stream_id)
        .where(c.model == model, c.version == version, t.stream.c.ended_ms.is_(None))
        .order_by(t.stream.c.topic)
    )
    return list(conn.execute(query).scalars())


def settle(
    conn: Connection,
    *,
    begins: Collection[str],
    ends: Collection[str],
    now_ms: int,
    web_url: str,
    stalled_after_ms: int = STALLED_MS,
) -> Settled:
    """Open incidents of some subjects and end those of others, each where it is true still.

    What another process did meanwhile is left as it is. Call it in a transaction: incident and
    message stand or fall together.
    """
    take_turns(conn, "tell")
    now = troubles(conn, now_ms, stalled_after_ms=stalled_after_ms)
    before = standing(conn)
    opened = [_begin(conn, now[s], now_ms, web_url) for s in begins if s in now and s not in before]
    ended = [_end(conn, before[s], now_ms, web_url) for s in ends if s in before and s not in now]
    return Settled(tuple(opened), tuple(ended))


def restate(
    conn: Connection, found: Mapping[str, Trouble], known: Mapping[str, ServiceIncident]
) -> None:
    """Say anew what is wrong where it has changed: more partitions, other numbers."""
    for subject, incident in known.items():
        if subject in found and found[subject].summary != incident.summary:
            service_incidents.restate(conn, incident, found[subject].summary)


def _begin(conn: Connection, trouble: Trouble, now_ms: int, web_url: str) -> ServiceIncident:
    opened = service_incidents.begin(
        conn, PIPELINE, trouble.subject, name=trouble.name[:200], summary=trouble.summary,
        now_ms=trouble.since_ms, severity=trouble.severity,
    )  # fmt: skip
    more = {"reason": trouble.reason, **trouble.more, "url": _url(web_url)}
    _tell(conn, opened, trouble.event, 1, trouble.summary, more, now_ms)
    return opened


def _end(conn: Connection, incident: ServiceIncident, now_ms: int, web_url: str) -> ServiceIncident:
    is_forgotten = now_ms - incident.opened_ms > FORGOTTEN_MS
    how = "forgotten" if is_forgotten else "recovered"
    ended = service_incidents.end(conn, PIPELINE, incident.subject, how, now_ms=now_ms)
    assert ended is not None
    reason = incident.subject.partition(" ")[0]
    summary = over_words(reason, incident.name, is_forgotten=is_forgotten)
    where = {"topic": incident.name} if reason in OF_TOPIC else {"role": incident.name}
    more = {"reason": reason, **where, "url": _url(web_url)}
    _tell(conn, ended, PIPELINE_RECOVERED, 2, summary, more, now_ms)
    return ended


def _tell(
    conn: Connection,
    incident: ServiceIncident,
    event: str,
    sequence: int,
    summary: str,
    more: Mapping[str, object],
    now_ms: int,
) -> None:
    ways = [named.route for named in routes.listed(conn)]
    to = pipeline_destinations(ways, event, incident.severity, now_ms)
    if sequence > 1:
        # Who was told that it began is told that it is over, whatever became of the routes.
        knowing = routes.knowing(conn, service_telling.alert_id_of(incident))
        to = {i: (to or {}).get(i) for i in knowing}
    service_telling.tell(conn, incident, event, sequence, summary, more, now_ms=now_ms, to=to)


def _url(web_url: str) -> str:
    return f"{web_url.rstrip('/')}/pipeline"
