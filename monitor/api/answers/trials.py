"""What a back-test and a recalibration are asked, and what they tell."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said
from monitor.api.answers.registered import MODEL, MonitorBody
from monitor.api.parameters import moment

_Moment = Annotated[datetime, BeforeValidator(moment)]


class TrialBody(MonitorBody):
    """A monitor that is tried and not saved; what is left out is as it is now."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    version: str | None = Field(
        default=None, max_length=200, examples=["3"],
        description="The version; the newest unless named",
    )  # fmt: skip
    from_: _Moment | None = Field(
        default=None, alias="from", examples=["2013-03-01T05:00:00Z"],
        description="RFC 3339 with an offset; incidents that opened from then on are compared",
    )  # fmt: skip
    to: _Moment | None = Field(
        default=None, examples=["2013-06-01T04:00:00Z"], description="... and before this",
    )  # fmt: skip
    segments: list[str] | None = Field(
        default=None, max_length=1_000, examples=[["origin=JFK"]],
        description="Segments that are tried beside all rows; by default all that were judged, "
        "`[]` for none",
    )  # fmt: skip


class CountedAnswer(Answer):
    """What there was, or would have been."""

    incidents: int = said("Incidents that nothing else speaks for", 19)


class TriedSegmentAnswer(Answer):
    """How another monitor would have done in one segment."""

    segment: str = said("`all`, or rows with one value of a dimension", "origin=JFK")
    windows: int = said("Windows that were judged again", 6_729)
    before: int = said("Incidents that were told", 6)
    after: int = said("... and that would have been", 4)
    same: int = said("Incidents that both have", 4)


class TriedAnswer(Answer):
    """An incident that was told, or would have been."""

    segment: str = said("`all`, or rows with one value of a dimension", "all")
    feature: str = said("The feature", "temp")
    kind: str = said("distribution, missing, unseen, type_error ...", "distribution")
    severity: str = said("warning or critical", "warning")
    opened: Instant = said("When, in event time", "2013-03-07T05:00:00Z", at="opened_ms")
    resolved: Instant | None = said(
        "When it ended; null while it stands", "2013-03-12T04:00:00Z", at="resolved_ms"
    )
    number: int | None = said("The stored incident's number; null for what would be new", 12)
    statistic: str = said("What told it; empty for stored ones", "ks")
    length: str = said("Of the window that told it", "day")
    value: float | None = said("The statistic there, at its worst", 0.21)
    limit: float | None = said("... and the limit it was above", 0.15)


class BacktestAnswer(Answer):
    """How another monitor would have done; nothing of it is saved."""

    model: str = said("The model", MODEL)
    version: str = said("The version that was judged again", "3")
    start: Instant = said("Incidents that opened from then on are compared", "2013-02-01T05:00:00Z")
    end: Instant = said("... and before this", "2013-06-01T04:00:00Z")
    windows: int = said("Windows that were judged again", 2_972)
    before: CountedAnswer = said("What was told")
    after: CountedAnswer = said("What would have been told")
    same: int = said("Incidents that both have", 15)
    gone: list[TriedAnswer] = said("Those that would not have been told")
    new: list[TriedAnswer] = said("Those that would have been told in addition")
    segments: list[TriedSegmentAnswer] = said("The same by segment, `all` first, then the largest")
    left_out: list[str] = said(
        "Segments that were not tried: one back-test judges so much at most. Name them in "
        "`segments` to try them",
        [],
    )
    hours_from: Instant | None = said(
        "From when on hours were tried: those before were added up to days, and what they alone "
        "told is among `gone`; null = nothing is missing",
        None,
        at="hours_from_ms",
    )


class RecalibrateBody(BaseModel):
    """What is to learn; all of it unless named."""

    model_config = ConfigDict(extra="forbid")

    version: str | None = Field(
        default=None, max_length=200, examples=["3"],
        description="The version; the newest unless named",
    )  # fmt: skip
    length: Literal["hour", "day", "week", "4weeks"] | None = Field(
        default=None, examples=["week"], description="Only this window length"
    )
    segment: str | None = Field(
        default=None, max_length=500, examples=["all"], description="Only this segment"
    )


class LearntAnswer(Answer):
    """What one segment and length learnt."""

    segment: str = said("`all`, or rows with one value of a dimension", "all")
    length: str = said("hour, day, week or 4weeks", "week")
    revision: int = said("Of its calibration; 0 = none that was learnt live", 2)
    windows: int = said("How many windows it was learnt from", 8)
    is_new: bool = said("Whether it learnt anything now", True)
    why: str = said("Why it did not; empty where it did", "")


class RecalibratedAnswer(Answer):
    """What learnt anew."""

    model: str = said("The model", MODEL)
    version: str = said("The version", "3")
    items: list[LearntAnswer] = said("By segment and length")
