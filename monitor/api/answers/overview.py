"""The list of models with what matters of each, and what a search found."""

from __future__ import annotations

from datetime import date

from monitor.api.answers.common import Answer, Instant, said
from monitor.api.answers.incidents import GroupAnswer
from monitor.api.answers.registered import MODEL


class WorstAnswer(Answer):
    """The finding of the last judged window that is furthest over its limit, or closest to it."""

    feature: str = said("Which feature", "temp")
    evidence: str | None = said("Which statistic", "psi")
    ratio: float = said("Evidence over its limit", 1.375)
    verdict: str = said("Its verdict", "warning")


class FirstWindowAnswer(Answer):
    """The window that will be judged first, of a version of which nothing is judged yet."""

    start: Instant = said("Inclusive", "2025-06-02T07:00:00Z", at="start_ms")
    end: Instant = said("Exclusive", "2025-06-02T08:00:00Z", at="end_ms")
    due: Instant = said(
        "When it is judged if events keep coming", "2025-06-02T08:10:00Z", at="due_ms"
    )
    length: str = said("hour, day, week or 4weeks", "hour")
    full: float = said("How much of its time has passed, by the newest event", 0.17)
    rows: int = said("Predictions in it so far", 61)


class LineAnswer(Answer):
    """A model by its newest version."""

    model: str = said("The model", MODEL)
    version: str | None = said("Null where only records without a reference name it", "3")
    health: str = said(
        "silent, schema_broken, critical, drifting, unreferenced, collecting or healthy", "drifting"
    )
    description: str | None = said("What it is for", "arrives more than 15 minutes late")
    owner: str | None = said("Who looks after it", "ops-ml")
    timezone: str = said("IANA zone of its days", "America/New_York")
    days: list[date] = said("Up to 28 local days that end with the last one judged")
    volume: list[int] = said("Predictions on each day", [958, 973])
    drifted: list[int] = said("Features with an incident on each day", [1, 2])
    usual: float | None = said("Predictions on an average day before the last", 921.4)
    features: int = said("How many are judged, predictions not counted", 18)
    moved: int = said("How many of them have an incident now", 2)
    share: float | None = said(
        "Drifted over judged in the last window, as in /verdicts; null where none was", 0.133
    )
    weighted: float | None = said("The same by importance; null without one", 0.21)
    worst: WorstAnswer | None = said("What is furthest over its limit")
    incidents: list[int] = said("Those that stand over all rows, the worst first", [19, 20])
    in_segments: int = said("How many more stand in segments only", 0)
    since: Instant | None = said("When the oldest of those opened", "2013-05-12T04:00:00Z")
    quiet_since: Instant | None = said("Where none stands, when the last one ended", None)
    judged_to: Instant | None = said("To when it is judged", "2013-05-16T04:00:00Z")
    first_window: FirstWindowAnswer | None = said("Null where something is judged")
    unreferenced_records: int = said("Records of it that no reference counts", 0)


class NewsAnswer(Answer):
    """What happened at one time to one group of incidents."""

    at: Instant = said("In event time", "2013-05-14T04:00:00Z")
    event: str = said("opened, escalated, resolved ...", "opened")
    group: int = said("The group's number", 19)
    incidents: list[int] = said("To which members", [19])


class PipeAnswer(Answer):
    """The pipeline in numbers."""

    counted: int = said("Events that were read and are accounted for", 192_726)
    dead: int = said("Dead letters", 64)
    lag: int = said("Records that wait, at the last look", 0)
    gaps: int = said("How often records were lost", 1)
    deficits: int = said("Versions with records that came before their reference", 1)


class OverviewAnswer(Answer):
    """Is anything wrong, and where; and what changed."""

    models: list[LineAnswer] = said("The models, the worst first")
    groups: list[GroupAnswer] = said("The groups of incidents that stand, the newest first")
    news: list[NewsAnswer] = said("What happened lately, the newest first")
    since: Instant | None = said("From when on that is told", "2013-05-09T04:00:00Z")
    judged_to: Instant | None = said("To when anything is judged", "2013-05-16T04:00:00Z")
    pipeline: PipeAnswer = said("What became of the records")


class HitAnswer(Answer):
    """Something that is called like what was searched."""

    kind: str = said("model, feature or incident", "feature")
    model: str = said("Its model", MODEL)
    feature: str | None = said("The feature, where it is one or an incident's", "airport_delay")
    number: int | None = said("An incident's number", None)
    detail: str = said("What it is, in words", "")


class SearchAnswer(Answer):
    """What was found, the best name first."""

    items: list[HitAnswer] = said("At most `limit` of them")
