"""The list of models with what matters of each, and the search."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering
from monitor.api.answers.overview import HitAnswer, OverviewAnswer, SearchAnswer
from monitor.api.parameters import Since, Words, to_ms
from monitor.api.reading.groups import group_values
from monitor.views import overview as views
from monitor.views.search import MOST, search

SAME = (
    "health", "description", "owner", "days", "volume", "drifted", "usual", "features", "moved",
    "worst", "in_segments",
)  # fmt: skip
Most = Annotated[int, Query(ge=1, le=100, description="At most so many items", examples=[20])]


def add(routes: APIRouter, answering: Answering) -> None:
    """Add the routes."""

    @routes.get(
        "/overview", tags=["judged"],
        **openapi.told(OverviewAnswer, "See whether anything is wrong, and where"),
    )  # fmt: skip
    def overview(request: Request, since: Since = None) -> Response:
        """The models, the worst first; the incidents that stand; what happened lately.

        Lately: since a moment of the wall clock, or in the last seven days of data.
        """
        visit_ms = to_ms(since)
        return answering.one(
            request,
            lambda conn: overview_answer(views.overview(conn, last_visit_ms=visit_ms)),
            has_streams=True,
        )

    @routes.get(
        "/search", tags=["service"], **openapi.told(SearchAnswer, "Find by a part of a name")
    )
    def find(request: Request, q: Words, limit: Most = MOST) -> Response:
        """Models, then features, then incidents; `#12` finds an incident by its number."""

        def read(conn: Connection) -> SearchAnswer:
            hits = search(conn, q, limit=limit)
            return SearchAnswer(items=[HitAnswer.model_validate(hit) for hit in hits])

        return answering.one(request, read)


def overview_answer(found: views.Overview) -> OverviewAnswer:
    """Return the overview as it is told."""
    return OverviewAnswer.model_validate(
        {
            "models": [_line(line) for line in found.lines],
            "groups": [group_values(group) for group in found.groups],
            "news": [
                {
                    "at": news.at_ms,
                    "event": news.event,
                    "group": news.group.number,
                    "incidents": [member.number for member in news.members],
                }
                for news in found.news
            ],
            "since": found.since_ms,
            "judged_to": found.judged_to_ms,
            "pipeline": {
                "counted": found.pipe.counted,
                "dead": found.pipe.dead,
                "lag": sum(position.lag for position in found.pipe.positions),
                "gaps": found.pipe.gaps,
                "deficits": len(found.pipe.deficits),
            },
        }
    )


def _line(line: views.Line) -> dict[str, Any]:
    same = [
        "health",
        "description",
        "owner",
        "volume",
        "drifted",
        "usual",
        "features",
        "moved",
        "worst",
        "in_segments",
        "days",
    ]
    return {
        **{name: getattr(line, name) for name in same},
        "model": line.name,
        "version": line.version.name if line.version else None,
        "timezone": line.zone.key,
        "incidents": [incident.number for incident in line.standing],
        "since": line.since_ms,
        "quiet_since": line.quiet_since_ms,
        "share": line.whole.share if line.whole else None,
        "weighted": line.whole.weighted if line.whole else None,
        "judged_to": line.judged_to_ms,
        "first_window": line.first,
        "unreferenced_records": sum(deficit.records for deficit in line.deficits),
    }
