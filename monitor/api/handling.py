"""What people do about incidents: `POST /api/v1/incidents/{number}/acknowledge` and such.

Each is written down for good, with who said so. What is one problem is handled as one: what is
done to an incident is done to all that stand of its group, unless `alone` is asked for.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Body
from sqlalchemy.engine import Connection, Engine

from monitor.api import openapi
from monitor.api.answers.handled import (
    AssignBody,
    CommentBody,
    DoingBody,
    FeedbackBody,
    HandlingAnswer,
)
from monitor.api.parameters import Number
from monitor.api.problems import Problem
from monitor.api.reading.handled import handling_answer
from monitor.api.reading.incidents import TAG
from monitor.clock import Clock
from monitor.storage import notes, registry
from monitor.storage.acknowledging import tell_acknowledged
from monitor.storage.engine import transaction
from monitor.views.episodes import Group, group_of
from monitor.views.handled import NOTHING, Handled, handled, handled_alone

_WRITTEN: Final = {**openapi.problems(403, 404, 421, 422, 503), **openapi.unreadable()}
_OVER: Final = openapi.described(
    409,
    "It is over",
    "The incident is over",
    "incident 19 is resolved: nobody needs to look after it",
    "comment on it, or say whether it was useful",
)


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the routes; `actor` is who was let in."""
    routes = APIRouter(prefix="/api/v1/incidents/{number}", tags=[TAG])

    def written(
        number: int,
        action: str,
        by: str,
        text: str,
        *,
        is_alone: bool,
        comment: str = "",
        needs_open: bool = False,
    ) -> HandlingAnswer:
        """Write it down, unless it is so already."""
        who, now_ms = by or actor, clock.now_ms()
        with transaction(engine) as conn:
            group = group_of(conn, number)
            concerned = _concerned(group, number, is_alone)
            if needs_open and not concerned:
                raise Problem(
                    409,
                    "The incident is over",
                    f"incident {number} is {group.state}: nobody needs to look after it",
                    mend="comment on it, or say whether it was useful",
                )
            numbers = concerned or [number]
            if not _is_so(_found(conn, group, number, is_alone, now_ms), action, who, text):
                notes.add(conn, numbers, action, by=who, actor=actor, now_ms=now_ms, text=text)
                if action == notes.ACKNOWLEDGED:
                    tell_acknowledged(conn, numbers, who, now_ms=now_ms)
            if comment:
                notes.add(
                    conn,
                    [number],
                    notes.COMMENTED,
                    by=who,
                    actor=actor,
                    now_ms=now_ms,
                    text=comment,
                )
            registry.bump_data_version(conn)
            found = _found(conn, group, number, is_alone, now_ms)
            return handling_answer(numbers, found, now_ms)

    @routes.post(
        "/acknowledge",
        summary="Say that somebody looks after an incident",
        responses={**_WRITTEN, **_OVER},
    )
    def acknowledge(
        number: Number, asked: Annotated[DoingBody | None, Body()] = None
    ) -> HandlingAnswer:
        """It stays open, and others see who is at it; until it turns worse or opens again.

        An endpoint of kind pagerduty that was told of it is told of this.
        """
        asked = asked or DoingBody.model_validate({})
        return written(
            number,
            notes.ACKNOWLEDGED,
            asked.by,
            "",
            is_alone=asked.alone,
            comment=asked.comment,
            needs_open=True,
        )

    @routes.post(
        "/give-back", summary="Look after an incident no more", responses={**_WRITTEN, **_OVER}
    )
    def give_back(
        number: Number, asked: Annotated[DoingBody | None, Body()] = None
    ) -> HandlingAnswer:
        """Nobody looks after it from then on."""
        asked = asked or DoingBody.model_validate({})
        return written(
            number,
            notes.GIVEN_BACK,
            asked.by,
            "",
            is_alone=asked.alone,
            comment=asked.comment,
            needs_open=True,
        )

    @routes.post("/assign", summary="Say who is to look after an incident", responses=_WRITTEN)
    def assign(number: Number, asked: AssignBody) -> HandlingAnswer:
        """A name that people read; nobody is told by a message."""
        return written(number, notes.ASSIGNED, asked.by, asked.to, is_alone=asked.alone)

    @routes.post("/comment", summary="Comment on an incident", responses=_WRITTEN)
    def comment(number: Number, asked: CommentBody) -> HandlingAnswer:
        """It stands in the incident's history."""
        return written(number, notes.COMMENTED, asked.by, asked.text, is_alone=True)

    @routes.post("/feedback", summary="Say whether an incident was useful", responses=_WRITTEN)
    def feedback(number: Number, asked: FeedbackBody) -> HandlingAnswer:
        """Kept for whoever tunes the limits; it changes none."""
        action = notes.UNJUDGED if asked.verdict == "none" else asked.verdict
        return written(number, action, asked.by, "", is_alone=asked.alone, comment=asked.comment)

    return routes


def _concerned(group: Group, number: int, is_alone: bool) -> list[int]:
    """Return which incidents are looked after: those that stand."""
    members = [member for member in group.members if not is_alone or member.number == number]
    return [member.number for member in members if member.is_open]


def _found(conn: Connection, group: Group, number: int, is_alone: bool, now_ms: int) -> Handled:
    if is_alone:
        own = next(member for member in group.members if member.number == number)
        return handled_alone(conn, own, now_ms)
    return handled(conn, [group], now_ms).get(group.number, NOTHING)


def _is_so(found: Handled, action: str, who: str, text: str) -> bool:
    """Whether a request says what is known: the same one came twice."""
    state = found.handling
    match action:
        case notes.ACKNOWLEDGED:
            return state.acknowledged is not None and state.acknowledged.by == who
        case notes.GIVEN_BACK:
            return state.acknowledged is None
        case notes.ASSIGNED:
            return state.assignee == text
        case notes.USEFUL | notes.NOISE:
            return state.feedback == action
        case notes.UNJUDGED:
            return state.feedback is None
    return False
