"""Incidents as people speak of them: groups, alone and in a list."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering, Listing
from monitor.api.answers.common import Page
from monitor.api.answers.incidents import GroupAnswer, GroupDetail, HappenedAnswer, MemberAnswer
from monitor.api.cursors import Key
from monitor.api.parameters import AnyKind, AnyModel, Cursor, Format, From, Limit, Number, To, span
from monitor.api.reading.finding import version_ids
from monitor.api.reading.incidents import incident_answer
from monitor.views.episodes import Group, Opened, evidence_of, opened, page_of_groups

TAG = "incidents"
# A blizzard may open hundreds: the rest is told one by one, by the numbers in `incidents`.
MOST_MEMBERS = 100
MOST_LINES = 300

GroupState = Annotated[
    Literal["firing", "all", "resolved", "withdrawn"],
    Query(description="`firing` ones stand", examples=["firing"]),
]


def add(routes: APIRouter, answering: Answering) -> None:
    """Add the routes."""

    @routes.get(
        "/incident-groups", tags=[TAG],
        **openapi.told(Page[GroupAnswer], "List groups of incidents", 404, csv=GroupAnswer),
    )  # fmt: skip
    def incident_groups(
        request: Request,
        state: GroupState = "all",
        model: AnyModel = None,
        kind: AnyKind = None,
        from_: From = None,
        to: To = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """The newest first; incidents of one version that are one problem are one group."""
        from_ms, to_ms = span(from_, to)

        def read(conn: Connection, after: Key | None, most: int) -> list[Group]:
            return page_of_groups(
                conn, state=state, version_ids=version_ids(conn, model, None), kind=kind,
                from_ms=from_ms, to_ms=to_ms,
                after=(after[0], after[1]) if after else None, limit=most,
            )  # fmt: skip

        def key(group: Group) -> Key:
            return (group.opened_ms, group.number)

        listing = Listing(GroupAnswer, read, key, (int, int), group_answer)
        return answering.page(
            request, listing, limit=limit, cursor=cursor, format_=format,
            filename=("incident-groups", model),
        )  # fmt: skip

    @routes.get(
        "/incident-groups/{number}", tags=[TAG],
        **openapi.told(GroupDetail, "Get one group of incidents", 404),
    )  # fmt: skip
    def incident_group(request: Request, number: Number) -> Response:
        """By the number of any of its members, with all that is recorded of it."""
        return answering.one(request, lambda conn: _detail(opened(conn, number)))


def group_values(group: Group) -> dict[str, Any]:
    """Return what is told of a group."""
    return {
        "id": group.number,
        "model": group.model,
        "version": group.version,
        "state": group.state,
        "severity": group.severity,
        "opened_at": group.opened_ms,
        "resolved_at": group.resolved_ms,
        "spans": [{"start": start, "end": end} for start, end in group.spans],
        "features": list(group.features),
        "kinds": list(group.kinds),
        "segments": list(group.segments),
        "incidents": [member.number for member in group.ranked],
        "summary": group.worst.summary,
    }


def group_answer(group: Group) -> GroupAnswer:
    """Return a group as it is told."""
    return GroupAnswer.model_validate(group_values(group))


def _detail(found: Opened) -> GroupDetail:
    members = []
    for member in found.group.ranked[:MOST_MEMBERS]:
        over = found.over.get(member.number)
        evidence = evidence_of(member)
        members.append(
            MemberAnswer.model_construct(
                **dict(incident_answer(member)),
                length=over.length if over else evidence.length if evidence else None,
                over=over.over if over else None,
                windows=over.windows if over else None,
            )
        )
    history = [
        HappenedAnswer.model_validate(
            {
                **{name: getattr(happened.event, name) for name in happened.event.__slots__},
                "incident": happened.incident.number,
            }
        )
        for happened in found.happened[-MOST_LINES:]
    ]
    return GroupDetail.model_validate(
        {
            **group_values(found.group),
            "chosen": found.chosen.number,
            "members": members,
            "history": history,
            "n_members": len(found.group.members),
            "n_history": len(found.happened),
            "n_features": found.features,
            "timezone": found.timezone,
            "judged_to": found.judged_to_ms,
        }
    )
