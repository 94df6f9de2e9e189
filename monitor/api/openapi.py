"""How the API describes itself: every status with its type, every route with its words.

Problems are `application/problem+json`, answers JSON with an ETag, lists a
page; said once here and used by each route.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from monitor.api import csvs
from monitor.api.answers.common import ProblemAnswer
from monitor.api.problems import MEDIA_TYPE

SCHEMA = {"$ref": "#/components/schemas/Problem"}
DESCRIPTION = """\
What Driftline counted, judged and found: everything that its pages show.

Lists come as `{items, next}`: give `next` back as `cursor` for the following page. Instants are
RFC 3339 in UTC; ranges `[from, to)`. Names (of models, features, segments) are data and may hold
any character: percent-encode them. Every answer has a weak ETag: send it back as `If-None-Match`,
and 304 costs next to nothing. What cannot be answered is a problem (RFC 9457) whose `mend` says
what to do. `format=csv` or `Accept: text/csv` makes a table of a list.
"""
TAGS = {
    "registered": "Models, versions, references and how they are judged",
    "judged": "Windows, findings, one feature through time, and distributions",
    "incidents": "What went wrong, alone and in groups",
    "records": "What became of every record",
    "history": "What was counted elsewhere, and uploaded",
    "retraining": "When a model is retrained, and what became of it",
    "webhooks": "Where alerts are sent, and what became of each",
    "service": "The service itself",
}
_PROBLEMS: dict[int, tuple[str, str, str, str]] = {
    400: (
        "A parameter that is not known or comes twice",
        "There is no such parameter",
        "This address knows no parameter 'stat'.",
        "did you mean state?",
    ),
    403: (
        "Another site asked",
        "Another site may not write here",
        "The Origin header names another site.",
        "send the request from this site, or without a browser",
    ),
    404: (
        "What is asked for is not there",
        "There is no such model",
        "Nothing is called 'flight'.",
        "did you mean flight-delay? GET /api/v1/models lists what there is",
    ),
    409: (
        "Another reference is bound to this version",
        "Another reference is bound to this version",
        "flight-delay 3 is bound to reference c0ffee000000 already",
        "register a new version, or give effective_from: from when on this reference counts",
    ),
    413: (
        "The body is too large",
        "The body is too large",
        "At most 67,108,864 bytes are read here.",
        "send less",
    ),
    415: (
        "The body is not application/json",
        "The body must be JSON",
        "It came as text/plain.",
        "send Content-Type: application/json",
    ),
    421: (
        "The Host header names another machine",
        "This name is not served",
        "The Host header must name this machine's loopback address.",
        "ask http://127.0.0.1 or http://localhost",
    ),
    422: (
        "A value that makes no sense",
        "The request is not valid",
        "query.from: write an instant as 2013-02-08T10:15:00Z",
        "see /api/v1/openapi.json for what is accepted",
    ),
    401: (
        "The server asks for its token, and got none or another one",
        "A token is needed",
        "This server answers nobody without its token.",
        "send Authorization: Bearer TOKEN; driftline.Client and the command line take it from "
        "DRIFTLINE_TOKEN, people log in at /login",
    ),
    503: (
        "The database cannot be used now",
        "The database cannot be used now",
        "It did not answer, or refused; nothing was changed.",
        "try again in a moment; `driftline status` says whether it answers",
    ),
}
_ETAG = {
    "description": "Changes whenever the answer does; send it back as If-None-Match",
    "schema": {"type": "string", "examples": ['W/"5d41402abc4b2a76b9719d91"']},
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route for these statuses."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted(statuses):
        found.update(described(status, *_PROBLEMS[status]))
        if status == 503:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds", "schema": {"type": "string"}}
            }
    return found


def unreadable() -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route whose JSON is too long, or none."""
    return {
        **problems(413),
        **described(
            400,
            "The body cannot be read",
            "Bad Request",
            "There was an error parsing the body",
            "send JSON in UTF-8",
        ),
    }


def described(
    status: int, words: str, title: str, detail: str, mend: str
) -> dict[int | str, dict[str, Any]]:
    """Return one problem as a response, with an example."""
    example = {
        "type": "about:blank", "title": title, "status": status, "detail": detail, "mend": mend,
    }  # fmt: skip
    return {
        status: {
            "description": words,
            "content": {MEDIA_TYPE: {"schema": SCHEMA, "example": example}},
        }
    }


def told(
    kind: Any, summary: str, *statuses: int, csv: type[BaseModel] | str | None = None
) -> dict[str, Any]:
    """Return what a GET's decorator says of it.

    `csv`, a type or a header, says that there is a table too.
    """
    ok: dict[str, Any] = {"description": "The answer", "headers": {"ETag": _ETAG}}
    if csv is not None:
        head = csv if isinstance(csv, str) else ",".join(csvs.header(csv))
        ok["content"] = {csvs.MEDIA_TYPE: {"schema": {"type": "string"}, "example": f"{head}\r\n"}}
    return {
        "response_model": kind,
        "summary": summary,
        "responses": {
            200: ok,
            304: {"description": "What you have still holds", "headers": {"ETag": _ETAG}},
            **problems(400, 421, 422, 503, *statuses),
        },
    }


def _with_token(made: dict[str, Any]) -> None:
    """Say of every route under /api that a server with a token asks for it."""
    made["components"]["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "The server's token (DRIFTLINE_TOKEN). A server without one, which "
            "loopback alone may reach, asks for nothing.",
        }
    }
    for path, item in made["paths"].items():
        if path.startswith("/api/v1/hooks/mlflow/"):
            continue  # signed by its own secret
        if path.startswith("/api/"):
            for operation in item.values():
                operation["security"] = [{"token": []}, {}]
                for status, answer in problems(401).items():
                    operation["responses"].setdefault(str(status), answer)


def describe(app: FastAPI) -> None:
    """Make the app's description complete: kinds of problems, tags, words."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=DESCRIPTION,
                routes=app.routes,
                tags=[{"name": name, "description": words} for name, words in TAGS.items()],
            )
            made.setdefault("components", {}).setdefault("schemas", {})["Problem"] = (
                ProblemAnswer.model_json_schema()
            )
            _with_token(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
