"""Writing endpoints: `POST /api/v1/endpoints` and what is done to one of them.

A secret goes in, and out only in the answer to the request that had it made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Response
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict, InvalidEndpoint
from driftline.program import NAME
from driftline.webhooks import key_of, new_secret
from monitor.alerts import messages
from monitor.alerts.admission import admit, secret_of
from monitor.alerts.guard import Network
from monitor.api import openapi
from monitor.api.answers.endpoints import (
    DeliveryDetail,
    DisablingBody,
    EndpointAnswer,
    EndpointBody,
    EndpointGone,
    EndpointTold,
    RotationBody,
)
from monitor.api.problems import Problem
from monitor.api.reading.deliveries import (
    TAG,
    EndpointName,
    delivery_detail,
    endpoint_answers,
    known,
)
from monitor.clock import Clock
from monitor.masking import masked
from monitor.storage import endpoints as store
from monitor.storage import models, outbox
from monitor.storage import routes as routing
from monitor.storage.engine import transaction

# Typed in a shell and written in addresses: nothing that needs quotes there.
NAMES: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TAKEN = openapi.described(
    409,
    "The name belongs to another address, or the endpoint is disabled",
    "The name is taken",
    "endpoint on-call sends to https://hooks.example/drift already",
    "take another name, or remove it first",
)
_WRITTEN = openapi.problems(403, 404, 421, 422, 503)


def router(engine: Engine, clock: Clock, allow: Sequence[Network], *, actor: str) -> APIRouter:
    """Return the routes; `allow` as `alerts.allow` says it, `actor` is who the audit names."""
    routes = APIRouter(prefix="/api/v1", tags=[TAG])

    def note(conn: Connection, verb: str, name: str, **detail: Any) -> None:
        models.note(
            conn, actor=actor, action=f"endpoint.{verb}", subject=name, now_ms=clock.now_ms(),
            **detail,
        )  # fmt: skip

    @routes.post(
        "/endpoints",
        status_code=201,
        summary="Add an endpoint",
        responses={
            200: {"model": EndpointTold, "description": "It was there already"},
            **openapi.problems(403, 421, 422, 503),
            **openapi.unreadable(),
            **TAKEN,
        },
    )
    def add_endpoint(asked: EndpointBody, response: Response) -> EndpointTold:
        """Send every alert there from now on; to a trainer, its requests for a retraining alone.

        The same name and address again change nothing, not even the secret: `fingerprint` tells
        which one it has.
        """
        _check_name(asked.name)
        admitted = admit(asked.kind, asked.url, asked.secret, asked.given, allow)
        made, now_ms = admitted.made, clock.now_ms()
        with transaction(engine) as conn:
            try:
                found, is_new = store.add(
                    conn, asked.name, asked.url, admitted.secret, now_ms=now_ms, kind=asked.kind,
                    settings=admitted.settings,
                )  # fmt: skip
            except Conflict as error:
                raise Problem(
                    409, "The name is taken", str(error),
                    mend=f"choose another name, or `{NAME} endpoint remove {asked.name}` first",
                ) from None  # fmt: skip
            if is_new:
                note(conn, "add", asked.name, url=masked(asked.url))
            else:
                response.status_code = 200
                made = None
            answer = endpoint_answers(conn, [found], now_ms)[0]
        return EndpointTold(**dict(answer), is_new=is_new, secret=made, warnings=admitted.warnings)

    @routes.delete(
        "/endpoints/{name}", summary="Remove an endpoint", responses={**_WRITTEN, **TAKEN}
    )
    def remove_endpoint(name: EndpointName) -> EndpointGone:
        """Send nothing there any more, and forget its secret. What was sent stays listed."""
        with transaction(engine) as conn:
            found = known(conn, name)
            mend = _named_by(conn, found.id)
            if mend is not None:
                raise Problem(
                    409, "A route sends there", f"Messages of a model go to {name} by a route.",
                    mend=f"set the route otherwise, or `{mend}` first",
                )  # fmt: skip
            cancelled = messages.remove(conn, found, clock.now_ms())
            note(conn, "remove", name, cancelled=cancelled)
        return EndpointGone(name=name, cancelled=cancelled)

    @routes.post("/endpoints/{name}/enable", summary="Enable an endpoint", responses=_WRITTEN)
    def enable_endpoint(name: EndpointName) -> EndpointAnswer:
        """Send there again: what has waited, and what is decided from now on."""
        with transaction(engine) as conn:
            messages.enable(conn, known(conn, name), clock.now_ms())
            note(conn, "enable", name)
            return _answer(conn, name)

    @routes.post(
        "/endpoints/{name}/disable",
        summary="Disable an endpoint",
        responses={**_WRITTEN, **openapi.unreadable()},
    )
    def disable_endpoint(
        name: EndpointName, asked: Annotated[DisablingBody | None, Body()] = None
    ) -> EndpointAnswer:
        """Send nothing there for now. What waits keeps waiting; what is decided is not kept."""
        reason = (asked or DisablingBody()).reason
        with transaction(engine) as conn:
            if store.disable(conn, known(conn, name).id, reason, now_ms=clock.now_ms()):
                note(conn, "disable", name, reason=reason)
            return _answer(conn, name)

    @routes.post(
        "/endpoints/{name}/rotate",
        summary="Replace an endpoint's secret",
        responses={**_WRITTEN, **openapi.unreadable()},
    )
    def rotate_endpoint(
        name: EndpointName, asked: Annotated[RotationBody | None, Body()] = None
    ) -> EndpointTold:
        """Sign with a new secret from now on, and with the one before for a while, too."""
        asked = asked or RotationBody()
        now_ms = clock.now_ms()
        with transaction(engine) as conn:
            found = known(conn, name)
            is_webhook = found.kind == store.WEBHOOK
            made = new_secret() if asked.secret is None and is_webhook else None
            secret = (
                made
                if made is not None
                else secret_of(found.kind, asked.secret or "", found.settings)
            )
            # The same request again, after an answer that was lost.
            if not found.secrets or not _is_same(found, secret):
                # What is no signature is replaced at once.
                overlap_ms = asked.overlap_s * 1_000 if is_webhook else 0
                store.rotate(conn, found, secret, now_ms=now_ms, until_ms=now_ms + overlap_ms)
                note(conn, "rotate", name)
            answer = _answer(conn, name)
        return EndpointTold(**dict(answer), is_new=False, secret=made, warnings=[])

    @routes.post(
        "/endpoints/{name}/test",
        status_code=202,
        summary="Send a test to an endpoint",
        responses={**_WRITTEN, **TAKEN},
    )
    def test_endpoint(name: EndpointName) -> DeliveryDetail:
        """Enqueue a message that says nothing; the delivery tells what became of it. Tried once.

        A trainer is asked whether it could start a training, and starts none.
        """
        now_ms = clock.now_ms()
        with transaction(engine) as conn:
            found = known(conn, name)
            message = messages.endpoint_test(found, now_ms)
            if not outbox.enqueue_for(conn, found.id, message, now_ms):
                raise Problem(
                    409, "The endpoint is disabled", f"Why: {found.disabled_reason}.",
                    mend=f"`{NAME} endpoint enable {name}` first",
                )  # fmt: skip
            return delivery_detail(conn, outbox.number_of(conn, found.id, message.webhook_id))

    def _answer(conn: Connection, name: str) -> EndpointAnswer:
        return endpoint_answers(conn, [known(conn, name)], clock.now_ms())[0]

    return routes


def _named_by(conn: Connection, endpoint_id: int) -> str | None:
    """Return how to remove a route that sends to an endpoint; None where none does."""
    for one in routing.listed(conn):
        if endpoint_id in one.route.endpoints:
            return f"{NAME} route remove {one.model} {one.name}"
    return None


def _is_same(found: store.Endpoint, secret: str) -> bool:
    before = found.secrets[0].value
    return key_of(before) == key_of(secret) if found.kind == store.WEBHOOK else before == secret


def _check_name(name: str) -> None:
    if NAMES.fullmatch(name) is None:
        raise InvalidEndpoint(
            f"an endpoint's name has 1 to 100 letters, digits, dots, dashes and underscores, and "
            f"begins with a letter or a digit, not {name[:40]!r}"
        )
