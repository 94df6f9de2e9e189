"""Errors as `application/problem+json` (RFC 9457), each naming what mends it.

Nothing of the inside is shown: no traceback, no path, no SQL.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from driftline.errors import (
    Conflict,
    InvalidEndpoint,
    InvalidReference,
    SchemaVersionError,
    StorageError,
    StorageUnavailable,
)
from driftline.program import NAME
from monitor.views.scope import NoSuch

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
MAX_SHOWN = 200
# Where the names of a kind are listed.
LISTS = {
    "model": "GET /api/v1/models",
    "version": "GET /api/v1/versions",
    "feature": "GET /api/v1/features",
    "segment": "GET /api/v1/segments",
    "incident": "GET /api/v1/incidents",
    "reference": "GET /api/v1/references",
    "statistic": "GET /api/v1/series, in `statistics`,",
    "dead letter": "GET /api/v1/dead-letters",
    "endpoint": "GET /api/v1/endpoints",
    "delivery": "GET /api/v1/deliveries",
    "hook": "GET /api/v1/hooks",
    "route": "GET /api/v1/routes",
    "silence": "GET /api/v1/silences",
    "retraining request": "GET /api/v1/retrains",
    "upload": "GET /api/v1/uploads",
}


class Problem(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, title: str, detail: str = "", *, mend: str = "") -> None:
        self.status, self.title, self.detail, self.mend = status, title, detail, mend
        super().__init__(title)


def problem_body(status: int, title: str, detail: str = "", mend: str = "") -> dict[str, Any]:
    """Return the document: members without a value are left out."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "mend": mend}
    return {key: value for key, value in body.items() if value != ""}


def response(status: int, title: str, detail: str = "", mend: str = "") -> JSONResponse:
    """Return the document as an answer."""
    headers = (
        {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    )
    return JSONResponse(
        problem_body(status, title, detail, mend),
        status_code=status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    handlers: dict[type[Exception], Any] = {
        Problem: _problem,
        NoSuch: _no_such,
        HTTPException: _http,
        RequestValidationError: _invalid_request,
        InvalidReference: _invalid_reference,
        InvalidEndpoint: _invalid_endpoint,
        Conflict: _conflict,
        SchemaVersionError: _schema_version,
        StorageUnavailable: _unavailable,
        StorageError: _unavailable,
        DataError: _unstorable,
        SQLAlchemyError: _unavailable,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _problem(_request: Request, error: Problem) -> JSONResponse:
    return response(error.status, error.title, error.detail, error.mend)


async def _no_such(_request: Request, error: NoSuch) -> JSONResponse:
    likely = f"did you mean {' or '.join(error.nearest)}? " if error.nearest else ""
    return response(
        404,
        f"There is no such {error.kind}",
        f"Nothing is called {error.name[:MAX_SHOWN]!r}.",
        f"{likely}{LISTS.get(error.kind, LISTS['model'])} lists what there is",
    )


async def _http(_request: Request, error: HTTPException) -> JSONResponse:
    return response(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail))


async def _invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    said = "; ".join(
        # What our own checks say stands behind a prefix that tells a caller nothing.
        f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    )
    return response(
        422, "The request is not valid", said, "see /api/v1/openapi.json for what is accepted"
    )


async def _invalid_reference(_request: Request, error: InvalidReference) -> JSONResponse:
    return response(422, "The reference is not valid", str(error), "build it with driftline.Client")


async def _invalid_endpoint(_request: Request, error: InvalidEndpoint) -> JSONResponse:
    return response(
        422,
        "The endpoint is not valid",
        str(error),
        "see /api/v1/openapi.json for what is accepted",
    )


async def _conflict(_request: Request, error: Conflict) -> JSONResponse:
    return response(
        409,
        "Another reference is bound to this version",
        str(error),
        "register a new version, or give effective_from: from when on this reference counts",
    )


async def _schema_version(_request: Request, error: SchemaVersionError) -> JSONResponse:
    return response(
        503,
        "The database is of another release",
        f"It is at schema {error.found or 'none'}, this server knows {error.expected}.",
        f"run a newer release of {NAME}" if error.is_newer else f"run `{NAME} db upgrade` where "
        "the server runs",
    )  # fmt: skip


async def _unavailable(_request: Request, _error: Exception) -> JSONResponse:
    return response(
        503,
        "The database cannot be used now",
        "It did not answer, or refused; nothing was changed.",
        f"try again in a moment; `{NAME} status` says whether it answers",
    )


async def _unstorable(_request: Request, _error: Exception) -> JSONResponse:
    return response(
        422,
        "A value that this database cannot hold",
        "It keeps no text with a NUL in it, and no number beyond 64 bits.",
        "ask for something that can be there",
    )


async def _unexpected(_request: Request, _error: Exception) -> JSONResponse:
    return response(500, "An error of Driftline's own", "The server's log has the details.")
