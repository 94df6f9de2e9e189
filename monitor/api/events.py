"""`POST /api/v1/events`: events for who has no Kafka client. They are produced to the broker.

Every event is checked as consumers would. One that they would refuse refuses the request, and
nothing is written. What is accepted was acknowledged by all of Kafka's replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from driftline.admissible import MAX_FAULTS, Checked, Fault, check_lines, check_stream, printable
from driftline.delivering import Delivery
from driftline.errors import BrokerUnavailable, DataError, MissingExtra, StreamError
from driftline.events import JSON_SCHEMA
from driftline.producer import ARROW
from monitor.api import openapi
from monitor.api.answers.common import said
from monitor.api.problems import MEDIA_TYPE, Problem, problem_body, response
from monitor.clock import Clock

# A tenth of a second of work, and a few records of Kafka's size.
MAX_EVENTS_BYTES: Final = 5 * 1024 * 1024
# Of JSON, each of five bytes; of two bytes each, they would take half a gigabyte.
MAX_VALUES: Final = 1_000_000
_MARKS: Final = (b",", b"[", b"{", b"\n")
FAULTS_TOLD: Final = 20
_JSON: Final = "application/json"
# What some editors and Windows programs put before UTF-8: no part of what follows.
_BOM: Final = b"\xef\xbb\xbf"
_NDJSON: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")

_PREDICTION: Final = {
    "type": "prediction",
    "id": "7f3a",
    "model": "churn",
    "version": "3",
    "time": "2025-02-08T10:15:00Z",
    "features": {"age": 41, "plan": "pro", "tenure": None},
    "prediction": {"class": "stays", "score": 0.73},
}
_LABEL: Final = {
    "type": "label",
    "id": "7f3a",
    "model": "churn",
    "time": "2025-03-08T00:00:00Z",
    "label": 0,
}
_EVENT: Final = {key: value for key, value in JSON_SCHEMA.items() if key != "$schema"}
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "One event, an array of them, one a line, or an Arrow IPC stream.",
        "content": {
            _JSON: {
                "schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT, "minItems": 1}]},
                "examples": {
                    "prediction": {"summary": "One prediction", "value": _PREDICTION},
                    "several": {"summary": "With its label", "value": [_PREDICTION, _LABEL]},
                },
            },
            _NDJSON[0]: {
                "schema": {"type": "string", "description": "One JSON object a line."},
                "example": "\n".join(
                    msgspec.json.encode(event).decode() for event in (_PREDICTION, _LABEL)
                ),
            },
            ARROW: {
                "schema": {"type": "string", "format": "binary"},
            },
        },
    }
}


class AcceptedAnswer(BaseModel):
    """What was written to Kafka."""

    accepted: int = said("How many events; all replicas have them", 2)


def router(clock: Clock, delivery: Delivery | None) -> APIRouter:
    """Return the route; without a `delivery` it answers that there is no broker."""
    routes = APIRouter(prefix="/api/v1")

    @routes.post(
        "/events",
        status_code=202,
        response_model=AcceptedAnswer,
        openapi_extra=BODY,
        tags=["records"],
        summary="Log events",
        responses=openapi.problems(403, 413, 415, 421, 422, 503),
    )
    async def log_events(request: Request) -> Any:
        """Write events to Kafka, where consumers read them: all of them, or none.

        A bad one is told with its line (or its place in the array), `reason` and `detail` in
        `faults`, the first 20. After a 503 some events may have been written all the same: sent
        again, they are counted twice.
        """
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in (_JSON, *_NDJSON, ARROW):
            raise Problem(
                415, "The body must be events", f"It came as {printable(kind)[:80] or 'nothing'}.",
                mend=f"send Content-Type: {_JSON}, {_NDJSON[0]} or {ARROW}",
            )  # fmt: skip
        body = await request.body()
        return await run_in_threadpool(_logged, clock, delivery, kind, body)

    return routes


def _logged(clock: Clock, delivery: Delivery | None, kind: str, body: bytes) -> Any:
    try:
        checked = _checked(kind, body, clock.now_ms())
    except DataError as error:
        return _refused([Fault(1, error.reason, printable(error.detail))])
    except MissingExtra as error:
        raise Problem(415, "This server reads no Arrow", str(error)) from None
    if checked.faults:
        return _refused(checked.faults)
    if not checked.n_events:
        return _refused([Fault(1, "empty", "there is no event")])
    if delivery is None:
        return response(
            503,
            "This server has no broker",
            "It was started without the address of one; nothing was written.",
            "start it with kafka.bootstrap set",
        )
    try:
        delivery.deliver(list(checked.records()))
    except BrokerUnavailable as error:
        return response(
            503,
            "The broker cannot be reached now",
            f"{error}.",
            "try again in a moment; what was written already is then counted twice",
        )
    except StreamError as error:
        raise Problem(
            422, "The broker refuses this", str(error), mend="send fewer or smaller events"
        ) from None
    return AcceptedAnswer(accepted=checked.n_events)


def _checked(kind: str, body: bytes, now_ms: int) -> Checked:
    if kind == ARROW:
        return check_stream(body, now_ms, MAX_EVENTS_BYTES)
    n = sum(map(body.count, _MARKS))
    if n > MAX_VALUES:
        raise DataError("oversized", f"{n:,} values, {MAX_VALUES:,} are allowed")
    lines = enumerate(_objects(body), 1) if kind == _JSON else _lines(body)
    return check_lines(lines, now_ms, MAX_FAULTS)


def _objects(body: bytes) -> list[bytes]:
    """The one object, or those of an array; each as it was written."""
    body = body.removeprefix(_BOM)
    if body.lstrip()[:1] != b"[":
        return [body]
    try:
        return [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError("bad_json", str(error)) from None


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    lines = body.removeprefix(_BOM).split(b"\n")
    return ((n, line) for n, line in enumerate(lines, 1) if line.strip())


def _refused(faults: list[Fault]) -> JSONResponse:
    """Nothing was written; the document says which events are wrong."""
    first = faults[0]
    n_more = len(faults) - 1
    detail = f"Event {first.line}: {first.reason}{f' ({first.detail})' if first.detail else ''}"
    more = "more" if len(faults) >= MAX_FAULTS else f"{n_more:,} more"
    detail += f", and {more}." if n_more else "."
    body = problem_body(
        422,
        "These events cannot be counted",
        f"{detail} Nothing was written.",
        "mend them, or send the others without them; /api/v1/schemas/event.json says what an "
        "event is",
    )
    told = [asdict(fault) for fault in faults[:FAULTS_TOLD]]
    return JSONResponse({**body, "faults": told}, status_code=422, media_type=MEDIA_TYPE)
