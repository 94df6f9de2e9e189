"""Messages of alerts into the outbox, and the end of the alerts of a model that goes.

A model that is archived or deleted has nobody any more who would find that its incidents are
over. Its open alerts end in the transaction that does it, each with one last message, and what
still waited before that is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.alerts import Gone, Notice, end
from monitor.detect.knowledge import HELD_AT_MOST_MS, OPEN_STATES, Held, Knowledge, Moment
from monitor.detect.message_types import WITHDRAWALS
from monitor.detect.messages import body_of, webhook_id_of
from monitor.detect.routes import destinations
from monitor.detect.succession import SUPERSEDED
from monitor.storage import alerts, outbox, promotions, retrain_telling, retrains, routes
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows
from monitor.storage.reads.incidents import incidents


@dataclass(frozen=True, slots=True)
class Ended:
    """How many alerts were ended, and how many messages that had waited were cancelled."""

    alerts: int
    cancelled: int


def tell(
    conn: Connection,
    notices: Sequence[Notice],
    *,
    model: str,
    version: str,
    timezone: str,
    web_url: str,
    now_ms: int,
) -> None:
    """Write messages of one version for its endpoints, in the transaction that decided them.

    Those are all, or where the model has routes, those that its routes name. Who was told of an
    alert is told of it until its end, whatever became of the routes.
    """
    ways = [named.route for named in routes.listed(conn, model)] if notices else []
    numbers = {n for notice in notices for n in (*notice.numbers, *notice.others)}
    described = {i.number: i for i in (incidents(conn, numbers=numbers) if numbers else ())}
    for notice in notices:
        body = body_of(
            notice,
            described,
            model=model,
            version=version,
            timezone=timezone,
            web_url=web_url,
            successor=_successor(conn, notice),
            retrains=retrains.without_basis(conn, notice.numbers)
            if notice.type in WITHDRAWALS
            else (),
        )
        message = outbox.Message(
            webhook_id=webhook_id_of(notice),
            alert_id=notice.alert.alert_id,
            sequence=notice.alert.sequence,
            type=notice.type,
            body=body,
        )
        to = None
        if ways:
            alert = notice.alert
            to = destinations(ways, notice.type, alert.worst, now_ms)
            to |= {i: None for i in routes.knowing(conn, alert.alert_id) if i not in to}
        outbox.enqueue(conn, message, now_ms, to=to)


def _successor(conn: Connection, notice: Notice) -> str | None:
    """Return which version took over, where that is why an alert ended."""
    if notice.why != SUPERSEDED:
        return None
    own = sa.select(t.incident.c.version_id).where(t.incident.c.number.in_(notice.numbers))
    return promotions.who_took_over(conn, conn.execute(own.limit(1)).scalar_one())


def end_alerts(conn: Connection, model_id: int, why: Gone, *, now_ms: int, web_url: str) -> Ended:
    """End the open alerts of a model, and cancel what waits of it but the last message of each.

    The caller has the model archived in this transaction or before: no evaluator tells of it
    meanwhile. Again changes nothing.
    """
    of_model = t.model_version.c.model_id == model_id
    versions = conn.execute(
        sa.select(t.model_version.c.id, t.model_version.c.name, t.model.c.name, t.model.c.timezone)
        .join(t.model, t.model.c.id == t.model_version.c.model_id)
        .where(of_model)
        .order_by(t.model_version.c.id)
    ).all()
    ended = 0
    for version_id, version, model, timezone in versions:
        # First: it takes the turn of whoever tells, before any incident of the service is held.
        retrains.let_go(conn, version_id, f"its model was {why}", now_ms)
        retrain_telling.over(conn, version_id, why, f"the model was {why}", now_ms)
        stored = alerts.known(conn, version_id, (), ())
        before = Knowledge(stored.alerts, stored.incidents)
        told_ms = max((alert.told_ms for alert in stored.alerts.values()), default=0)
        notices, after = end(before, Moment(told_ms, now_ms, timezone), why)
        alerts.store(conn, version_id, stored.rows, before, after)
        tell(
            conn, notices, model=model, version=version, timezone=timezone, web_url=web_url,
            now_ms=now_ms,
        )  # fmt: skip
        ended += len(notices)
    own = sa.select(t.model_version.c.id).where(of_model)
    return Ended(ended, outbox.cancel_superseded(conn, own, now_ms))


def tell_again(conn: Connection, model_id: int, now_ms: int) -> int:
    """Let the evaluator tell of what still stands of a model that is taken back; return how much.

    It decides at its next look, whether or not the model has events by then.
    """
    i = t.incident.c
    held = t.alert_held.c.incident_number
    query = (
        sa.select(i.number, i.version_id)
        .join(t.model_version, t.model_version.c.id == i.version_id)
        .where(
            t.model_version.c.model_id == model_id,
            i.state.in_(OPEN_STATES),
            ~sa.select(held).where(held == i.number).exists(),
        )
        .order_by(i.number)
    )
    waits = asdict(Held(at_ms=0, recorded_ms=now_ms - HELD_AT_MOST_MS))
    rows = [
        {"incident_number": number, "version_id": version_id, **waits}
        for number, version_id in conn.execute(query)
    ]
    insert_rows(conn, t.alert_held, rows)
    return len(rows)
