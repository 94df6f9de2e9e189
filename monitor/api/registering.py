"""Writing: `POST /api/v1/references`. The document was built where the data is; here it is read
with no trust in it, kept, and bound to a model version."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Engine
from starlette.concurrency import run_in_threadpool

from driftline.stats.document import refuse_too_many
from driftline.stats.frame import LAST_MS
from driftline.stats.reference import Reference
from monitor.api import openapi
from monitor.api.answers.registered import RegisteredAnswer
from monitor.api.problems import Problem
from monitor.clock import Clock
from monitor.storage.engine import transaction
from monitor.storage.registry import register_reference

MAX_TEXT = 2_000


class Registration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body: names, and the reference's document as it is."""

    model: str
    version: str
    reference: msgspec.Raw
    effective_from: datetime | None = None
    replaces: str | None = None
    owner: str | None = None
    description: str | None = None


BODY_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "version", "reference"],
                    "additionalProperties": False,
                    "properties": {
                        "model": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 200,
                            "examples": ["flight-delay"],
                        },
                        "version": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 200,
                            "examples": ["3"],
                        },
                        "reference": {
                            "type": "object",
                            "description": "the document that driftline.Client builds",
                        },
                        "effective_from": {"type": ["string", "null"], "format": "date-time"},
                        "replaces": {"type": ["string", "null"]},
                        "owner": {"type": ["string", "null"]},
                        "description": {"type": ["string", "null"]},
                    },
                }
            }
        },
    }
}


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the route; `actor` is who the audit names where a version is promoted."""
    routes = APIRouter(prefix="/api/v1")
    # Unpacked, one may take a gigabyte.
    one_at_a_time = asyncio.Lock()

    @routes.post(
        "/references",
        status_code=201,
        response_model=RegisteredAnswer,
        openapi_extra=BODY_SCHEMA,
        tags=["registered"],
        summary="Register a reference",
        responses={
            200: {"model": RegisteredAnswer, "description": "It was registered already"},
            **openapi.problems(403, 409, 413, 415, 421, 422, 503),
        },
    )
    async def register(request: Request, response: Response) -> RegisteredAnswer:
        """Keep a reference and bind it to a model version. The same one again changes nothing."""
        # A form of a foreign page cannot send this type without the browser asking first.
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(
                415, "The body must be JSON", f"It came as {kind[:80] or 'nothing'}.",
                mend="send Content-Type: application/json",
            )  # fmt: skip
        body = await request.body()
        async with one_at_a_time:
            answer = await run_in_threadpool(_register, engine, clock, body, actor)
        if not answer.created:
            response.status_code = 200
        return answer

    return routes


def _register(engine: Engine, clock: Clock, body: bytes, actor: str) -> RegisteredAnswer:
    try:
        asked = msgspec.json.decode(body, type=Registration)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(
            422, "The request is not valid", str(error),
            mend="see /api/v1/openapi.json for what is accepted",
        ) from None  # fmt: skip
    effective_from_ms = None
    if asked.effective_from is not None:
        if asked.effective_from.tzinfo is None:
            raise Problem(
                422, "effective_from has no offset", "A time without an offset is no instant.",
                mend='write it as "2013-02-01T00:00:00Z"',
            )  # fmt: skip
        effective_from_ms = int(asked.effective_from.timestamp() * 1000)
        if not 0 <= effective_from_ms < LAST_MS:
            raise Problem(
                422, "effective_from is out of range", "It lies outside the years 1970 to 2100.",
                mend="name an instant between them, or none",
            )  # fmt: skip
    for name in ("replaces", "owner", "description"):
        text = getattr(asked, name)
        most = MAX_TEXT if name == "description" else 200
        if text is not None and (len(text) > most or "\x00" in text):
            raise Problem(422, f"{name} is too long", f"At most {most} characters are kept.")
    document = bytes(asked.reference)
    refuse_too_many(document)
    reference = Reference.from_document(document)
    with transaction(engine) as conn:
        done = register_reference(
            conn,
            reference,
            model=asked.model,
            version=asked.version,
            now_ms=clock.now_ms(),
            effective_from_ms=effective_from_ms,
            replaces=asked.replaces,
            owner=asked.owner,
            description=asked.description,
            actor=actor,
        )
    return RegisteredAnswer(
        created=done.created,
        digest=done.digest,
        effective_from=datetime.fromtimestamp(done.effective_from_ms / 1000, UTC),
        warnings=list(done.warnings),
    )
