"""Incidents: alone, with their history, and in groups."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering, Listing
from monitor.api.answers.common import Page
from monitor.api.answers.incidents import (
    EpisodeAnswer,
    EventAnswer,
    IncidentAnswer,
    IncidentDetail,
)
from monitor.api.cursors import Key
from monitor.api.parameters import (
    MAX_INT,
    MIN_INT,
    AnyFeature,
    AnyKind,
    AnyModel,
    AnySegment,
    AnyVersion,
    Cursor,
    Format,
    From,
    Limit,
    Number,
    State,
    States,
    To,
    span,
)
from monitor.api.reading.finding import check_names, find_model, version_ids
from monitor.storage import reads
from monitor.storage.rows import OPEN_STATES, TOLD_STATES, Incident
from monitor.views.scope import NoSuch

TAG = "incidents"


def add(routes: APIRouter, answering: Answering) -> None:
    """Add the routes."""

    @routes.get(
        "/incidents", tags=[TAG],
        **openapi.told(Page[IncidentAnswer], "List incidents", 404, csv=IncidentAnswer),
    )  # fmt: skip
    def incidents(
        request: Request,
        model: AnyModel = None,
        version: AnyVersion = None,
        state: States = None,
        segment: AnySegment = None,
        feature: AnyFeature = None,
        kind: AnyKind = None,
        from_: From = None,
        to: To = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """The newest first; a range asks for those that stood in it."""
        from_ms, to_ms = span(from_, to)

        def read(conn: Connection, after: Key | None, most: int) -> list[Incident]:
            found = reads.incidents(
                conn, version_ids=version_ids(conn, model, version), segment=segment,
                feature=feature, kind=kind,
                states=_states(state), from_ms=from_ms, to_ms=to_ms,
                before=after[0] if after else None, limit=most,
            )  # fmt: skip
            if not found and after is None and model is not None:
                owner = find_model(conn, model)
                check_names(conn, owner.versions, segment=segment, feature=feature)
            return found

        listing = Listing(IncidentAnswer, read, lambda i: (i.number,), (int,), incident_answer)
        return answering.page(
            request, listing, limit=limit, cursor=cursor, format_=format,
            filename=("incidents", model, version),
        )  # fmt: skip

    @routes.get(
        "/incidents/{number}", tags=[TAG],
        **openapi.told(IncidentDetail, "Get one incident", 404),
    )  # fmt: skip
    def incident(request: Request, number: Number) -> Response:
        """With its history, the oldest line first."""

        def read(conn: Connection) -> IncidentDetail:
            # A number that no database holds is asked of none.
            is_possible = MIN_INT <= number <= MAX_INT
            states = (*TOLD_STATES, "pending")
            found = reads.incidents(conn, number=number, states=states) if is_possible else []
            if not found:
                near = max(MIN_INT, min(number, MAX_INT))
                numbers = reads.nearest_numbers(conn, near)
                raise NoSuch("incident", str(number)[:40], map(str, numbers))
            history = reads.incident_events(conn, number)
            return IncidentDetail.model_construct(
                **dict(incident_answer(found[0])),
                history=[EventAnswer.model_validate(line) for line in history],
            )

        return answering.one(request, read)


def incident_answer(row: Incident) -> IncidentAnswer:
    """Return an incident as it is told."""
    values = {name: getattr(row, name) for name in row.__slots__}
    values["episodes"] = [
        EpisodeAnswer.model_validate(
            {
                "opened": int(opened),
                "first_window": int(first),
                "last_window_end": int(last),
                "resolved": resolved if resolved is None else int(resolved),
            }
        )
        for opened, first, last, resolved in row.episodes
    ]
    values["evidence"] = row.evidence or {}
    return IncidentAnswer.model_validate(values)


def _states(asked: list[State] | None) -> tuple[str, ...]:
    if not asked:
        return TOLD_STATES
    return tuple(name for state in asked for name in (OPEN_STATES if state == "open" else (state,)))
