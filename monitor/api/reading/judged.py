"""Windows, findings, segments: what was judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.judged import (
    FindingAnswer,
    SegmentAnswer,
    VerdictAnswer,
    WindowAnswer,
)
from monitor.api.cursors import Key
from monitor.api.parameters import (
    AnyFeature,
    AVersion,
    Cursor,
    Format,
    From,
    Length,
    Limit,
    Model,
    Segment,
    To,
    span,
)
from monitor.api.reading.finding import check_names, find_model, find_version
from monitor.detect.spec import MonitorSpec
from monitor.storage import reads
from monitor.storage.reads.listing import SegmentSpan, monitor_revisions, segment_spans
from monitor.storage.rows import ModelWindow, Window
from monitor.views.told import told

TAG = "judged"


def add(routes: APIRouter, answering: Answering) -> None:
    """Add the routes."""

    @routes.get(
        "/windows", tags=[TAG],
        **openapi.told(Page[WindowAnswer], "List judged windows", 404, csv=WindowAnswer),
    )  # fmt: skip
    def windows(
        request: Request,
        model: Model,
        version: AVersion = None,
        length: Length = "day",
        segment: Segment = "all",
        from_: From = None,
        to: To = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """Of one version (the newest unless named) and one segment, by start."""
        from_ms, to_ms = span(from_, to)

        def read(conn: Connection, after: Key | None, most: int) -> list[Window]:
            owner = find_version(conn, model, version)
            found = reads.windows(
                conn, owner.id, length=length, segment=segment,
                from_ms=from_ms, to_ms=to_ms, after=after[0] if after else None, limit=most,
            )  # fmt: skip
            if not found and after is None:
                check_names(conn, [owner], segment=segment)
            return found

        listing = Listing(
            WindowAnswer, read, lambda w: (w.start_ms,), (int,), WindowAnswer.model_validate
        )
        return answering.page(
            request, listing, limit=limit, cursor=cursor, default=1_000, format_=format,
            filename=("windows", model, version, length, segment),
        )  # fmt: skip

    @routes.get(
        "/findings", tags=[TAG],
        **openapi.told(Page[FindingAnswer], "List what was found", 404, csv=FindingAnswer),
    )  # fmt: skip
    def findings(
        request: Request,
        model: Model,
        version: AVersion = None,
        length: Length = "day",
        segment: Segment = "all",
        feature: AnyFeature = None,
        from_: From = None,
        to: To = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """One item for each feature of each window, by start, segment and feature.

        Segment `*` asks for all segments.
        """
        from_ms, to_ms = span(from_, to)

        def read(conn: Connection, after: Key | None, most: int) -> list[dict[str, Any]]:
            owner = find_version(conn, model, version)
            named = None if segment == "*" else segment
            found = reads.findings(
                conn, owner.id, length=length, segment=named, feature=feature,
                from_ms=from_ms, to_ms=to_ms,
                after=(after[0], after[1], after[2]) if after else None, limit=most,
                is_measured=True,
            )  # fmt: skip
            if not found and after is None:
                check_names(conn, [owner], segment=named, feature=feature)
            return told_findings(conn, model, found)

        listing = Listing(
            FindingAnswer,
            read,
            lambda row: (row["start_ms"], row["segment"], row["feature"]),
            (int, str, str),
            FindingAnswer.model_validate,
        )
        return answering.page(
            request, listing, limit=limit, cursor=cursor, default=1_000, format_=format,
            filename=("findings", model, version, length, segment, feature),
        )  # fmt: skip

    @routes.get(
        "/verdicts", tags=[TAG],
        **openapi.told(
            Page[VerdictAnswer], "List verdicts on the whole model", 404, csv=VerdictAnswer
        ),
    )  # fmt: skip
    def verdicts(
        request: Request,
        model: Model,
        version: AVersion = None,
        length: Length = "day",
        segment: Segment = "all",
        from_: From = None,
        to: To = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """Which share of its features had drifted in each window, also by importance."""
        from_ms, to_ms = span(from_, to)

        def read(conn: Connection, after: Key | None, most: int) -> list[ModelWindow]:
            owner = find_version(conn, model, version)
            found = reads.model_windows(
                conn, owner.id, length=length, segment=segment,
                from_ms=from_ms, to_ms=to_ms, after=after[0] if after else None, limit=most,
            )  # fmt: skip
            if not found and after is None:
                check_names(conn, [owner], segment=segment)
            return found

        listing = Listing(
            VerdictAnswer, read, lambda v: (v.start_ms,), (int,), VerdictAnswer.model_validate
        )
        return answering.page(
            request, listing, limit=limit, cursor=cursor, default=1_000, format_=format,
            filename=("verdicts", model, version, length, segment),
        )  # fmt: skip

    @routes.get(
        "/segments", tags=[TAG],
        **openapi.told(Page[SegmentAnswer], "List the segments of a version", 404),
    )  # fmt: skip
    def segments(
        request: Request,
        model: Model,
        version: AVersion = None,
        length: Length = "day",
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """Those with judged windows of this length, `all` first, with what was counted in each."""

        def read(conn: Connection) -> list[SegmentSpan]:
            return segment_spans(conn, find_version(conn, model, version).id, length=length)

        def key(row: SegmentSpan) -> tuple[Any, ...]:
            return (int(row.segment != "all"), row.segment)

        listing = Listing(SegmentAnswer, whole(read, key), key, (int, str), _segment)
        return answering.page(request, listing, limit=limit, cursor=cursor)


def told_findings(
    conn: Connection, model: str, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return measured findings of a model as they are told; one statement where there are any."""
    if not rows:
        return []
    revisions = monitor_revisions(conn, model_id=find_model(conn, model).id)
    specs = {found.revision: MonitorSpec.from_json(found.spec) for found in revisions}
    digests = {row["reference_digest"] for row in rows} - {None}
    references = {digest: reads.reference_document(conn, digest) for digest in digests}
    return [
        told(row, references.get(row["reference_digest"]), specs.get(row["monitor_revision"]))
        for row in rows
    ]


def _segment(row: SegmentSpan) -> SegmentAnswer:
    dimension, equals, value = row.segment.partition("=")
    return SegmentAnswer.model_validate(
        {
            **row._asdict(),
            "dimension": dimension if equals else None,
            "value": value if equals else None,
        }
    )
