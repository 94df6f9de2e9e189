"""What the database gives for a decision is enough: deciding on everything says the same."""

from __future__ import annotations

import itertools
import json

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from incident_stories import HOUR, START, ZONE, Story, changed, stories
from sqlalchemy.engine import Connection, Engine

from monitor.detect.alerts import alert_id_of, decide
from monitor.detect.knowledge import IncidentNow, Knowledge, Moment
from monitor.evaluate.alerts import AlertBook
from monitor.storage import alerts as sql
from monitor.storage import endpoints
from monitor.storage import schema as t
from monitor.storage.engine import transaction
from monitor.storage.registry import BoundVersion
from monitor.windows.panes import HOUR_MS

numbers = itertools.count(1)


def begin(conn: Connection) -> BoundVersion:
    """A version of its own for one story."""
    name = f"m{next(numbers)}"
    insert = sa.insert(t.model).values(name=name, timezone=ZONE, created_ms=0)
    model_id = conn.execute(insert.returning(t.model.c.id)).scalar_one()
    version = sa.insert(t.model_version).values(model_id=model_id, name="1", created_ms=0)
    version_id = conn.execute(version.returning(t.model_version.c.id)).scalar_one()
    return BoundVersion(version_id, name, "1", ZONE, HOUR_MS, ())


def keep(conn: Connection, version_id: int, incident: IncidentNow, *, is_new: bool) -> None:
    """Store an incident as the evaluator does."""
    values = {name: getattr(incident, name) for name in IncidentNow.__slots__}
    opened = [[at_ms, at_ms, at_ms, None] for at_ms in incident.episodes]
    values |= {"version_id": version_id, "episodes": json.dumps(opened)}
    if is_new:
        conn.execute(sa.insert(t.incident).values(**values, summary="", evidence="{}"))
    else:
        c = t.incident.c
        conn.execute(sa.update(t.incident).where(c.number == incident.number).values(values))


def told(conn: Connection, alert_prefix: set[str]) -> list[tuple[str, int, str, set[int]]]:
    o = t.outbox.c
    rows = conn.execute(sa.select(t.outbox).where(o.alert_id.in_(alert_prefix)).order_by(o.id))
    return [
        (
            row.alert_id,
            row.sequence,
            row.type,
            {found["id"] for found in json.loads(row.body)["data"]["incidents"]},
        )
        for row in rows
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stories)
def test_a_decision_on_what_was_read_is_the_decision_on_everything(
    engine: Engine, story: Story
) -> None:
    with transaction(engine) as conn:
        if not endpoints.endpoints(conn):
            endpoints.add(conn, "hook", "https://a.example", "whsec_" + "QUJD" * 8, now_ms=1)
        bound = begin(conn)
    base = bound.version_id * 100
    latest: dict[int, IncidentNow] = {}
    judged: dict[int, IncidentNow] = {}
    known, notices = Knowledge(), []
    event_h = wall_h = 0.0
    for changes, event_step, wall_step, is_judged in [*story, ([], 0.0, 24.0, True)]:
        event_h, wall_h = event_h + event_step, wall_h + wall_step
        for number, what in changes:
            found = changed(latest.get(number + 1), number, what, event_h)
            if found is not None:
                latest[number + 1] = found
        if not is_judged:
            continue
        now = {
            base + number: IncidentNow(
                **{name: getattr(incident, name) for name in IncidentNow.__slots__}
                | {"number": base + number, "version_id": bound.version_id}
            )
            for number, incident in latest.items()
        }
        fresh = {number for number, incident in now.items() if judged.get(number) != incident}
        moment = Moment(START + int(event_h * HOUR), START + int(wall_h * HOUR), ZONE)
        with transaction(engine) as conn:
            for number in fresh:
                keep(conn, bound.version_id, now[number], is_new=number not in judged)
            AlertBook(conn, bound, moment, "http://a").update(fresh)
            held = sql.held(conn, bound.version_id)
        judged = now
        said, known = decide(
            list(now.values()),
            known,
            moment,
            id_of=lambda first: alert_id_of(bound.model, bound.version, first),
            concerned=fresh | known.held.keys(),
        )
        notices += said
        assert held == known.held
    with transaction(engine) as conn:
        assert told(conn, set(known.alerts)) == [
            (n.alert.alert_id, n.alert.sequence, n.type, {*n.numbers, *n.others}) for n in notices
        ]
        stored = sql.known(conn, bound.version_id, judged, ())
        assert stored.alerts == known.alerts
        assert stored.incidents == known.incidents
        assert sql.warned_ms(conn, bound.version_id) == known.warned_ms
