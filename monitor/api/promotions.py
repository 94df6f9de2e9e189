"""Promotions of a model's versions: listed, made. Written into the audit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict
from driftline.stats.frame import LAST_MS
from monitor.api import openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.promoted import PromotionAnswer, PromotionBody, PromotionTold
from monitor.api.asking import only_known
from monitor.api.parameters import Cursor, Limit, ModelPath
from monitor.api.problems import Problem
from monitor.api.reading.finding import find_model, find_version
from monitor.api.reading.registered import TAG
from monitor.clock import Clock
from monitor.storage import promotions as store
from monitor.storage.engine import transaction
from monitor.views.promotions import Shown, shown

_WRITTEN = openapi.problems(403, 404, 421, 422, 503)
_REFUSED = openapi.described(
    409,
    "The version cannot be live then",
    "The version cannot be promoted",
    "version 2 of flight-delay is live from 2025-06-02T08:00:00Z on, by api:token: two versions "
    "cannot be promoted for one time; name a later one",
    "GET /api/v1/models/flight-delay/promotions lists what was promoted",
)


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the routes of the API about promotions; `actor` is who the audit names."""
    routes = APIRouter(prefix="/api/v1", tags=[TAG])
    answering = Answering(engine)

    @routes.get(
        "/models/{name:path}/promotions", dependencies=[Depends(only_known)],
        **openapi.told(Page[PromotionAnswer], "List promotions", 404),
    )  # fmt: skip
    def list_promotions(
        name: ModelPath, request: Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """What waits for its reference first, then the last effective."""

        def read(conn: Connection) -> list[PromotionAnswer]:
            find_model(conn, name)
            return [PromotionAnswer.model_validate(_said(one)) for one in shown(conn, name)]

        def key(row: PromotionAnswer) -> tuple[Any, ...]:
            # Ascending, as pages go on: the last first.
            return (-_ms(row.effective), row.version)

        listing = Listing(PromotionAnswer, whole(read, key), key, (int, str), lambda row: row)
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)

    @routes.post(
        "/models/{name:path}/promotions",
        status_code=201,
        summary="Promote a version",
        responses={
            200: {"model": PromotionTold, "description": "It was live already"},
            **_WRITTEN,
            **openapi.unreadable(),
            **_REFUSED,
        },
    )
    def promote(name: ModelPath, asked: PromotionBody, response: Response) -> PromotionTold:
        """Make a version live: incidents of the one that it replaces end where it takes over.

        A version that is live already stays so, and nothing is written.
        """
        effective_ms = _effective_ms(asked.effective)
        with transaction(engine) as conn:
            for version in (asked.version, asked.replaces):
                if version is not None:
                    find_version(conn, name, version)
            try:
                done = store.promote(
                    conn, model=find_model(conn, name).name, version=asked.version,
                    replaces=asked.replaces, effective_ms=effective_ms, source="api", actor=actor,
                    now_ms=clock.now_ms(),
                )  # fmt: skip
            except Conflict as error:
                raise Problem(
                    409, "The version cannot be promoted", str(error),
                    mend=f"GET /api/v1/models/{name}/promotions lists what was promoted",
                ) from None  # fmt: skip
            [one] = [one for one in shown(conn, name) if one.id == done.promotion.id]
        if not done.created:
            response.status_code = 200
        return PromotionTold(**_said(one), created=done.created)

    return routes


def _effective_ms(at: datetime | None) -> int | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise Problem(
            422, "effective has no offset", "A time without an offset is no instant.",
            mend='write it as "2013-02-01T00:00:00Z"',
        )  # fmt: skip
    found = int(at.timestamp() * 1000)
    if not 0 <= found < LAST_MS:
        raise Problem(
            422, "effective is out of range", "It lies outside the years 1970 to 2100.",
            mend="name an instant between them, or none",
        )  # fmt: skip
    return found


def _ms(at: datetime | None) -> int:
    return LAST_MS if at is None else int(at.timestamp() * 1000)


def _said(one: Shown) -> dict[str, Any]:
    return {
        "model": one.model,
        "version": one.version,
        "replaces": one.replaces,
        "state": one.state,
        "effective": _at(one.effective_ms),
        "took_over": _at(one.took_over_ms),
        "source": one.source,
        "by": one.actor,
        "at": _at(one.at_ms),
    }


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
