"""What moved in a version of a model, and when."""

from __future__ import annotations

from monitor.api.answers.common import Answer, Instant, Page, said
from monitor.api.answers.incidents import IncidentAnswer
from monitor.api.answers.judged import FindingAnswer


class ColumnAnswer(Answer):
    """A column of the time axis: a window, or a day or week of windows."""

    start: Instant = said("Inclusive", "2013-05-15T04:00:00Z")
    end: Instant = said("Exclusive", "2013-05-16T04:00:00Z")
    rows: int = said("Predictions", 973)
    windows: int = said("How many windows were judged in it; 0 where there are no data", 1)
    drifted: int = said("Features, no predictions, that an incident stood on", 2)
    is_revised: bool = said("Whether late events made one of its windows be judged again", False)
    incomplete: list[str] = said("What its windows lack", [])


class HeatAnswer(Answer):
    """A feature through the columns; of several windows in a column the worst."""

    feature: str = said("`prediction` and `prediction.score` are the model's output", "temp")
    ratio: list[float | None] = said(
        "Evidence over its limit, by column; null where nothing was judged", [0.71, 1.375]
    )
    source: list[str | None] = said(
        "Which statistic that is: psi, missing, unseen, type_error, out_of_range, or blind",
        ["psi", "psi"],
    )
    verdict: list[str | None] = said("The worst verdict", ["ok", "warning"])
    is_alarming: list[bool] = said("Whether it stood in an alarm", [False, True])


class LivedAnswer(Answer):
    """A version under one reference."""

    version: str = said("The version", "3")
    reference_digest: str | None = said("What it was compared with", "c0ffee" + "0" * 58)
    start: Instant = said("Inclusive", "2013-02-01T05:00:00Z")
    end: Instant = said("Exclusive", "2013-05-16T04:00:00Z")


class PartialAnswer(Answer):
    """The first window that holds events and was not judged yet."""

    start: Instant = said("Inclusive", "2013-05-16T04:00:00Z", at="start_ms")
    end: Instant = said("Exclusive", "2013-05-17T04:00:00Z", at="end_ms")
    rows: int = said("Counted so far", 161)
    share: float = said("How much of its span is over, by the watermark", 0.17)
    closes: Instant = said(
        "It is judged when an event of this time was read", "2013-05-17T04:10:00Z", at="closes_ms"
    )


class TimelineAnswer(Page[HeatAnswer]):
    """What moved, and when: `items` are the features, the model's output first."""

    model: str = said("The model", "flight-delay")
    version: str = said("The version", "3")
    segment: str = said("`all`, or rows with one value of a dimension", "all")
    length: str = said("hour, day, week or 4weeks", "day")
    start: Instant = said("The range: inclusive", "2013-02-15T05:00:00Z")
    end: Instant = said("... and exclusive", "2013-05-16T04:00:00Z")
    evidence: str = said("What the ratios are of", "worst")
    health: str = said("The version's word as it is now, whatever the range", "drifting")
    calibration: str = said("judged, collecting, uncalibrated or waiting", "judged")
    unit: str = said("What a column is: hour, day, week or 4weeks", "day")
    is_clipped: bool = said("Whether the range is too long: the columns are its end", False)
    columns: list[ColumnAnswer] = said("The time axis, without gaps")
    versions: list[LivedAnswer] = said("The model's versions by what judged them, oldest first")
    incidents: list[IncidentAnswer] = said("Those of the segment in the range, or open now")
    elsewhere: list[int] = said("Open ones in other segments, the worst first", [])
    latest: list[FindingAnswer] = said("The findings of the newest window of the range")
    partial: PartialAnswer | None = said("What is being counted")
