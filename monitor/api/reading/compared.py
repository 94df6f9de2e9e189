"""One feature through time, and in two ranges side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering, wants_csv
from monitor.api.answers.common import instant_text
from monitor.api.answers.compared import DistributionAnswer, PointAnswer, SeriesAnswer
from monitor.api.csvs import filename, header
from monitor.api.cursors import decode, encode
from monitor.api.parameters import (
    AVersion,
    Cursor,
    Feature,
    Format,
    From,
    Length,
    Limit,
    Model,
    Segment,
    To,
    VsFrom,
    VsTo,
    VsVersion,
    span,
)
from monitor.api.problems import Problem
from monitor.api.reading.finding import find_model, find_version, strict_scope
from monitor.storage import reads
from monitor.views.compared import Distribution, Incomparable
from monitor.views.distribution import distribution, length_of
from monitor.views.history import columns_of, history, measured
from monitor.views.scope import NoSuch, nearest
from monitor.views.series import Point, Run, series_of

TAG = "judged"
# A year of hours: nothing is left out of a series for want of pixels here.
ALL_POINTS = 1 << 40
MOST_POINTS = 10_000
COLUMNS = [
    "part", "name", "low", "high", "is_atom", "reference", "current", "reference_share",
    "current_share",
]  # fmt: skip

Statistic = Annotated[
    Literal[
        "psi",
        "ks",
        "w1_sigma",
        "js",
        "hellinger",
        "tv",
        "linf",
        "chi_square",
        "missing",
        "type_error",
        "unseen",
        "out_of_range",
        "infinite",
        "zero",
        "negative",
        "differs",
        "mean",
        "mean_shift",
        "sd",
    ]
    | None,
    Query(description="Which statistic; the one that says most unless given", examples=["psi"]),
]


def add(routes: APIRouter, answering: Answering) -> None:
    """Add the routes."""

    @routes.get(
        "/series", tags=[TAG],
        **openapi.told(SeriesAnswer, "Follow a feature through time", 404, csv=PointAnswer),
    )  # fmt: skip
    def series(
        request: Request,
        model: Model,
        feature: Feature,
        version: AVersion = None,
        segment: Segment = "all",
        length: Length = "day",
        statistic: Statistic = None,
        from_: From = None,
        to: To = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """One statistic of every window, against the limit that it was held against.

        Days of the last 90, hours of the last 7 days, or every week, unless a range is given.
        Where another version judged the same feature before, its windows come first.
        """
        from_ms, to_ms = span(from_, to)
        after = decode(cursor, (int,))

        def read(conn: Connection, most: int) -> tuple[SeriesAnswer, list[PointAnswer]]:
            scope = strict_scope(conn, model, version, segment, length, from_ms, to_ms)
            read_ = history(conn, scope, feature)
            read_ = measured(conn, read_, columns_of(read_, statistic))
            found = series_of(read_, statistic, at_most=ALL_POINTS)
            if statistic not in (None, found.statistic):
                raise NoSuch("statistic", str(statistic), found.statistics)
            points = [
                _point(run, point)
                for run in found.runs
                for point in run.points
                if after is None or point.start_ms > after[0]
            ]
            more = len(points) > most
            last = round(points[most - 1].start.timestamp() * 1000) if more else 0
            answer = SeriesAnswer.model_construct(
                items=points[:most],
                next=encode((last,)) if more else None,
                feature=feature,
                statistic=found.statistic,
                statistics=list(found.statistics),
                standing=found.standing,
                length=scope.length,
                segment=scope.segment,
                start=_instant(scope.from_ms),
                end=_instant(scope.to_ms),
            )
            return answer, points[:most]

        if wants_csv(request, format):
            columns = header(PointAnswer)

            def table(conn: Connection) -> tuple[list[str], Iterable[Sequence[object]]]:
                points = read(conn, limit or ALL_POINTS)[1]
                dumped = (point.model_dump(mode="json") for point in points)
                return columns, [[values[name] for name in columns] for values in dumped]

            name = filename("series", model, version, length, segment, feature, statistic)
            return answering.table(table, name)
        return answering.one(request, lambda conn: read(conn, limit or MOST_POINTS)[0])

    @routes.get(
        "/distributions", tags=[TAG],
        **openapi.told(
            DistributionAnswer, "Compare a feature in two ranges", 404, 409, csv=",".join(COLUMNS)
        ),
    )  # fmt: skip
    def distributions(
        request: Request,
        model: Model,
        feature: Feature,
        version: AVersion = None,
        segment: Segment = "all",
        length: Length = "day",
        from_: From = None,
        to: To = None,
        vs_from: VsFrom = None,
        vs_to: VsTo = None,
        vs_version: VsVersion = None,
        format: Format = None,
    ) -> Response:
        """A range against the reference, against another range, or a version's reference.

        Without a range the newest judged window of `length`. Ranges count the panes (hours) that
        begin in them; counts on one grid add, so any two ranges can be compared.
        """
        window = span(from_, to)
        past = span(vs_from, vs_to, ("vs_from", "vs_to"))
        _check_ranges(window, past, vs_version)

        def read(conn: Connection) -> Distribution:
            found = find_version(conn, model, version)
            known = reads.segments(conn, found.id)
            if segment != "all" and segment not in known:
                raise NoSuch("segment", segment, nearest(segment, known))
            judged = reads.judged_span(conn, found.id, length=length, segment=segment)
            first_ms, last_start_ms, last_ms = judged
            asked = window
            if asked[0] is None:
                asked = (last_start_ms, last_ms)
            if asked[0] is None or asked[1] is None:
                raise Problem(
                    404, "Nothing is judged yet", f"No {length} of {model} was judged so far.",
                    mend="give `from` and `to`: what was counted can be looked at before",
                )  # fmt: skip
            against = vs_version if past[0] is None or past[1] is None else (past[0], past[1])
            made = distribution(
                conn, found, feature, segment, (asked[0], asked[1]), against,
                others=find_model(conn, model).versions,
                length=length_of(asked[0], asked[1], found.timezone),
            )  # fmt: skip
            if isinstance(made, Incomparable):
                raise Problem(
                    409, "These two cannot be compared", made.reason,
                    mend="compare ranges that one reference counts, or a range with its reference",
                )  # fmt: skip
            for side, names in ((made.current, "from"), (made.reference, "vs_from")):
                if side.from_ms is not None and side.rows == 0:
                    raise _no_data(names, first_ms, last_ms)
            return made

        if wants_csv(request, format):
            return answering.table(
                lambda conn: (COLUMNS, _rows(read(conn))),
                filename("distribution", model, version, segment, feature),
            )

        def answer(conn: Connection) -> DistributionAnswer:
            made = read(conn)
            named = {
                "model": model,
                "version": find_version(conn, model, version).name,
                "segment": segment,
            }
            return distribution_answer(made, **named)

        return answering.one(request, answer)


def distribution_answer(made: Distribution, **named: str) -> DistributionAnswer:
    """Return a distribution as it is told."""
    values = {name: getattr(made, name) for name in made.__dataclass_fields__}
    if made.bins is not None:
        bins = {name: getattr(made.bins, name) for name in made.bins.__dataclass_fields__}
        # JSON has no infinity.
        values["bins"] = {**bins, "upper": [*made.bins.upper[:-1], None]}
    return DistributionAnswer.model_validate({**values, **named})


def _check_ranges(
    window: tuple[int | None, int | None],
    past: tuple[int | None, int | None],
    vs_version: str | None,
) -> None:
    for first, names in ((window, "`from` and `to`"), (past, "`vs_from` and `vs_to`")):
        if (first[0] is None) != (first[1] is None):
            raise Problem(
                422, "Half a range is no range", f"{names} go together.", mend="give both or none"
            )
    if past[0] is not None and vs_version is not None:
        raise Problem(
            422, "One side too many", "A range and a version's reference are both given.",
            mend="leave out `vs_version`, or `vs_from` and `vs_to`",
        )  # fmt: skip


def _no_data(name: str, first_ms: int | None, last_ms: int | None) -> Problem:
    mend = "ask for a range in which events were counted"
    if first_ms is not None and last_ms is not None:
        mend = f"data are from {_said(first_ms)} to {_said(last_ms)}"
    return Problem(
        404, "Nothing was counted there", f"The range of `{name}` holds no rows.", mend=mend
    )


def _rows(made: Distribution) -> list[Sequence[object]]:
    r, c = max(made.reference.values, 1), max(made.current.values, 1)
    rows: list[Sequence[object]] = []
    if made.bins is not None:
        edges = [None, *made.bins.upper[:-1], None]
        counted = zip(made.bins.is_atom, made.bins.reference, made.bins.current, strict=True)
        for at, (is_atom, before, now) in enumerate(counted):
            bin_ = ("bin", None, edges[at], edges[at + 1], is_atom)
            rows.append((*bin_, before, now, before / r, now / c))
    rows += [
        (level.kind, level.name, None, None, None, level.reference, level.current,
         level.reference_share, level.current_share)
        for level in made.levels
    ]  # fmt: skip
    sides = (made.reference, made.current)
    for part in ("missing", "type_error"):
        counts = [getattr(side, f"n_{part}") for side in sides]
        rows.append((part, *[None] * 4, *counts, *(getattr(side, part) for side in sides)))
    return rows


def _point(run: Run, point: Point) -> PointAnswer:
    values: dict[str, Any] = {name: getattr(point, name) for name in point.__slots__}
    return PointAnswer.model_validate(
        {
            **values,
            "version": run.version,
            "reference_digest": run.reference_digest,
            "usual": run.usual,
        }
    )


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _said(at_ms: int) -> str:
    return instant_text(_instant(at_ms))
