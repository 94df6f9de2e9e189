"""The incident of a version whose retraining was asked for in vain, and the messages about it.

It stands from the first request that failed or expired until a later one succeeds or another
version takes over. Each request in vain is told by the routes of the model.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.message_types import RETRAIN_FAILED, RETRAIN_RECOVERED
from monitor.detect.retrain_messages import webhook_id_of
from monitor.detect.routes import destinations
from monitor.storage import routes, service_incidents, service_telling
from monitor.storage import schema as t
from monitor.storage.retrain_rows import Retrain
from monitor.storage.service_incidents import RETRAIN, ServiceIncident

# What the column of a name holds.
_NAME: Final = 200
_HOUR_MS: Final = 3_600_000


def in_vain(conn: Connection, one: Retrain, summary: str, now_ms: int) -> None:
    """Open the incident of a request that came to nothing, and tell of it."""
    opened = service_incidents.begin(
        conn, RETRAIN, str(one.version_id), name=f"{one.model} {one.version}"[:_NAME],
        summary=summary, now_ms=now_ms,
    )  # fmt: skip
    ways = [named.route for named in routes.listed(conn, one.model)]
    to = destinations(ways, RETRAIN_FAILED, opened.severity, now_ms) if ways else None
    r = t.retrain.c
    so_far = sa.select(sa.func.count()).where(
        r.version_id == one.version_id,
        r.state.in_(("failed", "expired")),
        r.ended_ms >= opened.opened_ms,
    )
    more = {
        "model": one.model,
        "version": one.version,
        "request_id": one.id,
        "state": one.state,
        "trainer": one.trainer,
        "url": one.url,
    }
    service_telling.tell(
        conn, opened, RETRAIN_FAILED, int(conn.execute(so_far).scalar_one()), summary, more,
        now_ms=now_ms, webhook_id=f"{webhook_id_of(one.key)}_failed", to=to,
    )  # fmt: skip


def over(conn: Connection, version_id: int, how: str, why: str, now_ms: int) -> None:
    """End the incident of a version, if one stands; who was told of it is told."""
    ended = service_incidents.end(conn, RETRAIN, str(version_id), how, now_ms=now_ms)
    if ended is None:
        return
    alert_id = service_telling.alert_id_of(ended)
    o = t.outbox.c
    last = sa.select(sa.func.max(o.sequence)).where(o.alert_id == alert_id)
    sequence = int(conn.execute(last).scalar() or 0) + 1
    knowing = dict.fromkeys(routes.knowing(conn, alert_id))
    summary = f"The retraining of {ended.name} is no trouble any more: {why}."
    more = {**_names(conn, version_id), "ended": how}
    service_telling.tell(
        conn, ended, RETRAIN_RECOVERED, sequence, summary, more, now_ms=now_ms, to=knowing
    )


def standing(conn: Connection, version_id: int) -> ServiceIncident | None:
    """Return the open incident of a version's retraining, if there is one."""
    found = service_incidents.listed(conn, kind=RETRAIN, only_open=True)
    return next((one for one in found if one.subject == str(version_id)), None)


def why_expired(conn: Connection, one: Retrain) -> str:
    """Return in words what a request waited for in vain."""
    hours = f"{one.answer_within_ms // _HOUR_MS} hours"
    if one.state == "succeeded":
        return _never_live(conn, one, hours)
    if one.state == "running":
        return f"trainer {one.trainer} said that it runs, and nothing more for {hours}"
    if one.state == "accepted":
        return f"trainer {one.trainer} took the request and said nothing more for {hours}"
    o, a = t.outbox.c, t.delivery_attempt.c
    query = (
        sa.select(a.error)
        .join(t.outbox, o.id == a.outbox_id)
        .where(o.webhook_id == webhook_id_of(one.key))
        .order_by(a.id)
    )
    errors = list(conn.execute(query).scalars())
    if not errors:
        return f"it was not sent to trainer {one.trainer} within {hours}"
    many = f"{len(errors)} attempts" if len(errors) > 1 else "1 attempt"
    return (
        f"trainer {one.trainer} was not reached in {many} within {hours}, at last because: "
        f"{errors[-1] or 'it answered, and the request was not taken'}"
    )


def _never_live(conn: Connection, one: Retrain, hours: str) -> str:
    said = f"trainer {one.trainer} said that it succeeded"
    if one.made_version is None:
        return (
            f"{said}, and no new version took over within {hours}: register it with its reference, "
            f"in the place of version {one.version}"
        )
    v = t.model_version.c
    known = sa.select(v.id).where(v.model_id == one.model_id, v.name == one.made_version)
    if conn.execute(known).first() is None:
        return (
            f"{said} with version {one.made_version}, which was never registered within {hours}: "
            f"register it with its reference, in the place of version {one.version}"
        )
    return (
        f"{said} with version {one.made_version}, which is registered and did not take over within "
        f"{hours}: promote it in the place of version {one.version}"
    )


def _names(conn: Connection, version_id: int) -> dict[str, Any]:
    v = t.model_version.c
    query = (
        sa.select(t.model.c.name.label("model"), v.name.label("version"))
        .join(t.model_version, v.model_id == t.model.c.id)
        .where(v.id == version_id)
    )
    return dict(conn.execute(query).one()._mapping)
