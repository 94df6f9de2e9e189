"""Sending messages again: one, a range, or what a filter names. Written into the audit."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy.engine import Engine

from driftline.program import NAME
from monitor.api import openapi
from monitor.api.answers.endpoints import DeliveryDetail, RedeliveryAnswer, RedeliveryBody
from monitor.api.parameters import span
from monitor.api.problems import Problem
from monitor.api.reading.deliveries import TAG, DeliveryId, delivery_detail, known
from monitor.clock import Clock
from monitor.detect.retrain_messages import REQUESTED
from monitor.storage import models, redelivery
from monitor.storage.engine import transaction
from monitor.storage.redelivery import AT_ONCE, Wanted

_KEPT = openapi.described(
    409,
    "It cannot be sent again",
    "The message cannot be sent again",
    "delivery 12 was cancelled: a later message of its alert says more",
    f"send a test instead: `{NAME} endpoint test NAME`",
)


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the routes; `actor` is who the audit names."""
    routes = APIRouter(prefix="/api/v1", tags=[TAG])

    @routes.post(
        "/deliveries/redeliver",
        status_code=202,
        summary="Send messages again",
        responses={**openapi.problems(403, 404, 421, 422, 503), **openapi.unreadable()},
    )
    def redeliver_many(asked: RedeliveryBody) -> RedeliveryAnswer:
        """Let what was given up be tried anew, as if it had just been decided.

        Ids and bodies stay, so a receiver that has a message already does nothing. Of one alert
        they go out in their order. Tests, what was cancelled and requests for a retraining that
        have failed are left out.
        """
        first_ms, last_ms = span(asked.from_, asked.to)
        wanted = Wanted(
            asked.state, asked.endpoint, asked.alert_id, asked.type, asked.first, asked.last,
            first_ms, last_ms,
        )  # fmt: skip
        if wanted.is_everything and not asked.all:
            raise Problem(
                422, "Nothing says which messages",
                "Give an endpoint, an alert, a type, a range or a time, or all.",
                mend='{"endpoint": "on-call"}, or {"all": true}',
            )  # fmt: skip
        if asked.first is not None and asked.last is not None and asked.first > asked.last:
            raise Problem(
                422, "The range is empty", f"`first` ({asked.first}) is after `last` "
                f"({asked.last}).", mend="swap them, or leave one out",
            )  # fmt: skip
        with transaction(engine) as conn:
            if asked.endpoint is not None:
                known(conn, asked.endpoint)
            if asked.dry_run:
                ids = redelivery.matching(conn, wanted)
            else:
                ids = redelivery.again(conn, wanted, now_ms=clock.now_ms())
                if ids:
                    models.note(
                        conn, actor=actor, action="delivery.redeliver",
                        subject=asked.endpoint or "all endpoints", now_ms=clock.now_ms(),
                        state=asked.state, count=len(ids), first=ids[0], last=ids[-1],
                    )  # fmt: skip
        return RedeliveryAnswer(ids=ids, more=len(ids) == AT_ONCE, is_dry_run=asked.dry_run)

    @routes.post(
        "/deliveries/{id}/redeliver",
        status_code=202,
        summary="Send one message again",
        responses={**openapi.problems(403, 404, 421, 422, 503), **_KEPT},
    )
    def redeliver_one(id: DeliveryId) -> DeliveryDetail:
        """Let it be tried anew, whether it arrived or was given up; one that waits is tried now."""
        now_ms = clock.now_ms()
        with transaction(engine) as conn:
            found = delivery_detail(conn, id)
            done = redelivery.hurry(conn, id, now_ms=now_ms)
            for state in ("dead", "delivered"):
                if found.state == state and not done:
                    one = Wanted(state, first_id=id, last_id=id)
                    done = bool(redelivery.again(conn, one, now_ms=now_ms))
            if not done:
                raise Problem(
                    409, "The message cannot be sent again", _why(found),
                    mend=f"`{NAME} delivery show {id}` tells more",
                )  # fmt: skip
            models.note(
                conn, actor=actor, action="delivery.redeliver", subject=found.endpoint,
                now_ms=now_ms, state=found.state, count=1, first=id, last=id,
            )  # fmt: skip
            return delivery_detail(conn, id)

    return routes


def _why(found: DeliveryDetail) -> str:
    if found.state == "pending":
        return f"Delivery {found.id} is being sent at this moment."
    if found.type == "endpoint.test":
        return f"Delivery {found.id} is a test, which is of the moment it was asked for."
    if found.state == "cancelled":
        return (
            f"Delivery {found.id} was cancelled: its endpoint was removed, or a later message of "
            "its alert says all."
        )
    if found.type == REQUESTED and found.state == "dead":
        return (
            f"The retraining that delivery {found.id} asks for has failed by now, or is no more: "
            f"`{NAME} retrain ask` asks for another."
        )
    return f"Endpoint {found.endpoint}, which it was for, is removed."
