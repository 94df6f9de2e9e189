"""Silences, and what was done about incidents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering, Listing
from monitor.api.answers.common import Page
from monitor.api.answers.handled import (
    HandlingAnswer,
    HandlingList,
    NoteAnswer,
    SilenceAnswer,
)
from monitor.api.cursors import Key
from monitor.api.parameters import Cursor, Format, Limit, Number
from monitor.clock import Clock
from monitor.detect.silencing import Silence
from monitor.storage import silences as store
from monitor.views.episodes import group_of
from monitor.views.handled import NOTHING, Handled, handled, handled_alone

TAG = "incidents"
MOST_NOTES = 200
# As many as a page of incidents has.
MOST_AT_ONCE = 200

SilenceState = Annotated[
    Literal["all", "standing", "scheduled", "active", "over"],
    Query(description="`standing` ones are not over", examples=["standing"]),
]
Alone = Annotated[
    bool, Query(description="Of this incident alone, not of its group", examples=[True])
]
Several = Annotated[
    list[int],
    Query(
        min_length=1,
        max_length=MOST_AT_ONCE,
        description="Numbers of incidents; each stands for what is one problem with it",
        examples=[[19, 3]],
    ),
]


def add(routes: APIRouter, answering: Answering, clock: Clock) -> None:
    """Add the routes."""

    @routes.get(
        "/silences",
        tags=[TAG],
        **openapi.told(Page[SilenceAnswer], "List silences", csv=SilenceAnswer),
    )
    def silences(
        request: Request,
        state: SilenceState = "all",
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """The newest first, those that are over, too."""
        now_ms = clock.now_ms()
        states = {"all": ("scheduled", "active", "over"), "standing": ("scheduled", "active")}
        wanted = states.get(state, (state,))

        def read(conn: Connection, after: Key | None, most: int) -> list[Silence]:
            before = int(after[0]) if after else None
            found = store.silences(conn, before=before)
            return [silence for silence in found if silence.state(now_ms) in wanted][:most]

        listing = Listing(
            SilenceAnswer, read, lambda s: (s.number,), (int,), lambda s: silence_answer(s, now_ms)
        )
        return answering.page(
            request,
            listing,
            limit=limit,
            cursor=cursor,
            format_=format,
            by_content=True,
            filename=("silences",),
        )

    @routes.get(
        "/incidents/{number}/handling",
        tags=[TAG],
        **openapi.told(HandlingAnswer, "Get what was done about an incident", 404),
    )
    def incident_handling(request: Request, number: Number, alone: Alone = False) -> Response:
        """Who looks after it, what was said of it, and whether it is silenced."""
        now_ms = clock.now_ms()

        def read(conn: Connection) -> HandlingAnswer:
            group = group_of(conn, number)
            if alone:
                own = next(one for one in group.members if one.number == number)
                return handling_answer([number], handled_alone(conn, own, now_ms), now_ms)
            found = handled(conn, [group], now_ms).get(group.number, NOTHING)
            return handling_answer([one.number for one in group.members], found, now_ms)

        return answering.one(request, read, by_content=True)

    @routes.get(
        "/handling",
        tags=[TAG],
        **openapi.told(HandlingList, "Get what was done about several incidents", 404),
    )
    def handlings(request: Request, incident: Several) -> Response:
        """One answer for each number, in their order: what a list of incidents shows, too."""
        now_ms = clock.now_ms()

        def read(conn: Connection) -> HandlingList:
            groups = [group_of(conn, number) for number in incident]
            found = handled(conn, groups, now_ms)
            return HandlingList(
                items=[
                    handling_answer(
                        [one.number for one in group.members],
                        found.get(group.number, NOTHING),
                        now_ms,
                    )
                    for group in groups
                ]
            )

        return answering.one(request, read, by_content=True)


def silence_answer(silence: Silence, now_ms: int) -> SilenceAnswer:
    """Return a silence as it is told."""
    values = {name: getattr(silence, name) for name in silence.__slots__}
    return SilenceAnswer.model_validate(values | {"state": silence.state(now_ms)})


def handling_answer(numbers: Sequence[int], found: Handled, now_ms: int) -> HandlingAnswer:
    """Return what was done about incidents as it is told."""
    done = found.handling
    return HandlingAnswer.model_validate(
        {
            "incidents": list(numbers),
            "acknowledged_by": done.acknowledged.by if done.acknowledged else None,
            "acknowledged": done.acknowledged.at_ms if done.acknowledged else None,
            "assignee": done.assignee or None,
            "feedback": done.feedback,
            "silence": silence_answer(found.silence, now_ms) if found.silence else None,
            "notes": [NoteAnswer.model_validate(note) for note in done.notes[-MOST_NOTES:]],
        }
    )
