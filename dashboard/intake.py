"""What a browser may ask of a callback: the question its own page puts, and nothing else.

Dash takes what it is sent apart before any of our code sees it, and breaks on what does not fit.
A tab that was opened before the server was upgraded asks questions that no longer exist: it is
told so (409), and `assets/live.js` offers to load the page anew.
"""

from __future__ import annotations

from typing import Annotated, Any

from dash import Dash
from dash.exceptions import DependencyException
from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PATH = "/_dash-update-component"
MAX_PLACES = 100
# Pages send objects in lists in objects; JSON nested deeper breaks those who walk it.
MAX_DEPTH = 20
Name = Annotated[str, Field(max_length=200)]


class _Place(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    id: Name
    property: Name


class _Question(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    output: Annotated[str, Field(max_length=20_000)]
    outputs: _Place | list[_Place]
    inputs: Annotated[list[_Place], Field(max_length=MAX_PLACES)]
    state: Annotated[list[_Place], Field(max_length=MAX_PLACES)] = []
    changed: Annotated[list[Name], Field(alias="changedPropIds", max_length=MAX_PLACES)] = []


def install(app: Dash) -> None:
    """Answer what no page of this app asks, before Dash reads it."""

    def checked() -> Response | None:
        if request.path != PATH or request.method != "POST":
            return None
        try:
            said = request.get_json()
        except RecursionError:
            said = None
        if said is None or _is_deep(said):
            return _answer(400, "This is no question of a page: it is nested too deep, or empty.")
        try:
            question = _Question.model_validate(said)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"][:4])
            return _answer(400, f"This is no question of a page: {where or 'body'}: {first['msg']}")
        if not _is_known(app, question):
            return _answer(
                409,
                "This page was loaded from another version of Driftline, or from none. Load it "
                "anew.",
            )
        return None

    # Dash's own, which knows the callbacks, comes first.
    app.server.before_request(checked)
    app.server.register_error_handler(
        DependencyException, lambda _error: _answer(404, "There is no such part of the page.")
    )


def _is_known(app: Dash, question: _Question) -> bool:
    known = app.callback_map.get(question.output)
    if known is None or "callback" not in known:
        return False
    outputs = question.outputs if isinstance(question.outputs, list) else [question.outputs]
    said = ".." + "...".join(f"{one.id}.{one.property}" for one in outputs) + ".."
    is_list = question.output.startswith("..")
    return (
        is_list == isinstance(question.outputs, list)
        and said.strip(".") == question.output.strip(".")
        and _names(question.inputs) == [(one["id"], one["property"]) for one in known["inputs"]]
        and _names(question.state) == [(one["id"], one["property"]) for one in known["state"]]
    )


def _names(places: list[_Place]) -> list[tuple[str, Any]]:
    return [(place.id, place.property) for place in places]


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _answer(status: int, words: str) -> Response:
    answer = jsonify({"title": words, "status": status})
    answer.status_code = status
    return answer
