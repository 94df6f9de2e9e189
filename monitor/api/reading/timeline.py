"""What moved in a version of a model, and when: the numbers of the model's page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering
from monitor.api.answers.timeline import TimelineAnswer
from monitor.api.cursors import decode, encode
from monitor.api.parameters import AVersion, Cursor, From, Length, Model, Segment, To, span
from monitor.api.reading.finding import strict_scope
from monitor.api.reading.incidents import incident_answer
from monitor.api.reading.judged import told_findings
from monitor.storage import reads
from monitor.storage.rollup import VERDICTS
from monitor.views.heat import SOURCES, Arrangement, Heat, arranged
from monitor.views.timeline import Timeline, importance, timeline

Evidence = Annotated[
    Literal["worst", "psi", "missing", "unseen", "type_error", "out_of_range"],
    Query(description="What the ratios are of", examples=["worst"]),
]
Sort = Annotated[
    Literal["worst", "importance", "name"],
    Query(description="The order of the features", examples=["worst"]),
]


def add(routes: APIRouter, answering: Answering) -> None:
    """Add the route."""

    @routes.get(
        "/timeline", tags=["judged"],
        **openapi.told(TimelineAnswer, "See what moved in a model, and when", 404),
    )  # fmt: skip
    def model_timeline(
        request: Request,
        model: Model,
        version: AVersion = None,
        segment: Segment = "all",
        length: Length = "day",
        from_: From = None,
        to: To = None,
        evidence: Evidence = "worst",
        sort: Sort = "worst",
        cursor: Cursor = None,
    ) -> Response:
        """Features by time, each square the worst evidence over its limit.

        Days of the last 90, hours of the last 7 days, or every week, unless a range is given.
        Features come fifty at a time; predictions are on the first page.
        """
        from_ms, to_ms = span(from_, to)
        after = decode(cursor, (int,))
        page = after[0] if after else 1

        def read(conn: Connection) -> TimelineAnswer:
            scope = strict_scope(conn, model, version, segment, length, from_ms, to_ms)
            found = timeline(conn, scope, evidence=evidence)
            weights = importance(conn, scope) if sort == "importance" else {}
            wish = Arrangement(sort=sort, show_all=True, page=page, importance=weights)
            latest = _latest(conn, found)
            return timeline_answer(found, arranged(found.squares, found.standing, wish), latest)

        return answering.one(request, read)


def _latest(conn: Connection, found: Timeline) -> list[dict[str, Any]]:
    """Return the findings of the newest judged window with all that is stored of them."""
    if found.latest_ms is None:
        return []
    scope = found.scope
    rows = reads.findings(
        conn, scope.version.id, length=scope.length, segment=scope.segment,
        from_ms=found.latest_ms, to_ms=found.latest_ms + 1, is_measured=True,
    )  # fmt: skip
    return told_findings(conn, scope.model.name, rows)


def timeline_answer(
    found: Timeline, heat: Heat, latest: Sequence[dict[str, Any]]
) -> TimelineAnswer:
    """Return a timeline as it is told, with the rows of one page."""
    scope, columns = found.scope, found.columns
    return TimelineAnswer.model_validate(
        {
            "items": list(_rows(heat)),
            "next": encode((heat.page + 1,)) if heat.page < heat.pages else None,
            "model": scope.model.name,
            "version": scope.version.name,
            "segment": scope.segment,
            "length": scope.length,
            "start": scope.from_ms,
            "end": scope.to_ms,
            "evidence": found.evidence,
            "health": found.health,
            "calibration": found.calibration,
            "unit": columns.unit,
            "is_clipped": found.is_clipped,
            "columns": [
                {
                    "start": int(columns.starts[at]),
                    "end": int(columns.ends[at]),
                    "rows": int(columns.rows[at]),
                    "windows": int(columns.windows[at]),
                    "drifted": int(found.drifted[at]),
                    "is_revised": bool(columns.revised[at]),
                    "incomplete": list(columns.incomplete.get(at, ())),
                }
                for at in range(len(columns))
            ],
            "versions": [
                {
                    "version": lived.version,
                    "reference_digest": lived.reference.digest if lived.reference else None,
                    "start": lived.from_ms,
                    "end": lived.to_ms,
                }
                for lived in found.lived
            ],
            "incidents": [incident_answer(incident) for incident in found.incidents],
            "elsewhere": [incident.number for incident in found.elsewhere],
            "latest": latest,
            "partial": found.partial,
        }
    )


def _rows(heat: Heat) -> Iterator[dict[str, Any]]:
    # Predictions are on every page of the view: here only on the first.
    for at in range(heat.pinned if heat.page > 1 else 0, len(heat.features)):
        judged = heat.ratio[at] == heat.ratio[at]
        ratios = zip(heat.ratio[at].tolist(), judged.tolist(), strict=True)
        yield {
            "feature": heat.features[at],
            # As exact as it is kept there.
            "ratio": [float(f"{ratio:.6g}") if is_known else None for ratio, is_known in ratios],
            "source": [SOURCES[code] if code >= 0 else None for code in heat.source[at].tolist()],
            "verdict": [
                VERDICTS[code] if code >= 0 else None for code in heat.verdict[at].tolist()
            ],
            "is_alarming": heat.alarm[at].tolist(),
        }
