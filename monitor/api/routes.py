"""Routes of a model's messages: listed, set, removed. Written into the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.engine import Connection, Engine

from monitor.api import openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.routes import RouteAnswer, RouteBody, RouteGone
from monitor.api.asking import only_known
from monitor.api.endpoints import NAMES
from monitor.api.parameters import AnyModel, Cursor, Limit, ModelPath
from monitor.api.problems import Problem
from monitor.api.reading.deliveries import TAG, known
from monitor.api.reading.finding import find_model
from monitor.clock import Clock
from monitor.detect.routes import EVENTS, Quiet, Route, is_hours
from monitor.storage import endpoints, models
from monitor.storage import routes as store
from monitor.storage.engine import transaction
from monitor.storage.routes import Named
from monitor.views.scope import NoSuch, nearest

_Name = Annotated[str, Path(max_length=100, description="A route's name", examples=["night"])]
_WRITTEN = {**openapi.problems(403, 404, 421, 422, 503)}


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the routes of the API about routes of messages; `actor` is who the audit names."""
    routes = APIRouter(prefix="/api/v1", tags=[TAG])

    answering = Answering(engine)

    @routes.get(
        "/routes", dependencies=[Depends(only_known)],
        **openapi.told(Page[RouteAnswer], "List routes", 404),
    )  # fmt: skip
    def list_routes(
        request: Request, model: AnyModel = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """By model and name. A model without any sends all its messages to every endpoint."""

        def read(conn: Connection) -> list[RouteAnswer]:
            if model is not None:
                find_model(conn, model)
            return _answers(conn, store.listed(conn, model))

        def key(row: RouteAnswer) -> tuple[Any, ...]:
            return (row.model, row.name)

        listing = Listing(RouteAnswer, whole(read, key), key, (str, str), lambda row: row)
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)

    @routes.put(
        "/models/{name:path}/routes/{route}",
        summary="Set a route",
        responses={**_WRITTEN, **openapi.unreadable()},
    )
    def set_route(name: ModelPath, route: _Name, asked: RouteBody) -> RouteAnswer:
        """Let these messages of the model go there from now on; again changes nothing.

        From the first route on, what no route takes goes nowhere. Whoever was told of an alert is
        told of it until its end all the same.
        """
        if NAMES.fullmatch(route) is None:
            raise Problem(
                422, "The route's name cannot be", f"{route[:40]!r} is no name.",
                mend="letters, digits, dots, dashes and underscores",
            )  # fmt: skip
        unknown = [event for event in asked.events if event not in EVENTS]
        if unknown:
            raise Problem(
                422, "There is no such event", f"{unknown[0][:60]!r} is never sent of a model.",
                mend=f"one of {', '.join(EVENTS)}",
            )  # fmt: skip
        with transaction(engine) as conn:
            model = find_model(conn, name)
            quiet = _quiet(asked, model.timezone)
            named = [known(conn, each) for each in asked.endpoints]
            _no_trainer(named, asked.events)
            numbers = tuple(sorted({each.id for each in named}))
            events = tuple(dict.fromkeys(asked.events))
            made = Route(events, asked.severity, numbers, quiet, asked.repeat_hours)
            if store.put(conn, model.id, route, made, now_ms=clock.now_ms()):
                models.note(
                    conn, actor=actor, action="route.set", subject=name, now_ms=clock.now_ms(),
                    route=route, **asked.model_dump(exclude_none=True),
                )  # fmt: skip
            [answer] = [
                each for each in _answers(conn, store.listed(conn, name)) if each.name == route
            ]
            return answer

    @routes.delete(
        "/models/{name:path}/routes/{route}", summary="Remove a route", responses=_WRITTEN
    )
    def remove_route(name: ModelPath, route: _Name) -> RouteGone:
        """Without any, all messages of the model go to every endpoint again."""
        with transaction(engine) as conn:
            model = find_model(conn, name)
            if not store.remove(conn, model.id, route):
                others = (each.name for each in store.listed(conn, name))
                raise NoSuch("route", route, nearest(route, others))
            models.note(
                conn, actor=actor, action="route.remove", subject=name, now_ms=clock.now_ms(),
                route=route,
            )  # fmt: skip
        return RouteGone(model=name, name=route)

    return routes


def _no_trainer(named: Sequence[endpoints.Endpoint], events: Sequence[str]) -> None:
    """Refuse to send alerts where each message starts a training.

    Raises
    ------
    Problem
        With the way to let a trainer train.
    """
    for each in named:
        alerts = [one for one in events if one.partition(".")[0] != "retrain"]
        if each.is_trainer and alerts:
            raise Problem(
                422, "A trainer takes no alerts",
                f"{each.name} ({each.kind}) takes requests for a retraining alone, no {alerts[0]}.",
                mend="name it as the trainer of the model's retraining policy, and route alerts "
                "to another endpoint",
            )  # fmt: skip


def _quiet(asked: RouteBody, timezone: str) -> Quiet | None:
    zone = asked.timezone or timezone
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise Problem(
            422, "There is no such time zone", f"{zone[:64]!r} is none.",
            mend="an IANA name such as Europe/Berlin",
        ) from None  # fmt: skip
    if asked.quiet is None:
        return None
    if not is_hours(asked.quiet):
        raise Problem(
            422, "The quiet hours cannot be", f"{asked.quiet!r} is no part of a day.",
            mend="hours such as 22:00-07:00",
        )  # fmt: skip
    return Quiet(asked.quiet, zone)


def _answers(conn: Connection, found: list[Named]) -> list[RouteAnswer]:
    names = {one.id: one.name for one in endpoints.endpoints(conn)}
    return [RouteAnswer.model_validate(_said(one, names)) for one in found]


def _said(one: Named, names: dict[int, str]) -> dict[str, Any]:
    route = one.route
    return {
        "model": one.model,
        "name": one.name,
        "events": list(route.events),
        "severity": route.severity,
        "endpoints": sorted(names[number] for number in route.endpoints if number in names),
        "quiet": None if route.quiet is None else route.quiet.hours,
        "timezone": None if route.quiet is None else route.quiet.timezone,
        "repeat_hours": route.repeat_hours,
        "created_ms": one.created_ms,
    }
