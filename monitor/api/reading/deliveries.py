"""Endpoints and deliveries: where alerts go, and what became of each."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator
from sqlalchemy.engine import Connection

from monitor.alerts import admission, trainers
from monitor.api import openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.endpoints import (
    AttemptAnswer,
    DeliveryAnswer,
    DeliveryDetail,
    EndpointAnswer,
    ServiceIncidentAnswer,
)
from monitor.api.cursors import Key
from monitor.api.parameters import MAX_INT, Cursor, Limit, is_storable
from monitor.api.sessions import ROLE, VIEWER
from monitor.clock import Clock
from monitor.masking import masked
from monitor.storage import endpoints as store
from monitor.storage import reads, service_incidents
from monitor.storage.deliveries import Attempt
from monitor.storage.endpoints import Endpoint
from monitor.storage.reads import Delivery, Tally
from monitor.views.scope import NoSuch, nearest

TAG = "webhooks"


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("no name holds half a character")
    return text


_Text = Annotated[str, AfterValidator(_storable)]
EndpointName = Annotated[
    _Text, Path(max_length=100, description="An endpoint's name", examples=["on-call"])
]
DeliveryId = Annotated[
    int, Path(ge=1, le=MAX_INT, description="A delivery's number", examples=[12])
]
AnyEndpoint = Annotated[
    _Text | None,
    Query(max_length=100, description="Only what goes to this endpoint", examples=["on-call"]),
]
AnyAlert = Annotated[
    _Text | None,
    Query(max_length=80, description="Only messages of this alert", examples=["alert_9b1d"]),
]
AnyState = Annotated[
    Literal["pending", "delivered", "dead", "cancelled"] | None,
    Query(description="Only what is in this state", examples=["dead"]),
]

OnlyOpen = Annotated[
    Literal["open"] | None, Query(description="Only those that stand", examples=["open"])
]


def add(routes: APIRouter, answering: Answering, clock: Clock) -> None:
    """Add the routes."""

    @routes.get(
        "/endpoints", tags=[TAG],
        **openapi.told(Page[EndpointAnswer], "List where alerts are sent"),
    )  # fmt: skip
    def endpoints(request: Request, limit: Limit = None, cursor: Cursor = None) -> Response:
        """By name, with what became of the messages for each."""

        def read(conn: Connection) -> list[EndpointAnswer]:
            return endpoint_answers(conn, store.endpoints(conn), clock.now_ms())

        def key(row: EndpointAnswer) -> tuple[Any, ...]:
            return (row.name,)

        listing = Listing(EndpointAnswer, whole(read, key), key, (str,), lambda row: row)
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)

    @routes.get(
        "/endpoints/{name}", tags=[TAG],
        **openapi.told(EndpointAnswer, "Get one endpoint", 404),
    )  # fmt: skip
    def endpoint(request: Request, name: EndpointName) -> Response:
        """With what became of the messages for it."""

        def read(conn: Connection) -> EndpointAnswer:
            return endpoint_answers(conn, [known(conn, name)], clock.now_ms())[0]

        return answering.one(request, read, by_content=True)

    @routes.get(
        "/deliveries", tags=[TAG],
        **openapi.told(Page[DeliveryAnswer], "List what was sent, waits, or was given up", 404),
    )  # fmt: skip
    def deliveries(
        request: Request,
        endpoint: AnyEndpoint = None,
        state: AnyState = None,
        alert_id: AnyAlert = None,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """One message for one endpoint each, the last decided first; tests are among them."""

        def read(conn: Connection, after: Key | None, most: int) -> list[DeliveryAnswer]:
            if endpoint is not None and after is None:
                _must_be_known(conn, endpoint)
            found = reads.deliveries(
                conn, endpoint=endpoint, state=state, alert_id=alert_id,
                before=after[0] if after else None, limit=most,
            )  # fmt: skip
            tried = reads.attempts_of(conn, [one.id for one in found])
            return [DeliveryAnswer.model_validate(_said(one, tried[one.id])) for one in found]

        listing = Listing(DeliveryAnswer, read, lambda row: (row.id,), (int,), lambda row: row)
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)

    @routes.get(
        "/deliveries/{id}", tags=[TAG],
        **openapi.told(DeliveryDetail, "Get one delivery", 404),
    )  # fmt: skip
    def delivery(request: Request, id: DeliveryId) -> Response:
        """With its body and every attempt; what was answered, for who may change something."""
        shows = request.scope.get(ROLE) != VIEWER

        def read(conn: Connection) -> DeliveryDetail:
            return delivery_detail(conn, id, shows_answers=shows)

        return answering.one(request, read, by_content=True)

    @routes.get(
        "/service-incidents", tags=[TAG],
        **openapi.told(Page[ServiceIncidentAnswer], "List what is wrong with Driftline's parts"),
    )  # fmt: skip
    def incidents_of_service(
        request: Request,
        state: OnlyOpen = None,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """Endpoints where nothing arrives, records that are lost or wait; the last opened first."""

        def read(conn: Connection, after: Key | None, most: int) -> list[ServiceIncidentAnswer]:
            found = service_incidents.listed(
                conn, only_open=state is not None, before=after[0] if after else None, limit=most
            )
            return [ServiceIncidentAnswer.model_validate(asdict(one)) for one in found]

        listing = Listing(
            ServiceIncidentAnswer, read, lambda row: (row.id,), (int,), lambda row: row
        )
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)


def known(conn: Connection, name: str) -> Endpoint:
    """Return the endpoint of that name.

    Raises
    ------
    NoSuch
        With the names that are nearest.
    """
    found = store.find(conn, name)
    if found is None:
        raise NoSuch("endpoint", name, nearest(name, (e.name for e in store.endpoints(conn))))
    return found


def _must_be_known(conn: Connection, name: str) -> None:
    """Refuse a name that nothing was ever sent to; what a removed endpoint got stays told."""
    if not reads.deliveries(conn, endpoint=name, limit=1):
        known(conn, name)


def endpoint_answers(conn: Connection, listed: list[Endpoint], now_ms: int) -> list[EndpointAnswer]:
    """Return endpoints as they are told, without their secrets."""
    tallies = reads.tallies_by_endpoint(conn)
    found = []
    for one in listed:
        tally = tallies.get(one.id, Tally())
        last = reads.last_attempt(conn, one.id)
        rotating = [s.until_ms for s in one.secrets if s.until_ms and s.until_ms > now_ms]
        found.append(
            EndpointAnswer(
                name=one.name,
                kind=one.kind,
                url=masked(one.url),
                starts=trainers.starts(one),
                state="enabled" if one.is_enabled else "disabled",
                disabled_reason=one.disabled_reason,
                disabled_ms=one.disabled_ms,
                created_ms=one.created_ms,
                fingerprint=admission.fingerprint_of(one),
                rotating_until_ms=max(rotating, default=None),
                delivered=tally.delivered,
                failed=tally.failed,
                pending=tally.pending,
                last_attempt_ms=None if last is None else last.at_ms,
                last_error=None if last is None else last.error,
                failing_since_ms=one.failing_since_ms,
            )  # type: ignore[call-arg]
        )
    return found


def delivery_detail(conn: Connection, id: int, *, shows_answers: bool = True) -> DeliveryDetail:
    """Return one delivery with all that is known of it.

    Without `shows_answers` no attempt tells what came back but its status: that is another
    machine's, and may hold anything.

    Raises
    ------
    NoSuch
        There is none of that number.
    """
    found = reads.deliveries(conn, delivery_id=id)
    if not found:
        raise NoSuch("delivery", str(id))
    tried = reads.attempts_of(conn, [id])[id]
    said = _said(found[0], tried)
    said["body"] = reads.body_of(conn, id)
    if not shows_answers:
        tried = [replace(each, response=None) for each in tried]
    said["tried"] = [AttemptAnswer.model_validate(each) for each in tried]
    return DeliveryDetail.model_validate(said)


def _said(one: Delivery, tried: list[Attempt]) -> dict[str, Any]:
    last = tried[-1] if tried else None
    return {
        **{name: getattr(one, name) for name in one.__slots__},
        "status": None if last is None else last.status,
        "error": None if last is None else last.error,
    }
